"""A client as a process of its own that sends or fetches files, and tells how much memory that took.

Run as ``python attachment_process.py send HOME TO FILE`` or ``… fetch HOME FOLDER`` with the passphrase in
``CLIENT_PASSPHRASE``. It prints one JSON object a line: ``idle`` once it has sent or fetched a small file, with the
memory it has then in KiB; ``moved`` after every piece; ``done`` at the end.
"""

import json
import os
import sys
from pathlib import Path

from countermark_client import Attach, Client, Profile, Settings, testing

#: So that a broker which is killed and started again is waited for.
_PATIENT = Settings(attempts=30, backoff_seconds=0.2, backoff_limit_seconds=1.0)


def most_memory(process: int | str = "self") -> int:
    """The most memory that a process had since it was idle, KiB."""
    return _status(process, "VmHWM:")


def idle_memory(process: int | str = "self") -> int:
    """The memory that a process has now, KiB; what it had at most is counted anew from here."""
    Path(f"/proc/{process}/clear_refs").write_text("5", "ascii")
    return _status(process, "VmRSS:")


def _status(process: int | str, name: str) -> int:
    text = Path(f"/proc/{process}/status").read_text("ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name))


def tell(**members: object) -> None:
    print(json.dumps(members), flush=True)


def send(client: Client, to: str, file: str) -> None:
    def one(case: str, source: object, name: str) -> str:
        sent = client.send(
            "lost-or-stolen-notice",
            testing.sample_notice(case),
            [to],
            exercise=True,
            attachments=[Attach(source, name=name)],
            reference=case,  # a process that was killed begins again
        )
        return sent.hash

    one("SMALL", b"a small one", "small.bin")
    tell(idle=idle_memory())
    client.watch.transferred = lambda t: tell(moved=t.done, of=t.total)
    tell(done=one("LARGE", file, "large.bin"), most=most_memory())


def fetch(client: Client, folder: str) -> None:
    small, large = sorted(client.inbox(), key=lambda m: m.index)
    client.fetch_attachments(small, folder, overwrite=True)
    tell(idle=idle_memory())
    client.watch.transferred = lambda t: tell(moved=t.done, of=t.total)
    [fetched] = client.fetch_attachments(large, folder)
    large.accept()
    tell(done=str(fetched.path), most=most_memory())


def main(what: str, home: str, *arguments: str) -> None:
    profile = Profile.open(home, os.environ["CLIENT_PASSPHRASE"])
    with Client(profile, settings=_PATIENT) as client:
        client.sync()
        {"send": send, "fetch": fetch}[what](client, *arguments)
    profile.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
