"""What an agency's system imports to exchange Countermark messages.

`Client` and `AsyncClient` send, read and answer; `Profile` is where an instance keeps its keys and what it
has verified. `countermark_client.testing` gives an in-memory broker for an integrator's own tests,
`countermark_client.statements` what enrolment is made of.
"""

from __future__ import annotations

import typing

from countermark_client import _later

if typing.TYPE_CHECKING:
    from countermark_client._addressing import Addressee, LeftOut, Resolution
    from countermark_client._async import AsyncClient, AsyncReceived
    from countermark_client._backup import BackupReport, create_backup, restore_backup, verify_backup
    from countermark_client._bundle_carrier import CarriedBack
    from countermark_client._bundle_post import Exported, Imported
    from countermark_client._compose import default_handling
    from countermark_client._disclosing import Disclosed
    from countermark_client._drafting import DraftedMessage
    from countermark_client._evidence import MadeEvidence
    from countermark_client._evidence_kept import Evidence
    from countermark_client._holdings import MadeHoldings, Narrowing
    from countermark_client._http import client_tls
    from countermark_client._invitations import Approved, Invited, PendingEnrolment
    from countermark_client._invited import fetch_invitation, fetch_invitation_async
    from countermark_client._keystore import (
        ADMINISTRATOR,
        AUTHORITY,
        GOVERNOR,
        INSTANCE,
        SEALING,
        SEALING_OLD,
        Keystore,
        MemoryKeystore,
        make_key,
        register_scheme,
    )
    from countermark_client._models import (
        Attachment,
        ConversationItem,
        Correction,
        Draft,
        FetchedAttachment,
        FlushReport,
        HeldMessage,
        Judged,
        LogReport,
        MessageRef,
        MessageStatus,
        Notice,
        OpenedMessage,
        OpenPosition,
        Outcome,
        Purged,
        Recalled,
        RecipientStatus,
        Rejected,
        Sent,
        SignedBy,
        Successor,
    )
    from countermark_client._profile import Profile
    from countermark_client._recipient_problems import Problem
    from countermark_client._renewal import KeyEnd, Renewed
    from countermark_client._restored import Adopted, Compared
    from countermark_client._rollup import RecipientStanding, Rollup, Standing
    from countermark_client._self_check import SelfCheck
    from countermark_client._session import Transfer, Watch
    from countermark_client._settings import Settings
    from countermark_client._store import Direction, MessageStage, OutboxItem, OutboxState
    from countermark_client._sync import Client, Received
    from countermark_client._tables_own_keys import OwnKey
    from countermark_client._traces import TracedCase
    from countermark_client._trust import TrustFile, read_trust_file
    from countermark_client.attaching import Attach, PreparedAttachment
    from countermark_client.errors import StorageError
else:
    # A program, and each command of the command line, loads only what it uses.
    __getattr__ = _later.importer(
        __name__,
        {
            "countermark_client._addressing": "Addressee LeftOut Resolution",
            "countermark_client._async": "AsyncClient AsyncReceived",
            "countermark_client._backup": "BackupReport create_backup restore_backup verify_backup",
            "countermark_client._bundle_carrier": "CarriedBack",
            "countermark_client._bundle_post": "Exported Imported",
            "countermark_client._compose": "default_handling",
            "countermark_client._disclosing": "Disclosed",
            "countermark_client._drafting": "DraftedMessage",
            "countermark_client._self_check": "SelfCheck",
            "countermark_client._evidence": "MadeEvidence",
            "countermark_client._fetching": "FetchedAttachment",
            "countermark_client._holdings": "MadeHoldings Narrowing",
            "countermark_client._http": "client_tls",
            "countermark_client._invitations": "Approved Invited PendingEnrolment",
            "countermark_client._invited": "fetch_invitation fetch_invitation_async",
            "countermark_client._keystore": (
                "ADMINISTRATOR AUTHORITY GOVERNOR INSTANCE SEALING SEALING_OLD Keystore MemoryKeystore "
                "make_key register_scheme"
            ),
            "countermark_client._models": (
                "Attachment ConversationItem Correction Draft FlushReport HeldMessage Judged LogReport MessageRef "
                "MessageStatus "
                "Notice Purged OpenedMessage OpenPosition Outcome Recalled RecipientStatus Rejected Sent SignedBy "
                "Successor"
            ),
            "countermark_client._evidence_kept": "Evidence",
            "countermark_client._profile": "Profile",
            "countermark_client._renewal": "KeyEnd Renewed",
            "countermark_client._restored": "Adopted Compared",
            "countermark_client._rollup": "RecipientStanding Rollup Standing",
            "countermark_client._recipient_problems": "Problem",
            "countermark_client._session": "Transfer Watch",
            "countermark_client._settings": "Settings",
            "countermark_client._store": "Direction MessageStage OutboxItem OutboxState",
            "countermark_client._sync": "Client Received",
            "countermark_client._tables_own_keys": "OwnKey",
            "countermark_client._traces": "TracedCase",
            "countermark_client._trust": "TrustFile read_trust_file",
            "countermark_client.attaching": "Attach PreparedAttachment",
            "countermark_client.errors": "StorageError",
        },
        submodules=("attaching", "errors", "statements"),
    )

__all__ = [
    "ADMINISTRATOR",
    "AUTHORITY",
    "GOVERNOR",
    "INSTANCE",
    "SEALING",
    "SEALING_OLD",
    "Addressee",
    "Adopted",
    "Approved",
    "AsyncClient",
    "AsyncReceived",
    "Attach",
    "Attachment",
    "BackupReport",
    "CarriedBack",
    "Client",
    "Compared",
    "ConversationItem",
    "Correction",
    "Direction",
    "Disclosed",
    "Draft",
    "DraftedMessage",
    "Evidence",
    "Exported",
    "FetchedAttachment",
    "FlushReport",
    "HeldMessage",
    "Imported",
    "Invited",
    "Judged",
    "KeyEnd",
    "Keystore",
    "LeftOut",
    "LogReport",
    "MadeEvidence",
    "MadeHoldings",
    "MemoryKeystore",
    "MessageRef",
    "MessageStage",
    "MessageStatus",
    "Narrowing",
    "Notice",
    "OpenPosition",
    "OpenedMessage",
    "OutboxItem",
    "OutboxState",
    "Outcome",
    "OwnKey",
    "PendingEnrolment",
    "PreparedAttachment",
    "Problem",
    "Profile",
    "Purged",
    "Recalled",
    "Received",
    "RecipientStanding",
    "RecipientStatus",
    "Rejected",
    "Renewed",
    "Resolution",
    "Rollup",
    "SelfCheck",
    "Sent",
    "Settings",
    "SignedBy",
    "Standing",
    "StorageError",
    "Successor",
    "TracedCase",
    "Transfer",
    "TrustFile",
    "Watch",
    "client_tls",
    "create_backup",
    "default_handling",
    "fetch_invitation",
    "fetch_invitation_async",
    "make_key",
    "read_trust_file",
    "register_scheme",
    "restore_backup",
    "verify_backup",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
