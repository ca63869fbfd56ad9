"""A whole small world for tests: governors, authorities, endpoints, their keys, and what they sign.

Everything is made with the protocol package alone, so the same world runs against the real broker, the test
broker and replays. Keys come from names, so a world is the same in every run; only times and salts differ.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from countermark_protocol.acts import Disclosure, LookUp, Purge, PurgeGround, Scope
from countermark_protocol.boxes import Box
from countermark_protocol.claims import MAX_TIME, Header, Kind, Seen
from countermark_protocol.default_policy import DEFAULT_POLICY
from countermark_protocol.documents import (
    parse_document,
    payload_hash,
    sign_document,
    statement_hash,
)
from countermark_protocol.encoding import encode_json
from countermark_protocol.handling import Classification, Handling, HandlingCode, Tlp, UsePurpose
from countermark_protocol.identifiers import (
    Address,
    AuthorityCode,
    Origin,
    Role,
    authority_of,
    make_message_id,
    role_of,
)
from countermark_protocol.mandates import Oversight, Term, Witness
from countermark_protocol.manifest import Manifest, Urgency
from countermark_protocol.merkle import EMPTY_ROOT
from countermark_protocol.parts import split_content
from countermark_protocol.policy import ROLES_ALONE, Policy, Relation, Rule, Side
from countermark_protocol.receipts import Receipt, ReceiptItem, ReceiptStage
from countermark_protocol.recipients import RecipientRow, order_rows, recipients_root, stanza_hash
from countermark_protocol.records import (
    AuthorityRecord,
    DirectoryStatement,
    EndpointRecord,
    GroupRecord,
    InstanceKey,
    KeysRecord,
    LogRecord,
    Record,
    RevocationRecord,
    State,
    make_key_set,
    subject_of,
)
from countermark_protocol.sealing import (
    ContentSecrets,
    MessageBinding,
    SealingKey,
    open_content,
    seal_content,
    unwrap_secrets,
    wrap_secrets,
)
from countermark_protocol.signers import Ed25519Signer
from countermark_protocol.submission import encode_submission
from countermark_protocol.types import TYPES
from support.attached import Attached, attach_all

ORIGIN = Origin("log.example.org/countermark/1")
BROKER = Address("xo-secretariat.broker.main")
NOTHING_SEEN = Seen(0, EMPTY_ROOT)
DAY = 86_400_000
ALL_TYPES = {name: tuple(sorted(info.versions)) for name, info in TYPES.items()}

ANYBODY = Side(frozenset(), frozenset())

#: The endpoints of the usual world.
NAIROBI = Address("ke.police.nairobi")
KAMPALA = Address("ug.contact.kampala")
BRUSSELS = Address("be.licensing.federal")
LYON = Address("xo-interpol.organisation.iarms")
MOMBASA = Address("ke.customs.mombasa")
USUAL = (NAIROBI, KAMPALA, BRUSSELS, LYON, MOMBASA)
#: Auditors, in worlds that have some.
KENYAN_AUDITOR = Address("ke.auditor.office")
OVERSEER = Address("xo-un.auditor.panel")
ALWAYS = Term(0, MAX_TIME)


def now_ms() -> int:
    """The machine's clock, ms since 1970."""
    return time.time_ns() // 1_000_000


def seed(name: str) -> bytes:
    """32 bytes that belong to a name."""
    return hashlib.sha256(f"test key of {name}".encode()).digest()


def signer(name: str) -> Ed25519Signer:
    """The signing key that belongs to a name."""
    return Ed25519Signer(seed(name))


@dataclass
class Agency:
    """An endpoint with its private keys."""

    address: Address
    administrator: Ed25519Signer
    instance: Ed25519Signer
    sealing: SealingKey


@dataclass
class Sealed:
    """A submission, and what its sender keeps of it."""

    data: bytes
    document: bytes
    manifest: Manifest
    rows: tuple[RecipientRow, ...]
    stanzas: tuple[bytes, ...]
    content: bytes
    secrets: ContentSecrets
    attached: tuple[Attached, ...] = ()

    @property
    def pieces(self) -> dict[bytes, bytes]:
        """The pieces of all attachments, by digest: what is uploaded before the submission."""
        return {piece.digest: piece.data for one in self.attached for piece in one.pieces}

    @property
    def payload_hash(self) -> bytes:
        return parse_document(self.document).payload_hash

    @property
    def box(self) -> Box:
        return Box.URGENT if self.manifest.urgency in {Urgency.URGENT, Urgency.FLASH} else Box.ROUTINE

    def expected_deliveries(self) -> set[tuple[Address, Box]]:
        return {(row.endpoint, self.box) for row in self.rows}


_ORGANISATIONS = Side(frozenset({Role.ORGANISATION}), frozenset())


def _also(like: str, **changes: Any) -> Rule:
    rule = next(rule for rule in DEFAULT_POLICY.rules if rule.id == like)
    return replace(rule, id=f"{like}-test", **changes)


#: The default table, and an organisation that is asked for traces and answers: a third party in conversations.
TABLE = replace(
    DEFAULT_POLICY,
    rules=(
        *DEFAULT_POLICY.rules,
        _also("trace-request", recipient=_ORGANISATIONS),
        _also("trace-answer", sender=_ORGANISATIONS),
    ),
)


def first_semantics() -> Policy:
    """What of the default table a release can read that knows no other semantics than the first."""
    plain = Rule("", ANYBODY, frozenset(), ANYBODY, Relation.ANY, 1, Classification.SECRET, frozenset())
    names = ("release", "on_behalf_of", "tlp", "to_group", "enforced_by", "basis")
    stripped = [replace(r, **{n: getattr(plain, n) for n in names[-2:]}) for r in DEFAULT_POLICY.rules]
    return Policy(
        tuple(r for r in stripped if all(getattr(r, n) == getattr(plain, n) for n in names)), ROLES_ALONE
    )


def handling(**changes: Any) -> Handling:
    """Ordinary handling."""
    values: dict[str, Any] = {
        "tlp": Tlp.AMBER,
        "classification": Classification.RESTRICTED,
        "codes": (HandlingCode.H1,),
        "originator_control": True,
        "purpose": UsePurpose.CRIMINAL_INVESTIGATION,
        "retention_until": now_ms() + 1000 * DAY,
    }
    return Handling(**(values | changes))


@dataclass
class World:
    """Principals and what they sign. `prev` of directory statements is kept track of here.

    Attributes:
        origin: of the log.
        grace_ms: until an undelivered notice.
        endpoints: to be enrolled; those with the role ``auditor`` audit their State for ever.
        oversight: oversight auditors, named by the founding.
        witnesses: named by the founding; a quorum of two where there are as many.
        broker_made_keys: log key, administrator and node key are made by a real broker, not here.
    """

    origin: Origin = ORIGIN
    grace_ms: int = 15 * 60 * 1000
    endpoints: Sequence[Address] = USUAL
    quorum: int = 2
    policy: Policy = TABLE
    governors: tuple[Ed25519Signer, ...] = tuple(signer(f"governor {i}") for i in range(3))
    oversight: tuple[Oversight, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    agencies: dict[Address, Agency] = field(default_factory=dict)
    newest: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log_key = signer("log")
        self.node_key = signer("node")
        self.administrator = signer("broker administrator")
        for address in self.endpoints:
            self.agencies[address] = self.agency(address)

    def agency(self, address: str) -> Agency:
        """The keys of an address, enrolled or not."""
        return Agency(
            Address(address),
            signer(f"administrator {address}"),
            signer(f"instance {address}"),
            SealingKey(seed(f"sealing {address}")),
        )

    # --- directory ---

    def record_statement(
        self,
        kind: Kind,
        name: str,
        record: Record,
        signers: Iterable[Any],
        possession: Iterable[Any] = (),
        **changes: Any,
    ) -> bytes:
        """A signed directory statement that follows the newest one of its subject."""
        subject = subject_of(kind, name)
        prev = None if kind in {Kind.FOUNDING, Kind.REVOCATION} else self.newest.get(subject)
        header = Header(kind, changes.pop("origin", self.origin), changes.pop("seen", NOTHING_SEEN))
        payload = DirectoryStatement(header, subject, changes.pop("prev", prev), record).to_json()
        data = sign_document(encode_json(payload | changes), signers, possession)
        self.newest[subject] = statement_hash(data)
        return data

    def log_record(self, **changes: Any) -> LogRecord:
        """The founding's record."""
        values: dict[str, Any] = {"auditors": self.oversight, "witnesses": self.witnesses}
        values["witness_quorum"] = min(len(self.witnesses), 2)
        return LogRecord(
            log_key=self.log_key.public_key,
            governors=make_key_set([g.public_key for g in self.governors], self.quorum),
            broker=BROKER,
            broker_administrator=make_key_set([self.administrator.public_key]),
            undelivered_grace=self.grace_ms,
            reset_delay=DAY,
            **(values | changes),
        )

    def governance(self, **changes: Any) -> bytes:
        """A new record of the log, by the governors' quorum."""
        return self.record_statement(
            Kind.GOVERNANCE, "", self.log_record(**changes), self.governors[: self.quorum]
        )

    def founding(self) -> bytes:
        """Entry 0."""
        return self.record_statement(
            Kind.FOUNDING, "", self.log_record(), self.governors, [self.log_key, self.administrator]
        )

    def broker_keys(self) -> bytes:
        """Entry 1."""
        record = KeysRecord(BROKER, (InstanceKey(self.node_key.public_key, "node-1"),), None, None, 0, {})
        return self.record_statement(Kind.KEYS, BROKER, record, [self.administrator], [self.node_key])

    def policy_statement(self, policy: Policy | None = None) -> bytes:
        """The policy table."""
        return self.record_statement(Kind.POLICY, "", policy or self.policy, self.governors[: self.quorum])

    def authority(self, code: str) -> Ed25519Signer:
        """The key of an authority."""
        return signer(f"authority {code}")

    def authority_statement(
        self, code: str, roles: Sequence[Role] | None = None, state: State = State.ACTIVE
    ) -> bytes:
        """Admits an authority; all roles unless told otherwise."""
        key = self.authority(code)
        fresh = f"authority/{code}" not in self.newest
        record = AuthorityRecord(
            AuthorityCode(code),
            f"Authority {code}",
            make_key_set([key.public_key]),
            tuple(roles or (r for r in Role if r is not Role.BROKER)),
            state,
        )
        return self.record_statement(
            Kind.AUTHORITY, code, record, self.governors[: self.quorum], [key] if fresh else []
        )

    def endpoint_statement(
        self, address: str, state: State = State.ACTIVE, audits: Term | None = ALWAYS
    ) -> bytes:
        """Admits an endpoint; an auditor with its term."""
        agency = self.agencies.setdefault(Address(address), self.agency(address))
        fresh = f"endpoint/{address}" not in self.newest
        record = EndpointRecord(
            agency.address,
            f"Endpoint {address}",
            make_key_set([agency.administrator.public_key]),
            state,
            audits if role_of(agency.address) is Role.AUDITOR else None,
        )
        return self.record_statement(
            Kind.ENDPOINT,
            address,
            record,
            [self.authority(authority_of(address))],
            [agency.administrator] if fresh else [],
        )

    def keys_statement(self, address: str, reads: Any = None, **changes: Any) -> bytes:
        """An endpoint's keys."""
        agency = self.agencies[Address(address)]
        fresh = f"keys/{address}" not in self.newest
        record = KeysRecord(
            agency.address,
            (InstanceKey(agency.instance.public_key, "worker-1"),),
            agency.sealing.public_key,
            None,
            0,
            ALL_TYPES if reads is None else reads,
        )
        return self.record_statement(
            Kind.KEYS, address, record, [agency.administrator], [agency.instance] if fresh else [], **changes
        )

    def group_statement(self, name: str, members: Sequence[str]) -> bytes:
        """A group of endpoints."""
        record = GroupRecord(name, f"Group {name}", tuple(map(Address, members)), State.ACTIVE)  # type: ignore[arg-type]
        return self.record_statement(
            Kind.GROUP, name, record, [self.authority(name.split("/", maxsplit=1)[0])]
        )

    def revocation(self, key: Any, record: RevocationRecord, by: Sequence[Any]) -> bytes:
        """Revokes a key."""
        return self.record_statement(Kind.REVOCATION, key.public_key.key_id.hex(), record, by)

    def setup(self) -> list[bytes]:
        """What follows entry 1 until all endpoints can send: policy, authorities, endpoints, keys."""
        out = [self.policy_statement()]
        codes = sorted({authority_of(address) for address in self.endpoints})
        out += [self.authority_statement(code) for code in codes]
        for address in self.endpoints:
            out += [self.endpoint_statement(address), self.keys_statement(address)]
        return out

    # --- messages ---

    def message(
        self,
        sender: str,
        recipients: Sequence[str],
        *,
        type: str = "confiscation-notice",  # noqa: A002  the manifest's own word
        content: dict[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
        seen: Seen = NOTHING_SEEN,
        signer: Any = None,
        **changes: Any,
    ) -> Sealed:
        """A sealed and signed submission; `files` are attached, `changes` are members of the manifest."""
        now = changes.pop("sent_at", now_ms())
        message_id = changes.pop("id", make_message_id(now, os.urandom(10)))
        agency = self.agencies.get(Address(sender)) or self.agency(sender)
        secrets = ContentSecrets(os.urandom(32), os.urandom(32))
        attached = attach_all(secrets, files or {})
        parts = split_content(
            content or {"note": f"from {sender}", "items": [{"serial": "unknown"}]},
            [one.descriptor for one in attached],
        )
        ciphertext, sealed = seal_content(parts, secrets, os.urandom(24))
        origin = changes.pop("origin", self.origin)
        named = tuple(one.file.named for one in attached)
        digests = (sealed.digest, *(one.digest for one in named))
        binding = MessageBinding(origin, message_id, type, agency.address, digests)
        by_row: dict[RecipientRow, bytes] = {}
        for recipient in recipients:
            there = self.agencies.get(Address(recipient)) or self.agency(recipient)
            key = there.sealing.public_key
            stanza = wrap_secrets(key, binding.info(there.address, key.key_id), secrets)
            row = RecipientRow(os.urandom(32), there.address, key.key_id, stanza_hash(stanza))
            by_row[row] = stanza
        rows = order_rows(list(by_row))
        extra = changes.pop("extra", {})
        values: dict[str, Any] = {
            "header": Header(Kind.MESSAGE, origin, seen),
            "id": message_id,
            "type": type,
            "version": 1,
            "sender": agency.address,
            "recipient_count": len(rows),
            "recipient_root": recipients_root(rows),
            "recipients_visible": False,
            "sent_at": now,
            "expires_at": now + 30 * DAY,
            "urgency": Urgency.ROUTINE,
            "handling": handling(),
            "exercise": True,
            "content": sealed,
            "attachments": named,
        }
        manifest = Manifest(**(values | changes))
        document = sign_document(encode_json(manifest.to_json() | extra), [signer or agency.instance])
        stanzas = tuple(by_row[row] for row in rows)
        data = encode_submission(document, rows, stanzas, ciphertext, [one.file.pieces for one in attached])
        return Sealed(data, document, manifest, rows, stanzas, ciphertext, secrets, attached)

    def reply(
        self,
        sender: str,
        to: Sealed,
        *,
        type: str = "tracing-response",  # noqa: A002  the manifest's own word
        **changes: Any,
    ) -> Sealed:
        """An answer to a message, to its sender alone."""
        first = to.manifest.conversation or to.payload_hash
        return self.message(
            sender,
            [to.manifest.sender],
            type=type,
            conversation=first,
            in_reply_to=to.payload_hash,
            **changes,
        )

    def receipt(
        self,
        author: str,
        messages: Sequence[Sealed | bytes],
        stage: ReceiptStage = ReceiptStage.DELIVERED,
        *,
        sender: str | None = None,
        seen: Seen = NOTHING_SEEN,
        signer: Any = None,
        items: tuple[ReceiptItem, ...] | None = None,
        made_at: int | None = None,
    ) -> bytes:
        """A signed receipt."""
        first = messages[0]
        to = sender or (first.manifest.sender if isinstance(first, Sealed) else NAIROBI)
        hashes = [m.payload_hash if isinstance(m, Sealed) else m for m in messages]
        checked = True if stage is ReceiptStage.ACCEPTED else None
        receipt = Receipt(
            header=Header(Kind.RECEIPT, self.origin, seen),
            author=Address(author),
            sender=Address(to),
            stage=stage,
            made_at=now_ms() if made_at is None else made_at,
            items=items or tuple(ReceiptItem(h, commitment_checked=checked) for h in hashes),
        )
        return sign_document(
            encode_json(receipt.to_json()), [signer or self.agencies[Address(author)].instance]
        )

    # --- look-ups, disclosures, purges ---

    def look_up(
        self,
        author: str,
        scope: Scope = Scope.NATIONAL,
        *,
        until: int | None = None,
        ground: str = "annual review",
        seen: Seen = NOTHING_SEEN,
        signer: Any = None,
    ) -> bytes:
        """An auditor's signed look-up, for an hour."""
        act = LookUp(
            Header(Kind.LOOKUP, self.origin, seen),
            Address(author),
            scope,
            ground,
            now_ms() + 3_600_000 if until is None else until,
        )
        return self.act(author, act, signer)

    def disclosure(
        self, author: str, message: Sealed | bytes, *, signer: Any = None, **changes: Any
    ) -> bytes:
        """A party's signed statement of what it has disclosed."""
        values: dict[str, Any] = {
            "header": Header(Kind.DISCLOSURE, self.origin, NOTHING_SEEN),
            "author": Address(author),
            "message": message.payload_hash if isinstance(message, Sealed) else message,
            "to": "High Court of Kenya, Nairobi",
            "ground": "criminal case 12 of 2026",
            "disclosed": 1,
            "parts": 2,
            "digest": bytes(32),
        }
        return self.act(author, Disclosure(**(values | changes)), signer)

    def purge(
        self,
        author: str,
        message: Sealed | bytes,
        ground: PurgeGround = PurgeGround.WITHDRAWN,
        *,
        signer: Any = None,
    ) -> bytes:
        """A signed purge, by the originator or the broker."""
        named = message.payload_hash if isinstance(message, Sealed) else message
        act = Purge(Header(Kind.PURGE, self.origin, NOTHING_SEEN), Address(author), named, ground)
        return self.act(author, act, signer)

    def act(self, author: str, act: LookUp | Disclosure | Purge, signer: Any = None) -> bytes:
        """Sign what an endpoint, or the broker, does."""
        key = self.node_key if author == BROKER else self.agencies[Address(author)].instance
        return sign_document(encode_json(act.to_json()), [signer or key])

    def open(self, recipient: str, manifest: Manifest, stanza: bytes, content: bytes) -> Any:
        """Open what a recipient was given; the parts."""
        agency = self.agencies[Address(recipient)]
        binding = MessageBinding(
            manifest.header.log, manifest.id, manifest.type, manifest.sender, manifest.ciphertexts
        )
        info = binding.info(agency.address, agency.sealing.public_key.key_id)
        return open_content(content, unwrap_secrets(agency.sealing, info, stanza), manifest.content)


def hash_of(data: bytes) -> bytes:
    """Payload hash of a signed document."""
    return payload_hash(parse_document(data).payload)
