"""Bridges: an agency's own relay between its endpoint and another system (SIENA, I-24/7, AS4, a folder).

A bridge runs where the agency's keys are, never at the broker: what crosses it is cleartext there. It keeps both
identifiers of everything that crosses. An adapter is all that another system needs; `FolderAdapter` is one that
works with any system that can read and write files.

Source: docs/spec/bridge.md.
"""

from __future__ import annotations

from countermark_client.bridge._adapter import Adapter, Incoming, Outgoing
from countermark_client.bridge._folder import FolderAdapter
from countermark_client.bridge._ledger import Crossed, CrossingState, Ledger, Way
from countermark_client.bridge._relay import RelayReport, relay

__all__ = [
    "Adapter",
    "Crossed",
    "CrossingState",
    "FolderAdapter",
    "Incoming",
    "Ledger",
    "Outgoing",
    "RelayReport",
    "Way",
    "relay",
]
