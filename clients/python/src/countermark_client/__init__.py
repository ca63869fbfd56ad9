"""What an agency's system imports to exchange Countermark messages.

`Client` and `AsyncClient` send, read and answer; `Profile` is where an instance keeps its keys and what it
has verified. `countermark_client.testing` gives an in-memory broker for an integrator's own tests,
`countermark_client.statements` what enrolment is made of.
"""

from __future__ import annotations

from countermark_client._async import AsyncClient, AsyncReceived
from countermark_client._compose import default_handling
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
    ConversationItem,
    Draft,
    FlushReport,
    LogReport,
    MessageRef,
    MessageStatus,
    Notice,
    OpenedMessage,
    Outcome,
    RecipientStatus,
    Rejected,
    Sent,
)
from countermark_client._profile import Evidence, Profile
from countermark_client._settings import Settings
from countermark_client._store import Direction, MessageStage, OutboxItem, OutboxState
from countermark_client._sync import Client, Received
from countermark_client._trust import TrustFile, read_trust_file
from countermark_client.errors import StorageError

__all__ = [
    "ADMINISTRATOR",
    "AUTHORITY",
    "GOVERNOR",
    "INSTANCE",
    "SEALING",
    "SEALING_OLD",
    "AsyncClient",
    "AsyncReceived",
    "Client",
    "ConversationItem",
    "Direction",
    "Draft",
    "Evidence",
    "FlushReport",
    "Keystore",
    "LogReport",
    "MemoryKeystore",
    "MessageRef",
    "MessageStage",
    "MessageStatus",
    "Notice",
    "OpenedMessage",
    "OutboxItem",
    "OutboxState",
    "Outcome",
    "Profile",
    "Received",
    "RecipientStatus",
    "Rejected",
    "Sent",
    "Settings",
    "StorageError",
    "TrustFile",
    "default_handling",
    "make_key",
    "read_trust_file",
    "register_scheme",
]
