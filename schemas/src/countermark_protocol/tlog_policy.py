"""Trust policies: which witnesses must have cosigned a checkpoint before it is believed.

A policy file names logs, witnesses, groups of witnesses (k of n, nested) and the quorum. Each witness or group is
a member of at most one group, so each witness counts in one way only. The log's own keys never count: who could
make them count could witness itself.

From the times that witnesses state follow two times of the quorum, and neither can be moved by fewer witnesses
than the policy trusts: `Quorum.current_at` and `Quorum.existed_by`.

Source: C2SP tlog-policy; docs/spec/witness.md §3.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from countermark_protocol.checkpoint import Checkpoint, UnverifiedCheckpoint, verify_checkpoint
from countermark_protocol.cosignature import CosignerKey, parse_cosigner_vkey, verify_cosignature
from countermark_protocol.encoding import malformed
from countermark_protocol.errors import MalformedError, SignatureError
from countermark_protocol.note import NoteKey, parse_decimal, parse_vkey

#: 64 witnesses with ML-DSA-44 keys (1.8 kB each) and their URLs.
MAX_POLICY_BYTES: Final = 262_144
#: Of logs, of witnesses, and of groups; the specification asks for at least 32 of each.
MAX_DEFINITIONS: Final = 64

_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_SPACES = re.compile("[ \t]+")
_NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log that a policy accepts.

    Attributes:
        key: its name is the log's origin.
        url: where the log is reached; None where the file gives none.
    """

    key: NoteKey
    url: str | None


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A witness that a policy knows.

    Attributes:
        name: within the policy only; bytes that are not UTF-8 stand in it as lone surrogates.
        key: of the witness.
        url: where it takes checkpoints; None where the file gives none.
    """

    name: str
    key: CosignerKey
    url: str | None


@dataclass(frozen=True, slots=True)
class PolicyGroup:
    """At least `threshold` of the members.

    Attributes:
        name: within the policy only.
        threshold: 1 to the number of members.
        members: names of witnesses and of groups defined before.
    """

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TlogPolicy:
    """A policy as parsed.

    Attributes:
        logs: those that are accepted; empty where the log is known otherwise.
        witnesses: in the order of the file.
        groups: in the order of the file, so each after its members.
        quorum: name of a witness or group; None if no cosignature is demanded.
    """

    logs: tuple[PolicyLog, ...]
    witnesses: tuple[PolicyWitness, ...]
    groups: tuple[PolicyGroup, ...]
    quorum: str | None

    def is_met_by(self, names: Collection[str]) -> bool:
        """Whether these witnesses, by their names in the policy, are a quorum."""
        if self.quorum is None:
            return True
        held = set(names)
        for group in self.groups:
            if sum(member in held for member in group.members) >= group.threshold:
                held.add(group.name)
        return self.quorum in held


@dataclass(frozen=True, slots=True)
class Quorum:
    """What the witnesses of a policy say together about one checkpoint. Made by `check_quorum` only.

    Attributes:
        current_at: s since 1970: a quorum states, each at this time or later, that it had seen no larger tree.
            A leaf beyond this size is newer than that. None if the policy demands no cosignature.
        existed_by: s since 1970: a quorum states, each at this time or earlier, that it had seen this tree.
            None as above.
        times: the cosignatures that counted: name of the witness in the policy → its latest time, s.
    """

    current_at: int | None
    existed_by: int | None
    times: Mapping[str, int]


# --- parsing -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Reader:
    logs: list[PolicyLog] = field(default_factory=list)
    witnesses: list[PolicyWitness] = field(default_factory=list)
    groups: list[PolicyGroup] = field(default_factory=list)
    quorum: str | None = None
    #: Names defined so far → whether a group has them as a member.
    names: dict[str, bool] = field(default_factory=dict)

    def define(self, name: str) -> None:
        if name == _NONE:
            malformed("policy_name", "the name 'none' is predefined in a policy")
        if name in self.names:
            malformed("policy_name", f"the name {name[:64]!r} is defined twice in the policy")
        self.names[name] = False

    def known(self, name: str) -> None:
        if name not in self.names:
            malformed("policy_name", f"the name {name[:64]!r} is not defined on a line before in the policy")

    def log(self, items: Sequence[str]) -> None:
        _check_count("log", items, 1, 2)
        key = parse_vkey(items[0])
        if any(key.public_key == log.key.public_key for log in self.logs):
            malformed("policy_twice", f"the key of the log {key.name[:64]!r} stands twice in the policy")
        self.logs.append(PolicyLog(key, _second(items, 1)))

    def witness(self, items: Sequence[str]) -> None:
        _check_count("witness", items, 2, 3)
        key = parse_cosigner_vkey(items[1])
        for other in self.witnesses:
            same_line = (key.name, key.key_id) == (other.key.name, other.key.key_id)
            if key.raw == other.key.raw or same_line:
                malformed("policy_twice", f"the key of {items[0][:64]!r} stands twice in the policy")
        self.define(items[0])
        self.witnesses.append(PolicyWitness(items[0], key, _second(items, 2)))

    def group(self, items: Sequence[str]) -> None:
        _check_count("group", items, 3, MAX_DEFINITIONS * 2 + 2)
        name, threshold, *members = items
        for member in members:
            self.known(member)
            if self.names[member]:
                malformed("policy_name", f"{member[:64]!r} is a member of a group twice in the policy")
            self.names[member] = True
        self.define(name)
        self.groups.append(PolicyGroup(name, _threshold(threshold, len(members)), tuple(members)))

    def set_quorum(self, items: Sequence[str]) -> None:
        _check_count("quorum", items, 1, 1)
        if self.quorum is not None:
            malformed("policy_quorum", "a policy has exactly one quorum line")
        if items[0] != _NONE:
            self.known(items[0])
        self.quorum = items[0]

    def done(self) -> TlogPolicy:
        if self.quorum is None:
            malformed("policy_quorum", "a policy has exactly one quorum line, and this one has none")
        for kind in (self.logs, self.witnesses, self.groups):
            if len(kind) > MAX_DEFINITIONS:
                malformed(
                    "policy_too_large",
                    f"expected at most {MAX_DEFINITIONS} logs, witnesses or groups each, got {len(kind)}",
                )
        keys = {log.key.public_key.raw for log in self.logs}
        names = {log.key.name for log in self.logs}
        for witness in self.witnesses:
            if witness.key.raw in keys or witness.key.name in names:
                malformed("witness_is_log", f"the witness {witness.name[:64]!r} has a log's key or name")
        quorum = None if self.quorum == _NONE else self.quorum
        return TlogPolicy(tuple(self.logs), tuple(self.witnesses), tuple(self.groups), quorum)


def _check_count(keyword: str, items: Sequence[str], least: int, most: int) -> None:
    if not least <= len(items) <= most:
        malformed(
            "policy_line", f"expected {least} to {most} items after '{keyword}' in a policy, got {len(items)}"
        )


def _second(items: Sequence[str], at: int) -> str | None:
    return items[at] if len(items) > at else None


def _threshold(text: str, members: int) -> int:
    if text in {"any", "all"}:
        return 1 if text == "any" else members
    try:
        threshold = parse_decimal(text, "threshold of a group")
    except MalformedError:
        threshold = 0
    if not 1 <= threshold <= members:
        malformed("policy_threshold", f"expected 'any', 'all' or 1 to {members} as threshold of a group")
    return threshold


def parse_policy(data: bytes) -> TlogPolicy:
    """Parse a policy file, strictly.

    Raises:
        MalformedError: ``policy_too_large``: more than 262,144 bytes, or more than 64 logs, witnesses or groups;
            ``forbidden_character``; ``policy_line``: not one of the four lines, or the last one has no newline;
            ``policy_name``: predefined, defined twice, not defined before, or a member twice;
            ``policy_threshold``; ``policy_quorum``: not exactly one quorum line; ``policy_twice``: a key stands
            twice; ``witness_is_log``: a witness has the key or the name of a log; or a verifier key is wrong,
            see `note.parse_vkey` and `cosignature.parse_cosigner_vkey`.
        UncheckableError: ``note_key_type``: a verifier key of a type that does not fit its line.

    Source: C2SP tlog-policy, "Policy file syntax and structure".
    """
    if len(data) > MAX_POLICY_BYTES:
        malformed(
            "policy_too_large", f"expected a policy of at most {MAX_POLICY_BYTES} bytes, got {len(data)}"
        )
    if _FORBIDDEN.search(data):
        malformed("forbidden_character", "the policy holds a control character other than tab and newline")
    if data and not data.endswith(b"\n"):
        # Cut off in the middle of a name, the quorum could be another one.
        malformed("policy_line", "the last line of the policy has no newline: is the file whole?")
    reader = _Reader()
    lines = {
        "log": reader.log,
        "witness": reader.witness,
        "group": reader.group,
        "quorum": reader.set_quorum,
    }
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        keyword, *items = _SPACES.split(line.strip(" \t"))
        if not keyword or keyword.startswith("#"):
            continue
        if keyword not in lines:
            malformed("policy_line", f"expected 'log', 'witness', 'group' or 'quorum', got {keyword[:64]!r}")
        lines[keyword](items)
    return reader.done()


def threshold_policy(witnesses: Sequence[Sequence[CosignerKey]], threshold: int) -> TlogPolicy:
    """The policy that `threshold` of these witnesses demand, each by any of its keys.

    Args:
        witnesses: the keys of each, of both kinds; a witness without keys never counts.
        threshold: 0 to the number of witnesses; 0 demands no cosignature.

    Returns:
        A policy without logs, in which the key of signature type *t* of the witness at place *i* is called
        ``<i>/<t>``: so the times of a `Quorum` name it.

    Raises:
        ValueError: the threshold is outside the range above.

    Source: docs/spec/witness.md §3.3, §3.4.
    """
    if not 0 <= threshold <= len(witnesses):
        msg = f"expected a threshold from 0 to {len(witnesses)}, got {threshold}"
        raise ValueError(msg)
    known = tuple(
        PolicyWitness(f"{i}/{key.kind}", key, None) for i, keys in enumerate(witnesses) for key in keys
    )
    groups = tuple(
        PolicyGroup(str(i), 1, tuple(f"{i}/{key.kind}" for key in keys)) for i, keys in enumerate(witnesses)
    )
    if not threshold:
        return TlogPolicy((), known, (), None)
    whole = PolicyGroup("quorum", threshold, tuple(group.name for group in groups))
    return TlogPolicy((), known, (*groups, whole), whole.name)


# --- checking ----------------------------------------------------------------------------------------


def check_quorum(policy: TlogPolicy, checkpoint: Checkpoint, log_keys: Collection[bytes] = ()) -> Quorum:
    """Check that a quorum of a policy's witnesses cosigned a checkpoint.

    Lines by keys that the policy does not name are ignored. A line by a witness of the policy that does not
    verify voids the checkpoint: whoever gathers cosignatures verifies them first.

    Args:
        policy: whom to believe.
        checkpoint: verified to be the log's.
        log_keys: raw public keys that belong to the log, now or formerly; never counted.

    Raises:
        SignatureError: ``checkpoint_origin``: the policy lists logs, and this is none of them;
            ``quorum_not_met``; ``bad_signature``, ``signature_size``, ``cosignature_time``: a line by a witness
            of the policy does not verify.
        MalformedError: ``cosigned_name_size``: the origin is too long to be cosigned with ML-DSA-44.

    Does not prove: that the tree continues an older one (`merkle.verify_consistency`).
    Source: C2SP tlog-policy; docs/spec/witness.md §3.5.
    """
    if policy.logs and all(log.key.name != checkpoint.origin for log in policy.logs):
        raise SignatureError(
            "checkpoint_origin", f"the policy does not accept the log {checkpoint.origin[:64]!r}"
        )
    first: dict[str, int] = {}
    latest: dict[str, int] = {}
    for witness in policy.witnesses:
        own = witness.key.name == checkpoint.origin or witness.key.raw in log_keys
        for line in checkpoint.cosignatures:
            if not own and witness.key.matches(line):
                time = verify_cosignature(checkpoint, witness.key, line)
                first[witness.name] = min(time, first.get(witness.name, time))
                latest[witness.name] = max(time, latest.get(witness.name, time))
    if not policy.is_met_by(latest):
        raise SignatureError(
            "quorum_not_met",
            f"{len(latest)} of the policy's {len(policy.witnesses)} witnesses cosigned: they are no quorum",
        )
    if policy.quorum is None:
        return Quorum(None, None, latest)
    return Quorum(
        current_at=max(t for t in latest.values() if policy.is_met_by([n for n in latest if latest[n] >= t])),
        existed_by=min(t for t in first.values() if policy.is_met_by([n for n in first if first[n] <= t])),
        times=latest,
    )


def verify_by_policy(policy: TlogPolicy, unverified: UnverifiedCheckpoint) -> tuple[Checkpoint, Quorum]:
    """Check a checkpoint by nothing but a policy: signed by one of its logs, and cosigned by its quorum.

    Raises:
        SignatureError: as `checkpoint.verify_checkpoint` and `check_quorum`.
        MalformedError: as `check_quorum`.

    Source: C2SP tlog-policy, "What is a 'policy'?".
    """
    keys = [log.key for log in policy.logs if log.key.name == unverified.origin]
    if not keys:
        raise SignatureError(
            "checkpoint_origin", f"the policy does not accept the log {unverified.origin[:64]!r}"
        )
    signed = {(s.name, s.key_id) for s in unverified.note.signatures}
    key = next((k for k in keys if (k.name, k.key_id) in signed), keys[0])
    checkpoint = verify_checkpoint(unverified, key.name, key.public_key.raw)
    return checkpoint, check_quorum(policy, checkpoint)
