"""The command line `countermark`, run in this process against a broker in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from countermark_client import Settings, testing
from countermark_client.cli import main
from countermark_client.cli.common import Environment

PASSPHRASE = testing.PASSPHRASE


@dataclass
class Cli:
    """Runs commands as one person would, in a folder of one's own.

    Attributes:
        folder: where files are.
        environment: transport and clock.
    """

    folder: Path
    environment: Environment

    def run(self, *args, home=None, code=0, stdin=None, passphrase=PASSPHRASE):
        """Run a command; it must end with `code`. The result has `stdout` and `stderr`."""
        env = {"COUNTERMARK_HOME": str(self.folder / (home or "home"))}
        env["COUNTERMARK_PASSPHRASE"] = passphrase
        result = CliRunner().invoke(main, [str(a) for a in args], obj=self.environment, env=env, input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, f"{args}: {result.exit_code}\n{result.stdout}\n{result.stderr}"
        if code and passphrase:
            assert passphrase not in result.stdout + result.stderr
        return result

    def json(self, *args, **kwargs):
        """Run a command with ``--json``; the one object it prints."""
        return json.loads(self.run(*args, "--json", **kwargs).stdout)

    def file(self, name, content):
        """Write a file; JSON unless it is text already."""
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path


def cli_for(world, folder, *, attempts=1):
    """A command line that talks to a world's broker, with the world's clock."""
    environment = Environment(
        transport=world.transport,
        clock=world.clock,
        sleep=world.clock.sleep,
        settings=Settings(attempts=attempts),
    )
    return Cli(folder, environment)
