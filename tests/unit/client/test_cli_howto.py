"""Every `countermark` command in the how-to pages and in help texts exists, with the options it is shown with."""

import re
import shlex
from pathlib import Path

import click
import pytest

from countermark_client.cli import main
from countermark_client.cli.content_files import parse_mapping, read_rows
from countermark_client.cli.listed import SECTIONS
from countermark_client.cli.output import EXIT_CODES

HOWTO = Path(__file__).parents[3] / "docs" / "howto"
KEYS_LOST = HOWTO.parent / "operations" / "keys-lost-or-stolen.md"


def commands_in(text):
    """Command lines within code blocks and code spans."""
    text = text.replace("\\\n", " ")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    spans = re.findall(r"`(countermark [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [" ".join(c.split()) for c in (*lines, *spans) if c.startswith("countermark ")]


def all_commands(command=main, path=()):
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from all_commands(child, (*path, name))


def examples():
    for page in (*sorted(HOWTO.glob("*.md")), KEYS_LOST):
        for line in commands_in(page.read_text("utf-8")):
            yield page.name, line
    for path, command in all_commands():
        for line in (command.help or "").splitlines():
            if line.startswith("  ") and "countermark " in line:
                yield " ".join(path), line[line.index("countermark ") :]


@pytest.mark.parametrize(("where", "line"), list(examples()))
def test_a_command_that_is_shown_exists(where, line):
    words = shlex.split(line.partition(" > ")[0].partition("  ")[0])[1:]
    command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"{where}: no command {words[0]} in: {line}"
        command = command.commands[words.pop(0)]
    known = {opt for p in command.params for opt in (*p.opts, *p.secondary_opts)}
    used = {w for w in words if w.startswith("-") and len(w) > 1}
    assert used <= known, f"{where}: {used - known} in: {line}"


def test_there_are_examples_of_every_kind():
    lines = [line for _, line in examples()]
    assert len(lines) > 60
    assert {"send", "inbox", "draft", "document", "enrol", "init"} <= {line.split()[1] for line in lines}


@pytest.mark.parametrize("path", [p for p, c in all_commands() if not isinstance(c, click.Group)])
def test_every_command_is_explained_and_gives_json(path):
    command = main
    for name in path:
        command = command.commands[name]
    assert command.help
    assert any("--json" in p.opts for p in command.params)
    undocumented = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert undocumented == []
    secret = [p.name for p in command.params if p.name in {"passphrase", "password", "pin", "secret"}]
    assert secret == []


def test_the_help_says_of_each_command_what_the_command_says_of_itself():
    listed = [each for section in SECTIONS.values() for each in section]
    commands = [main.commands[each.name] for each in listed]
    assert [(each.name, each.purpose) for each in listed] == [
        (command.name, command.get_short_help_str(200)) for command in commands
    ]
    assert len(set(commands)) == len(main.commands)


def test_a_command_that_is_nearly_typed_is_told(capsys):
    with pytest.raises(SystemExit):
        main(["sned"])
    assert "Did you mean 'send'?" in capsys.readouterr().err


def test_the_mapping_that_is_shown_fits_its_type():
    page = (HOWTO / "send-and-receive.md").read_text("utf-8")
    [block] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    mapping = parse_mapping(block.encode())
    table = ",".join([*mapping.columns, *mapping.ignore]) + "\n2026-01-15,,PST,Wanjiru\n"
    [row] = read_rows(table.encode(), "csv", "lost-or-stolen-notice", mapping)
    assert row.content["items"] == [{"itemRef": "1", "make": {"text": "UNKNOWN"}, "category": "PISTOL"}]
    assert row.content["event"] == {"date": "2026-01-15", "place": {"country": "KE"}}


def test_the_exit_codes_of_help_and_page_agree():
    page = (HOWTO / "send-and-receive.md").read_text("utf-8")
    table = dict(re.findall(r"^\| (\d) \| ([a-z ]+)", page, re.MULTILINE))
    told = dict(re.findall(r"^  (\d)  ([a-z ]+)", EXIT_CODES, re.MULTILINE))
    assert {k: v.strip() for k, v in table.items()} == {k: v.strip() for k, v in told.items()}


@pytest.mark.parametrize("page", [*sorted(HOWTO.glob("*.md")), KEYS_LOST], ids=lambda p: p.name)
def test_links_of_the_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
