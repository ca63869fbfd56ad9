"""A worker as a process of its own: takes in messages until it is killed or told to stop, and keeps a diary.

Run as ``python worker_process.py HOME DIARY STOP LEASE`` with the passphrase in ``WORKER_PASSPHRASE``. The diary has
one line for each event, ``given|done <monotonic ns> <message>``, on disk before the event is over.
"""

import os
import sys
import time
from pathlib import Path

from countermark_client import Client, Settings
from countermark_client._profile import Profile
from countermark_protocol.errors import TransportError


def main(home: str, diary: str, stop: str, lease: str) -> None:
    profile = Profile.open(home, os.environ["WORKER_PASSPHRASE"])
    with (
        Client(profile, settings=Settings(attempts=3)) as client,
        Path(diary).open("ab", buffering=0) as book,
    ):

        def note(what: str, message: bytes) -> None:
            book.write(f"{what} {time.monotonic_ns()} {message.hex()}\n".encode())
            os.fsync(book.fileno())

        while not Path(stop).exists():
            try:
                for received in client.work(wait=1, lease_seconds=int(lease), at_once=4):
                    note("given", received.message)
                    time.sleep(0.03)
                    received.accept()
                    note("done", received.message)
                    if Path(stop).exists():
                        break
            except TransportError:
                time.sleep(0.2)
    profile.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
