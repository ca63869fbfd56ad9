"""Take in all that has come: `python consume_inbox.py <profile folder>`."""

import getpass
import sys

from countermark_client import Client

with Client.open(sys.argv[1], getpass.getpass()) as client:
    for received in client.inbox():  # proven, signed for, opened and validated
        print(received.index, received.sender, received.type)
        received.accept()
    for spoilt in client.rejected:
        print(spoilt.index, spoilt.manifest.sender, "rejected:", spoilt.reason)
