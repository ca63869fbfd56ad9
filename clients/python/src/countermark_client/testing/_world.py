"""A whole world for a test in one line: a log, its governors, authorities, endpoints and their clients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from countermark_client._async import AsyncClient
from countermark_client._keystore import (
    ADMINISTRATOR,
    AUTHORITY,
    INSTANCE,
    SEALING,
    MemoryKeystore,
    make_key,
)
from countermark_client._profile import Profile
from countermark_client._settings import Settings
from countermark_client._sync import Client
from countermark_client.drafts import change_keys
from countermark_client.statements import Drafts, add_signature, sign_gathering
from countermark_client.testing._broker import TestBroker
from countermark_client.testing._clock import MovableClock
from countermark_client.testing._transport import TestTransport
from countermark_client.testing._witnesses import cosign, describe, make_cosigner
from countermark_protocol.acts import Scope
from countermark_protocol.claims import Seen
from countermark_protocol.default_policy import DEFAULT_POLICY
from countermark_protocol.documents import Purpose
from countermark_protocol.encoding import JsonObject
from countermark_protocol.identifiers import (
    Address,
    AuthorityCode,
    Role,
    authority_of,
    owner_of_group,
    parse_address,
)
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Signer
from countermark_protocol.mandates import Oversight, Term
from countermark_protocol.policy import Policy
from countermark_protocol.records import EndpointRecord, Ground, KeysRecord, State

ORIGIN: Final = "log.test/countermark"
HOST: Final = "broker.test"
BROKER: Final = "xo-test.broker.log"
PASSPHRASE: Final = "for tests only"  # noqa: S105
_ENROLLED_ROLES: Final = tuple(r for r in Role if r is not Role.BROKER)


def _signer(use: str) -> Signer:
    return MemoryKeystore((make_key(use),)).signer(use)


@dataclass(slots=True)
class World:
    """A log with everybody in it.

    Attributes:
        clock: everybody's clock.
        broker: the broker in memory.
        transport: between all clients and it.
        trust: bytes of the trust file.
    """

    clock: MovableClock
    broker: TestBroker
    transport: TestTransport
    trust: bytes
    _governor: Signer
    _log_key: Signer
    _authorities: dict[AuthorityCode, Signer] = field(default_factory=dict)
    _keystores: dict[Address, MemoryKeystore] = field(default_factory=dict)
    _profiles: dict[Address, Profile] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The broker's base URL, for profiles of one's own."""
        return f"https://{HOST}"

    @property
    def drafts(self) -> Drafts:
        """Drafts of directory statements, from the log as it is now."""
        state = self.broker.state
        return Drafts(state.origin, state.directory, Seen(state.size, state.roots[state.size]))

    # --- governors ---

    def set_policy(self, policy: Policy) -> None:
        """Put another policy table in force."""
        self.broker.post_statement(sign_gathering(self.drafts.policy(policy), [self._governor]))

    def authority(self, code: str) -> Signer:
        """The key of an authority, which is admitted if it is not yet."""
        known = self._authorities.get(AuthorityCode(code))
        if known is not None:
            return known
        signer = _signer(AUTHORITY)
        draft = self.drafts.authority(
            code, name=f"Authority {code}", keys=[signer.public_key], roles=_ENROLLED_ROLES
        )
        self.broker.post_statement(sign_gathering(draft, [self._governor], [signer]))
        self._authorities[AuthorityCode(code)] = signer
        return signer

    def appoint_witnesses(self, *names: str, quorum: int) -> None:
        """Let the governors name witnesses; `cosign` lets them cosign."""
        cosigners = {name: make_cosigner(name) for name in names}
        record = replace(
            self.broker.state.directory.log(),
            witnesses=tuple(describe(name, one) for name, one in cosigners.items()),
            witness_quorum=quorum,
        )
        self.broker.post_statement(sign_gathering(self.drafts.governance(record), [self._governor]))

    def cosign(self, *names: str, at: int | None = None) -> bytes:
        """Let witnesses cosign the newest checkpoint, and the broker serve it.

        Args:
            names: of the witnesses.
            at: ms since 1970 that they state; now if None.
        """
        self.broker.cosigned = cosign(
            self.broker.checkpoint,
            self.broker.state.origin,
            self._log_key.public_key.raw,
            [make_cosigner(name) for name in names],
            self.clock() if at is None else at,
        )
        return self.broker.cosigned

    def appoint_auditor(self, address: str, scope: Scope, *, until: int | None = None) -> MemoryKeystore:
        """Enrol an auditor, and let its authority (or, for oversight, the governors) give it a mandate.

        Args:
            address: with the role ``auditor``; enrolled unless it is.
            scope: of the mandate.
            until: ms since 1970 at which it ends; 365 days from now if None.
        """
        parsed = parse_address(address)
        keys = self._keystores.get(parsed) or self.enrol(address)
        term = Term(self.clock(), self.clock() + 365 * 86_400_000 if until is None else until)
        directory = self.broker.state.directory
        if scope is Scope.OVERSIGHT:
            others = tuple(one for one in directory.log().auditors if one.address != parsed)
            named = replace(directory.log(), auditors=(*others, Oversight(parsed, term)))
            self.broker.post_statement(sign_gathering(self.drafts.governance(named), [self._governor]))
            return keys
        record = directory.endpoint(parsed)
        assert record is not None
        draft = self.drafts.endpoint(
            parsed, name=record.name, administrator=record.administrator.keys, audits=term
        )
        self.broker.post_statement(sign_gathering(draft, [self.authority(authority_of(parsed))]))
        return keys

    # --- authorities ---

    def enrol(self, address: str, reads: dict[str, tuple[int, ...]] | None = None) -> MemoryKeystore:
        """Enrol an endpoint with fresh keys; its keystore, administrator key included."""
        parsed = parse_address(address)
        keys = MemoryKeystore((make_key(ADMINISTRATOR), make_key(INSTANCE), make_key(SEALING)))
        authority = self.authority(authority_of(parsed))
        administrator = keys.signer(ADMINISTRATOR)
        draft = self.drafts.endpoint(
            parsed, name=f"Endpoint {parsed}", administrator=[administrator.public_key]
        )
        self.broker.post_statement(sign_gathering(draft, [authority], [administrator]))
        instance = keys.signer(INSTANCE)
        draft = self.drafts.keys(
            parsed,
            signing=[(instance.public_key, "one")],
            sealing=keys.sealing_key().public_key,
            reads=reads,
        )
        self.broker.post_statement(sign_gathering(draft, [administrator], [instance]))
        self._keystores[parsed] = keys
        return keys

    def suspend(self, address: str) -> None:
        """Let an authority suspend an endpoint."""
        parsed = parse_address(address)
        record = self.broker.state.directory.endpoint(parsed)
        assert record is not None
        draft = self.drafts.endpoint(
            parsed, name=record.name, administrator=record.administrator.keys, state=State.SUSPENDED
        )
        self.broker.post_statement(sign_gathering(draft, [self.authority(authority_of(parsed))]))

    def group(self, name: str, members: Iterable[str]) -> None:
        """Let an authority make or change a group; its code stands in the name."""
        draft = self.drafts.group(name, title=f"Group {name}", members=members)
        self.broker.post_statement(sign_gathering(draft, [self.authority(owner_of_group(name))]))

    # --- administrators ---

    def rotate_sealing_key(self, address: str, *, overlap_ms: int = 0) -> MemoryKeystore:
        """Give an endpoint a new sealing key; the keystore that holds old and new."""
        parsed, record = self._keys_record(address)
        keys = self._keystores[parsed].with_key(make_key(SEALING))
        draft = self.drafts.keys(
            parsed,
            signing=[(k.key, k.holder) for k in record.signing],
            sealing=keys.sealing_key().public_key,
            reads=record.reads,
            previous_sealing=record.sealing if overlap_ms else None,
            previous_until=self.clock() + overlap_ms if overlap_ms else 0,
        )
        self.broker.post_statement(sign_gathering(draft, [keys.signer(ADMINISTRATOR)]))
        self._keystores[parsed] = keys
        return keys

    def add_instance(self, address: str, holder: str = "two") -> MemoryKeystore:
        """Certify a further instance of an endpoint; its keystore, without the administrator key."""
        parsed, record = self._keys_record(address)
        keys = self._keystores[parsed]
        fresh = make_key(INSTANCE)
        shared: tuple[StoredKey, ...] = tuple(k for k in keys.stored if k.use == SEALING)
        instance = MemoryKeystore((fresh, *shared))
        draft = self.drafts.keys(
            parsed,
            signing=[
                *((k.key, k.holder) for k in record.signing),
                (instance.signer(INSTANCE).public_key, holder),
            ],
            sealing=record.sealing,
            reads=record.reads,
        )
        self.broker.post_statement(
            sign_gathering(draft, [keys.signer(ADMINISTRATOR)], [instance.signer(INSTANCE)])
        )
        return instance

    def revoke_instance(self, address: str, compromised_at: int | None = None) -> None:
        """Revoke the first instance key of an endpoint."""
        parsed = parse_address(address)
        keys = self._keystores[parsed]
        draft = self.drafts.revocation(
            keys.signer(INSTANCE).public_key.key_id, ground=Ground.COMPROMISE, compromised_at=compromised_at
        )
        self.broker.post_statement(sign_gathering(draft, [keys.signer(ADMINISTRATOR)]))

    def reset_administrator(self, address: str) -> Signer:
        """Let an authority give an endpoint another administrator, whose key joins its keystore; that key."""
        parsed = parse_address(address)
        held = self.broker.state.directory.held(f"endpoint/{parsed}")
        assert held is not None
        assert isinstance(held.record, EndpointRecord)
        keys = self._keystores[parsed].with_key(make_key(ADMINISTRATOR))
        new = keys.signer(ADMINISTRATOR)
        draft = self.drafts.endpoint(parsed, name=held.record.name, administrator=[new.public_key])
        self.broker.post_statement(sign_gathering(draft, [self.authority(authority_of(parsed))], [new]))
        self._keystores[parsed] = keys
        return new

    def change_keys(
        self,
        address: str,
        *,
        by: Signer | None = None,
        possession: Iterable[Signer] = (),
        countersigners: Iterable[Signer] = (),
        **changes: Any,
    ) -> None:
        """Let an administrator change an endpoint's keys.

        Args:
            address: of the endpoint.
            by: the administrator; the newest in its keystore if None.
            possession: new instance keys.
            countersigners: of the administrator before a reset.
            changes: as `countermark_client.drafts.change_keys` takes them.
        """
        parsed = parse_address(address)
        draft = change_keys(self.drafts, self.broker.state.directory, parsed, now=self.clock(), **changes)
        signed = sign_gathering(draft, [by or self._keystores[parsed].signer(ADMINISTRATOR)], possession)
        for one in countersigners:
            signed = add_signature(signed, one, Purpose.COUNTERSIGN)
        self.broker.post_statement(signed)

    def revoke(
        self,
        key_id: bytes,
        by: Signer,
        *,
        ground: Ground = Ground.COMPROMISE,
        compromised_at: int | None = None,
    ) -> bytes:
        """A revocation of any key, which nobody has posted yet; `broker.post_statement` does."""
        draft = self.drafts.revocation(key_id, ground=ground, compromised_at=compromised_at)
        return sign_gathering(draft, [by])

    def _keys_record(self, address: str) -> tuple[Address, KeysRecord]:
        parsed = parse_address(address)
        record = self.broker.state.directory.keys(parsed)
        assert record is not None
        return parsed, record

    # --- clients ---

    def keystore(self, address: str) -> MemoryKeystore:
        """The keystore of an endpoint, which is enrolled if it is not yet."""
        parsed = parse_address(address)
        return self._keystores[parsed] if parsed in self._keystores else self.enrol(address)

    def profile(
        self, address: str, *, folder: Path | None = None, keystore: MemoryKeystore | None = None
    ) -> Profile:
        """A fresh profile of an endpoint, in memory or in a folder (passphrase: `PASSPHRASE`)."""
        keys = keystore or self.keystore(address)
        if folder is None:
            return Profile.in_memory(address=address, broker_url=self.url, trust=self.trust, keystore=keys)
        return Profile.create(
            folder,
            address=address,
            broker_url=self.url,
            trust=self.trust,
            passphrase=PASSPHRASE,
            keys=keys.stored,
        )

    def _profile_of(self, address: str) -> Profile:
        parsed = parse_address(address)
        if parsed not in self._profiles:
            self._profiles[parsed] = self.profile(parsed)
        return self._profiles[parsed]

    def client(
        self, who: str | Profile, *, settings: Settings | None = None, transport: TestTransport | None = None
    ) -> Client:
        """A client of an endpoint, over the one profile in memory that it has here, or over a given profile.

        Two *fresh* profiles with one key would be an alarm, as they are in life: the second finds entries in
        ``sent`` that it did not make.
        """
        profile = who if isinstance(who, Profile) else self._profile_of(who)
        return Client(
            profile,
            transport=transport or self.transport,
            settings=settings,
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def async_client(
        self, who: str | Profile, *, settings: Settings | None = None, transport: TestTransport | None = None
    ) -> AsyncClient:
        """As `client`, for an event loop."""
        profile = who if isinstance(who, Profile) else self._profile_of(who)
        return AsyncClient(
            profile,
            transport=transport or self.transport,
            settings=settings,
            clock=self.clock,
            sleep=self.clock.sleep_async,
        )


def world(
    *addresses: str,
    policy: Policy = DEFAULT_POLICY,
    undelivered_grace: int = 60_000,
    clock: MovableClock | None = None,
) -> World:
    """Found a log, put a policy in force, and enrol endpoints with their authorities.

    Args:
        addresses: of the endpoints; more are enrolled when first asked for.
        policy: the table; the default one if not said.
        undelivered_grace: ms after expiry until an undelivered notice (`TestBroker.tick`).
        clock: everybody's; a fresh one if None.
    """
    moving = clock or MovableClock()
    governor, log_key, node_key = _signer("governor"), _signer("log"), _signer("node")
    administrator = _signer(ADMINISTRATOR)
    drafts = Drafts(ORIGIN)
    founding = sign_gathering(
        drafts.founding(
            log_key=log_key.public_key,
            governors=[governor.public_key],
            quorum=1,
            broker=BROKER,
            broker_administrator=[administrator.public_key],
            undelivered_grace=undelivered_grace,
        ),
        [governor],
        [log_key, administrator],
    )
    broker = TestBroker(
        founding=founding,
        log_key=log_key,
        node_key=node_key,
        clock=moving,
        authority=HOST,
        pass_time=moving.sleep,
    )
    built = World(
        clock=moving,
        broker=broker,
        transport=TestTransport(broker),
        trust=founding,
        _governor=governor,
        _log_key=log_key,
    )
    node = built.drafts.keys(BROKER, signing=[(node_key.public_key, "node")], sealing=None, reads={})
    broker.post_statement(sign_gathering(node, [administrator], [node_key]))
    built.set_policy(policy)
    for address in addresses:
        built.enrol(address)
    return built


def sample_request(case: str = "CASE-1") -> JsonObject:
    """A valid tracing request about one pistol found in Kenya, for tests; nothing in it is real."""
    return {
        "nationalCaseRef": case,
        "illicitBasis": ["NATIONAL_LAW"],
        "legalJustification": "Possession without a licence.",
        "recovery": {
            "date": "2026-02-11",
            "place": {"country": "KE", "name": "Nairobi"},
            "context": "SEIZED",
        },
        "items": [sample_item()],
        "intendedUse": ["CRIMINAL_INVESTIGATION"],
        "confidentialityUndertaking": {"status": "ACCEPT"},
        "reasonForAddressee": "MANUFACTURE_MARK",
        "priorSteps": {"domesticChecked": True},
        "informationSought": ["FIRST_SALE"],
        "contact": {"agency": "Test police"},
        "language": "en",
    }


def sample_item(ref: str = "1") -> JsonObject:
    """A weapon of which little is known, for tests."""
    return {
        "itemRef": ref,
        "category": "PISTOL",
        "originForm": "FACTORY",
        "make": {"text": "UNKNOWN"},
        "calibre": {"text": "UNKNOWN"},
        "noMarksReason": "NOT_RECORDED",
    }


def sample_notice(case: str = "CASE-1") -> JsonObject:
    """A valid lost-or-stolen notice, for tests; nothing in it is real."""
    return {
        "recordKind": "STOLEN_THEFT",
        "action": "ENTRY",
        "event": {"date": "2026-01-15", "place": {"country": "KE"}},
        "items": [sample_item()],
        "ownerCategory": "PRIVATE",
        "nationalCaseRef": case,
        "actionIfFound": "SEIZE",
        "reviewOn": "2026-12-31",
    }


def sample_acknowledgement(request_id: str) -> JsonObject:
    """A valid acknowledgement of a tracing request, for tests.

    Args:
        request_id: the request's ``manifest.id``.
    """
    return {
        "requestId": request_id,
        "receivedAt": "2026-03-02T09:00:00Z",
        "status": "ACCEPTED",
        "localRef": "BE-1",
        "contact": {"agency": "Test contact point"},
        "estimatedReplyBy": "2026-03-20",
    }


def sample_response(request_id: str) -> JsonObject:
    """A valid final answer to a tracing request, for tests: the weapon of `sample_request` is not known.

    Args:
        request_id: the request's ``manifest.id``.
    """
    return {
        "requestId": request_id,
        "localRef": "BE-1",
        "sequence": 1,
        "final": True,
        "itemResults": [
            {
                "itemRef": "1",
                "outcome": "NOT_OUR_MARK",
                "identityConfirmed": False,
                "inability": {"reason": "NO_RECORDS", "text": "No such mark is in the register."},
            }
        ],
        "useRestrictions": {"tlp": "AMBER", "originatorControlled": False},
    }
