"""Auditing a whole log: reading it by tiles, keeping a mirror of what a mandate covers, verifying that again.

`look_up` states in the log that an auditor looks, `synchronise` brings a `Mirror` up to date and judges what it takes
in, `verify_file` does all of it again from the file alone, and `list_findings` tells what is wrong. The tables of a
mirror are documented in `_mirror`: search, statistics and reports read them.
"""

from __future__ import annotations

import typing

from countermark_client import _later

if typing.TYPE_CHECKING:
    from countermark_client.audit._engine import Mandate
    from countermark_client.audit._findings import Check, Finding, evidence_of, list_findings, settle
    from countermark_client.audit._hand_back import hand_back_tail
    from countermark_client.audit._look_ups import LookedUp, look_up, mandate_of, running_look_up
    from countermark_client.audit._mirror import Mirror
    from countermark_client.audit._signatures import Signatures
    from countermark_client.audit._source import BrokerSource
    from countermark_client.audit._sync import Synchronised, synchronise
    from countermark_client.audit._tiles import HttpTiles
    from countermark_client.audit._verify import Verified, verify_file, verify_mirror
    from countermark_protocol.tile_reader import VerifiedTiles
else:
    # Processes that verify signatures load nothing else of it.
    __getattr__ = _later.importer(
        __name__,
        {
            "countermark_client.audit._engine": "Mandate",
            "countermark_client.audit._findings": "Check Finding evidence_of list_findings settle",
            "countermark_client.audit._hand_back": "hand_back_tail",
            "countermark_client.audit._look_ups": "LookedUp look_up mandate_of running_look_up",
            "countermark_client.audit._mirror": "Mirror",
            "countermark_client.audit._signatures": "Signatures",
            "countermark_client.audit._source": "BrokerSource",
            "countermark_client.audit._sync": "Synchronised synchronise",
            "countermark_client.audit._tiles": "HttpTiles",
            "countermark_client.audit._verify": "Verified verify_file verify_mirror",
            "countermark_protocol.tile_reader": "VerifiedTiles",
        },
    )

__all__ = [
    "BrokerSource",
    "Check",
    "Finding",
    "HttpTiles",
    "LookedUp",
    "Mandate",
    "Mirror",
    "Signatures",
    "Synchronised",
    "Verified",
    "VerifiedTiles",
    "evidence_of",
    "hand_back_tail",
    "list_findings",
    "look_up",
    "mandate_of",
    "running_look_up",
    "settle",
    "synchronise",
    "verify_file",
    "verify_mirror",
]
