"""Directory statements: strict records, and subjects that fit their kind."""

from dataclasses import replace

import pytest

from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.default_policy import DEFAULT_POLICY
from countermark_protocol.encoding import encode_json, parse_object
from countermark_protocol.errors import CountermarkError, MalformedError, UncheckableError
from countermark_protocol.identifiers import Role
from countermark_protocol.mandates import Oversight, Term, Witness
from countermark_protocol.merkle import EMPTY_ROOT
from countermark_protocol.records import (
    MAX_KEYS,
    AuthorityRecord,
    DirectoryStatement,
    EndpointRecord,
    Ground,
    GroupRecord,
    InstanceKey,
    KeysRecord,
    LogRecord,
    RevocationRecord,
    State,
    keys_in,
    make_key_set,
    parse_directory_statement,
    parse_key_set,
    subject_of,
)
from countermark_protocol.sealing import SealingKey
from countermark_protocol.signers import Es256Signer
from support.world import BROKER, KAMPALA, KENYAN_AUDITOR, ORIGIN, OVERSEER, seed, signer

A, B, C, LOG = (signer(n).public_key for n in ("a", "b", "c", "log"))
ES = Es256Signer(seed("es")).public_key
SEAL, OLD_SEAL = SealingKey(seed("seal")).public_key, SealingKey(seed("old seal")).public_key
LOG_RECORD = LogRecord(LOG, make_key_set([A, B], 2), BROKER, make_key_set([C]), 900_000, 86_400_000)
WATCHED = replace(
    LOG_RECORD,
    witnesses=(
        Witness("east", ("w.example/east+01+AA",), "https://w.example"),
        Witness("west", ("x+1+B", "y+1+C")),
    ),
    witness_quorum=2,
    auditors=(Oversight(OVERSEER, Term(1, 2)),),
)
WITNESS = {"name": "east", "keys": ["w.example/east+01+AA"]}
OVERSIGHT = {"address": OVERSEER, "since": 1, "until": 2}
RECORDS = {
    Kind.FOUNDING: ("", LOG_RECORD),
    Kind.GOVERNANCE: ("", LOG_RECORD),
    Kind.POLICY: ("", DEFAULT_POLICY),
    Kind.AUTHORITY: (
        "ke",
        AuthorityRecord("ke", "Kenya", make_key_set([A, ES], 2), (Role.POLICE, Role.CUSTOMS), State.ACTIVE),
    ),
    Kind.ENDPOINT: (KAMPALA, EndpointRecord(KAMPALA, "Kampala", make_key_set([A]), State.SUSPENDED)),
    Kind.KEYS: (
        KAMPALA,
        KeysRecord(
            KAMPALA,
            tuple(sorted((InstanceKey(A, "worker"), InstanceKey(B, "desk")), key=lambda k: k.key.key_id)),
            SEAL,
            OLD_SEAL,
            5000,
            {"tracing-request": (1, 2)},
        ),
    ),
    Kind.GROUP: ("xo-eac/customs", GroupRecord("xo-eac/customs", "EAC", (KAMPALA,), State.ACTIVE)),
    Kind.REVOCATION: (A.key_id.hex(), RevocationRecord(A.key_id, Ground.COMPROMISE, 4000)),
}


def statement(kind, prev=None, **changes):
    name, record = RECORDS[kind]
    header = Header(kind, ORIGIN, Seen(0, EMPTY_ROOT))
    payload = DirectoryStatement(header, subject_of(kind, name), prev, record).to_json()
    return payload | changes


def with_record(kind, **changes):
    payload = statement(kind)
    record = {k: v for k, v in (payload["record"] | changes).items() if v is not ...}
    return payload | {"record": record}


def refused(error, code, value):
    with pytest.raises(CountermarkError) as caught:
        parse_directory_statement(value)
    assert (type(caught.value), caught.value.code) == (error, code), caught.value


@pytest.mark.parametrize("kind", RECORDS, ids=lambda k: k.name)
def test_every_kind_reads_back(kind):
    prev = None if kind in {Kind.FOUNDING, Kind.REVOCATION} else bytes(range(32))
    parsed = parse_directory_statement(parse_object(encode_json(statement(kind, prev))))
    assert parsed.record == RECORDS[kind][1]
    assert parsed.prev == prev
    assert parsed.to_json() == statement(kind, prev)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda k: k.name)
def test_no_member_is_optional_but_those_that_are(kind):
    optional = {"previous_sealing", "compromised_at", "release_above"}
    for name in statement(kind)["record"]:
        if name not in optional:
            with pytest.raises(MalformedError):
                parse_directory_statement(with_record(kind, **{name: ...}))
    refused(MalformedError, "unknown_member", with_record(kind, extra=1))
    refused(MalformedError, "unknown_member", statement(kind, extra=1))
    refused(MalformedError, "not_an_object", statement(kind, record=[]))


@pytest.mark.parametrize("value", [None, -1, [], [[]], {}, "", "\x00", 10**17, True])
@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in RECORDS for n in statement(k)["record"]])
def test_what_no_member_may_be(kind, name, value):
    fine = {(name, "[]") for name in ("exceptions", "embargoes", "duties")}
    fine |= {("witnesses", "[]"), ("auditors", "[]"), ("rules", "[]"), ("members", "[]"), ("reads", "{}")}
    if (name, repr(value)) in fine:
        return
    with pytest.raises(MalformedError):
        parse_directory_statement(with_record(kind, **{name: value}))


@pytest.mark.parametrize(
    ("kind", "subject"),
    [
        (Kind.FOUNDING, "policy"),
        (Kind.FOUNDING, "log/"),
        (Kind.FOUNDING, "logx"),
        (Kind.GOVERNANCE, ""),
        (Kind.POLICY, "log"),
        (Kind.AUTHORITY, "authority/"),
        (Kind.AUTHORITY, "authority/KE"),
        (Kind.AUTHORITY, "ke"),
        (Kind.AUTHORITY, "endpoint/ke"),
        (Kind.ENDPOINT, "keys/ug.contact.kampala"),
        (Kind.ENDPOINT, "endpoint/kampala"),
        (Kind.KEYS, "keys/"),
        (Kind.GROUP, "group/customs"),
        (Kind.REVOCATION, "revoked/00"),
        (Kind.REVOCATION, "revoked/" + "A" * 64),
    ],
)
def test_subjects_fit_their_kind(kind, subject):
    with pytest.raises(MalformedError):
        parse_directory_statement(statement(kind, subject=subject))


def test_kinds_that_are_no_directory_statements():
    for name in ("message", "receipt", "undelivered", "purge"):
        refused(MalformedError, "bad_member", statement(Kind.POLICY) | {"kind": name})


def test_no_prev_where_there_can_be_none():
    for kind in (Kind.FOUNDING, Kind.REVOCATION):
        refused(MalformedError, "bad_member", statement(kind, bytes(32)))
    refused(MalformedError, "not_hex", statement(Kind.POLICY, prev=None) | {"prev": None})


def key_set(*keys, threshold=1):
    return {"keys": [k.to_json() for k in keys], "threshold": threshold}


def ordered(*keys):
    return sorted(keys, key=lambda k: k.key_id)


@pytest.mark.parametrize(
    ("error", "code", "value"),
    [
        (MalformedError, "bad_member", key_set(*ordered(A, B)[::-1])),
        (MalformedError, "bad_member", key_set(A, A)),
        (MalformedError, "bad_member", key_set()),
        (MalformedError, "bad_member", key_set(A, threshold=0)),
        (MalformedError, "bad_member", key_set(A, threshold=2)),
        (MalformedError, "bad_member", key_set(*ordered(A, B), threshold=3)),
        (MalformedError, "wrong_algorithm", key_set(SEAL)),
        (MalformedError, "unknown_algorithm", {"keys": [{"alg": [], "pub": ""}], "threshold": 1}),
        (UncheckableError, "algorithm_reserved", {"keys": [{"alg": "ML-DSA-44", "pub": ""}], "threshold": 1}),
        (MalformedError, "unknown_member", key_set(A) | {"quorum": 1}),
        (MalformedError, "bad_member", key_set(*[signer(f"k{n}").public_key for n in range(MAX_KEYS + 1)])),
    ],
)
def test_key_sets(error, code, value):
    with pytest.raises(CountermarkError) as caught:
        parse_key_set(value, "principal")
    assert (type(caught.value), caught.value.code) == (error, code)


def test_key_sets_have_one_order():
    for keys in ([A, B, C], [C, B, A]):
        made = make_key_set(keys, 2)
        assert parse_key_set(made.to_json(), "principal") == made
        assert made.ids == {A.key_id, B.key_id, C.key_id}


@pytest.mark.parametrize(
    ("error", "code", "kind", "changes"),
    [
        (MalformedError, "wrong_algorithm", Kind.FOUNDING, {"log_key": SEAL.to_json()}),
        (MalformedError, "bad_member", Kind.FOUNDING, {"log_key": ES.to_json()}),
        (MalformedError, "missing_member", Kind.FOUNDING, {"witnesses": [{}]}),
        (MalformedError, "missing_member", Kind.FOUNDING, {"witnesses": [WITNESS]}),
        (MalformedError, "bad_member", Kind.FOUNDING, {"witnesses": [WITNESS], "witness_quorum": 0}),
        (MalformedError, "bad_member", Kind.FOUNDING, {"witnesses": [WITNESS], "witness_quorum": 2}),
        (MalformedError, "unknown_member", Kind.FOUNDING, {"witness_quorum": 1}),
        (MalformedError, "bad_member", Kind.FOUNDING, {"witnesses": [WITNESS, WITNESS | {"name": "x"}], "witness_quorum": 1}),
        (MalformedError, "bad_member", Kind.FOUNDING, {"witnesses": [WITNESS | {"keys": []}], "witness_quorum": 1}),
        (MalformedError, "bad_vkey", Kind.FOUNDING, {"witnesses": [WITNESS | {"keys": ["w+0"]}], "witness_quorum": 1}),
        (MalformedError, "unknown_member", Kind.FOUNDING, {"witnesses": [WITNESS | {"x": 1}], "witness_quorum": 1}),
        (MalformedError, "missing_member", Kind.FOUNDING, {"auditors": [{}]}),
        (MalformedError, "bad_member", Kind.FOUNDING, {"auditors": [OVERSIGHT | {"address": KAMPALA}]}),
        (MalformedError, "bad_member", Kind.FOUNDING, {"auditors": [OVERSIGHT | {"until": 1}]}),
        (MalformedError, "bad_member", Kind.FOUNDING, {"auditors": [OVERSIGHT, OVERSIGHT | {"until": 3}]}),
        (MalformedError, "unknown_member", Kind.FOUNDING, {"auditors": [OVERSIGHT | {"scope": "all"}]}),
        (MalformedError, "bad_member", Kind.ENDPOINT, {"audits": {"since": 1, "until": 2}}),
        (MalformedError, "bad_member", Kind.FOUNDING, {"undelivered_grace_ms": 8 * 86_400_000}),
        (MalformedError, "bad_member", Kind.FOUNDING, {"reset_delay_ms": 31 * 86_400_000}),
        (MalformedError, "bad_member", Kind.FOUNDING, {"broker": {"address": KAMPALA, "administrator": key_set(C)}}),
        (MalformedError, "unknown_member", Kind.FOUNDING, {"broker": {"address": BROKER, "administrator": key_set(C), "x": 1}}),
        # One key in two uses of one record.
        (MalformedError, "key_twice", Kind.FOUNDING, {"log_key": A.to_json()}),
        (MalformedError, "key_twice", Kind.FOUNDING, {"broker": {"address": BROKER, "administrator": key_set(A)}}),
        (MalformedError, "bad_member", Kind.POLICY, {"semantics": 3}),
        (MalformedError, "bad_member", Kind.AUTHORITY, {"roles": []}),
        (MalformedError, "bad_member", Kind.AUTHORITY, {"roles": ["broker"]}),
        (MalformedError, "bad_member", Kind.AUTHORITY, {"roles": ["wizard"]}),
        (MalformedError, "bad_member", Kind.AUTHORITY, {"roles": ["police", "police"]}),
        (MalformedError, "bad_member", Kind.AUTHORITY, {"state": "retired"}),
        (MalformedError, "bad_member", Kind.ENDPOINT, {"name": "x" * 201}),
        (MalformedError, "bad_member", Kind.KEYS, {"sealing": ...}),
        (MalformedError, "wrong_algorithm", Kind.KEYS, {"sealing": A.to_json()}),
        (MalformedError, "wrong_algorithm", Kind.KEYS, {"previous_sealing": {"key": A.to_json(), "until": 1}}),
        (MalformedError, "unknown_member", Kind.KEYS, {"previous_sealing": {"key": OLD_SEAL.to_json(), "until": 1, "x": 1}}),
        (MalformedError, "key_twice", Kind.KEYS, {"previous_sealing": {"key": SEAL.to_json(), "until": 1}}),
        (MalformedError, "bad_member", Kind.KEYS, {"signing": []}),
        (MalformedError, "wrong_algorithm", Kind.KEYS, {"signing": [SEAL.to_json() | {"holder": "x"}]}),
        (MalformedError, "missing_member", Kind.KEYS, {"signing": [A.to_json()]}),
        (MalformedError, "unknown_member", Kind.KEYS, {"signing": [A.to_json() | {"holder": "x", "y": 1}]}),
        (MalformedError, "bad_member", Kind.KEYS, {"signing": [k.to_json() | {"holder": "x"} for k in ordered(A, B)[::-1]]}),
        (MalformedError, "key_twice", Kind.KEYS, {"signing": [A.to_json() | {"holder": "x"}, A.to_json() | {"holder": "y"}]}),
        (MalformedError, "bad_member", Kind.KEYS, {"reads": {"tracing-request": []}}),
        (MalformedError, "bad_member", Kind.KEYS, {"reads": {"tracing-request": [2, 1]}}),
        (MalformedError, "bad_member", Kind.KEYS, {"reads": {"tracing-request": [1, 1]}}),
        (MalformedError, "bad_member", Kind.KEYS, {"reads": {"tracing-request": [0]}}),
        (MalformedError, "bad_member", Kind.KEYS, {"reads": {"tracing-request": [True]}}),
        (MalformedError, "bad_member", Kind.KEYS, {"reads": {"tracing-request": "1"}}),
        (MalformedError, "bad_member", Kind.KEYS, {"reads": {"x" * 65: [1]}}),
        (MalformedError, "bad_member", Kind.KEYS, {"reads": {f"t{n}": [1] for n in range(201)}}),
        (MalformedError, "bad_member", Kind.GROUP, {"members": [KAMPALA, KAMPALA]}),
        (MalformedError, "not_an_address", Kind.GROUP, {"members": ["kampala"]}),
        (MalformedError, "bad_member", Kind.REVOCATION, {"ground": "boredom"}),
        (MalformedError, "bad_member", Kind.REVOCATION, {"compromised_at": -1}),
        (MalformedError, "bad_member", Kind.POLICY, {"rules": [DEFAULT_POLICY.to_json()["rules"][0] | {"signatures": ["release"]}]}),
        (MalformedError, "bad_member", Kind.POLICY, {"rules": [DEFAULT_POLICY.to_json()["rules"][0] | {"enforced_by": ["sender"]}]}),
        (MalformedError, "bad_member", Kind.ENDPOINT, {"two_persons": False}),
    ],
)  # fmt: skip
def test_records_outside_the_language(error, code, kind, changes):
    refused(error, code, with_record(kind, **changes))


def test_the_broker_has_no_sealing_key():
    record = KeysRecord(BROKER, (InstanceKey(A, "node"),), None, None, 0, {})
    header = Header(Kind.KEYS, ORIGIN, Seen(0, EMPTY_ROOT))
    payload = DirectoryStatement(header, f"keys/{BROKER}", None, record).to_json()
    assert parse_directory_statement(payload).record == record
    payload["record"]["sealing"] = SEAL.to_json()
    refused(MalformedError, "bad_member", payload)


def test_keys_in():
    assert keys_in(LOG_RECORD) == (LOG, *ordered(A, B), C)
    assert set(keys_in(RECORDS[Kind.AUTHORITY][1])) == {A, ES}
    assert keys_in(RECORDS[Kind.ENDPOINT][1]) == (A,)
    assert set(keys_in(RECORDS[Kind.KEYS][1])) == {A, B, SEAL, OLD_SEAL}
    for kind in (Kind.POLICY, Kind.GROUP, Kind.REVOCATION):
        assert keys_in(RECORDS[kind][1]) == ()


def test_suspended_and_optional_forms():
    record = RevocationRecord(A.key_id, Ground.LOSS, None)
    header = Header(Kind.REVOCATION, ORIGIN, Seen(0, EMPTY_ROOT))
    payload = DirectoryStatement(header, f"revoked/{A.key_id.hex()}", None, record).to_json()
    assert "compromised_at" not in payload["record"]
    assert parse_directory_statement(payload).record == record


def test_witnesses_and_auditors_read_back():
    for kind, name, record in (
        (Kind.GOVERNANCE, "", WATCHED),
        (
            Kind.ENDPOINT,
            KENYAN_AUDITOR,
            EndpointRecord(KENYAN_AUDITOR, "Office", make_key_set([A]), State.ACTIVE, Term(3, 4)),
        ),
    ):
        header = Header(kind, ORIGIN, Seen(0, EMPTY_ROOT))
        payload = DirectoryStatement(header, subject_of(kind, name), bytes(32), record).to_json()
        parsed = parse_directory_statement(parse_object(encode_json(payload)))
        assert parsed.record == record
        assert parsed.to_json() == payload
