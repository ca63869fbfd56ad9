"""Send a notice to a group: `python send_notice.py <profile folder> <notice.json>`."""

import getpass
import json
import sys
from pathlib import Path

from countermark_client import Client

folder, notice = sys.argv[1:]
with Client.open(folder, getpass.getpass()) as client:
    content = json.loads(Path(notice).read_text())
    sent = client.send("lost-or-stolen-notice", content, to=["group:xo-eac/customs"])
    print(f"entry {sent.index} of the log, to {len(sent.recipients)} recipients: {sent.hash}")
