"""Shapes for the OpenAPI document. The answers themselves are written by `countermark_protocol.answers`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

_DIGEST = "64 lower-case hexadecimal digits"
_BYTES = "unpadded base64url"


class InclusionModel(BaseModel):
    """A leaf and where it stands."""

    index: int
    leaf: str = Field(description=f"115 bytes, {_BYTES}")
    path: list[str] = Field(description=f"sibling hashes, lowest first, {_DIGEST}")


class WitnessedModel(BaseModel):
    """A checkpoint with cosignatures, and the minute of its quorum."""

    minute: int = Field(description="minutes since 1970")
    checkpoint: str


class StampModel(BaseModel):
    """A time stamp (RFC 3161) on a witnessed checkpoint."""

    minute: int
    authority: str
    checkpoint: str
    response: str


class StampHistoryModel(BaseModel):
    """Time stamps on witnessed checkpoints."""

    stamps: list[StampModel]
    complete: bool


class WitnessHistoryModel(BaseModel):
    """Witnessed checkpoints in the order of time."""

    witnessed: list[WitnessedModel]
    complete: bool


class ReleaseModel(BaseModel):
    """A released stanza."""

    message: str = Field(description=_DIGEST)
    stanza: str = Field(description=_BYTES)


class ReleasesModel(BaseModel):
    """Stanzas."""

    releases: list[ReleaseModel]


class AcceptedModel(BaseModel):
    """The proof of an entry."""

    checkpoint: str
    inclusion: InclusionModel
    deliveries: dict[str, Any] | None = None
    document: str | None = Field(default=None, description=_BYTES)
    releases: list[ReleaseModel] | None = None


class BoxEntryModel(BaseModel):
    """One position of a box."""

    inclusion: InclusionModel
    delivery: dict[str, Any]
    document: str = Field(description=_BYTES)
    recipient: dict[str, Any] | None = None
    recipients: list[dict[str, Any]] | None = None


class BoxPageModel(BaseModel):
    """Positions of a box, or the account that there are none."""

    checkpoint: str
    entries: list[BoxEntryModel]
    account: str | None = Field(default=None, description=_BYTES)


class AuditedEntryModel(BaseModel):
    """An entry as an oversight auditor is shown it."""

    index: int
    leaf: str = Field(description=f"115 bytes, {_BYTES}")
    document: str = Field(description=_BYTES)
    secret: str = Field(description=f"32 bytes, {_BYTES}")
    recipients: list[dict[str, Any]] | None = None


class AuditedEntriesModel(BaseModel):
    """Entries in log order, below the size of the checkpoint."""

    checkpoint: str
    entries: list[AuditedEntryModel]


class LoggedStatementModel(BaseModel):
    """A directory statement with its leaf."""

    index: int
    leaf: str
    document: str


class DirectoryPageModel(BaseModel):
    """Directory statements."""

    checkpoint: str
    statements: list[LoggedStatementModel]
    complete: bool
    last: InclusionModel


class InclusionAnswerModel(InclusionModel):
    """A leaf, its path, and the size the path is for."""

    size: int


class ConsistencyModel(BaseModel):
    """A consistency path."""

    from_: int = Field(alias="from")
    to: int
    path: list[str]


class StatusModel(BaseModel):
    """Whether the process works."""

    status: str


class HeldPieceModel(BaseModel):
    """A piece that is kept for the caller."""

    piece: str = Field(description=_DIGEST)


class QuotaModel(BaseModel):
    """One thing that is counted."""

    per_minute: int
    left: int = Field(description="now, on the node that answers")


class QuotasModel(BaseModel):
    """Quotas of the caller, by what is counted; what is not limited is absent."""

    quotas: dict[str, QuotaModel]


class ProblemModel(BaseModel):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str
    facts: dict[str, Any] | None = None
    account: str | None = Field(default=None, description=f"signed account, {_BYTES}")
