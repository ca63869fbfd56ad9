"""Bad input over real HTTP: a problem with a stable code, nothing stored, and the good ones beside it unharmed."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from countermark_protocol.accounts import Verdict
from countermark_protocol.answers import parse_accepted
from countermark_protocol.attachments import SealedAttachment
from countermark_protocol.claims import Kind, Seen
from countermark_protocol.documents import encode_document, make_signature, parse_document, sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.recipients import recipients_root
from countermark_protocol.records import EndpointRecord, State, make_key_set
from countermark_protocol.signers import Es256Signer
from countermark_protocol.submission import MAX_DOCUMENT_BYTES, MAX_SUBMISSION_BYTES, encode_submission
from support.broker_fixtures import HttpBroker, enrolled_world
from support.world import BRUSSELS, DAY, KAMPALA, LYON, NAIROBI, hash_of, now_ms, seed, signer

#: name → (how to make it, status, code, whether the refusal bears an account)
CASES = {}


def case(status, code, account=False):
    def add(function):
        CASES[function.__name__] = (function, status, code, account)
        return function

    return add


def good(world, **changes):
    return world.message(NAIROBI, [KAMPALA], **changes)


def with_document(sealed, document, rows=None, stanzas=None, content=None):
    return encode_submission(
        document,
        sealed.rows if rows is None else rows,
        sealed.stanzas if stanzas is None else stanzas,
        sealed.content if content is None else content,
    )


def with_payload(world, sealed, payload, key=None):
    return with_document(sealed, sign_document(payload, [key or world.agencies[NAIROBI].instance]))


@case(413, "oversized_body")
def oversize(world):
    return bytes(MAX_SUBMISSION_BYTES + 1)


@case(400, "oversized_field")
def oversized_field(world):
    return b"\x01\xff\xff\xff\xff" + bytes(100)


@case(400, "truncated")
def empty(world):
    return b""


@case(422, "unknown_version")
def not_a_submission(world):
    return b"not a submission at all"


@case(400, "not_json")
def malformed(world):
    return with_payload(world, good(world), b'{"kind": message}')


@case(400, "truncated")
def truncated(world):
    return good(world).data[:-1]


@case(400, "trailing_bytes")
def trailing(world):
    return good(world).data + b"\x00"


@case(400, "signature_count")
def unsigned(world):
    sealed = good(world)
    return with_document(sealed, encode_document(parse_document(sealed.document).payload, ()))


@case(401, "bad_signature")
def mis_signed(world):
    sealed = good(world)
    document = parse_document(sealed.document)
    forged = replace(document.signatures[0], raw=bytes(64))
    return with_document(sealed, encode_document(document.payload, [forged]))


@case(401, "unknown_key")
def signed_by_a_stranger(world):
    return good(world, signer=signer("stranger")).data


@case(401, "wrong_signer")
def signed_by_another_agency(world):
    return good(world, signer=world.agencies[KAMPALA].instance).data


@case(401, "too_many_signatures")
def signed_twice(world):
    sealed = good(world)
    payload = parse_document(sealed.document).payload
    both = [make_signature(payload, world.agencies[a].instance) for a in (NAIROBI, KAMPALA)]
    return with_document(sealed, encode_document(payload, both))


@case(403, "unknown_type", account=True)
def unknown_type(world):
    return good(world, type="love-letter").data


@case(403, "unknown_version", account=True)
def unknown_version(world):
    return good(world, version=9).data


@case(404, "unknown_recipient", account=True)
def unknown_recipient(world):
    return world.message(NAIROBI, ["ke.police.nobody"]).data


@case(403, "expired", account=True)
def expired(world):
    return good(world, sent_at=now_ms() - 10 * DAY, expires_at=now_ms() - DAY).data


@case(400, "bad_member")
def too_many_recipients(world):
    sealed = good(world)
    claims = parse_document(sealed.document).claims
    claims["recipients"]["count"] = 1001
    return with_payload(world, sealed, encode_json(claims))


@case(403, "sent_in_future", account=True)
def clock_far_off(world):
    return good(world, sent_at=now_ms() + 10 * 60 * 1000).data


@case(403, "policy_denied", account=True)
def unauthorised(world):
    return world.message(LYON, [KAMPALA]).data


@case(400, "content_mismatch")
def incomplete_content(world):
    sealed = good(world)
    return with_document(sealed, sealed.document, content=sealed.content[:-1])


@case(400, "recipients_root_mismatch")
def incomplete_rows(world):
    sealed = world.message(NAIROBI, [KAMPALA, BRUSSELS])
    return with_document(sealed, sealed.document, rows=sealed.rows[:1], stanzas=sealed.stanzas[:1])


@case(400, "recipients_root_mismatch")
def spliced_stanza(world):
    sealed, other = good(world), good(world)
    return with_document(sealed, sealed.document, stanzas=other.stanzas)


@case(400, "forbidden_character")
def null_character(world):
    return good(world, extra={"note": "a\x00b"}).data


@case(400, "forbidden_character")
def lone_surrogate(world):
    sealed = good(world, extra={"note": "MARK"})
    payload = parse_document(sealed.document).payload.replace(b"MARK", b"\\ud800")
    return with_payload(world, sealed, payload)


@case(400, "duplicate_member")
def duplicate_member(world):
    sealed = good(world)
    payload = parse_document(sealed.document).payload
    return with_payload(world, sealed, payload[:-1] + b',"urgency":"flash"}')


@case(422, "wrong_log")
def another_log(world):
    return good(world, origin="other.example.org/log").data


@case(400, "attachment_mismatch")
def attachments_without_their_pieces(world):
    return good(world, attachments=(SealedAttachment(bytes(32), 328),)).data


@case(401, "too_few_signatures")
def on_behalf_of(world):
    return good(world, extra={"on_behalf_of": KAMPALA}).data


@case(409, "sealing_key_not_accepted", account=True)
def sealed_to_another_key(world):
    sealed = good(world)
    row = replace(sealed.rows[0], sealing_key=bytes(32))
    claims = parse_document(sealed.document).claims
    claims["recipients"]["root"] = recipients_root([row]).hex()
    document = sign_document(encode_json(claims), [world.agencies[NAIROBI].instance])
    return with_document(sealed, document, rows=[row])


@case(409, "seen_ahead", account=True)
def seen_what_is_not_there(world):
    return good(world, seen=Seen(10**9, bytes(32))).data


@case(409, "seen_other_root", account=True)
def seen_another_root(world):
    return good(world, seen=Seen(3, bytes(32))).data


@case(403, "policy_denied", account=True)
def wrong_addressee(world):
    """A tracing request goes to points of contact, not to a police post."""
    return world.message(KAMPALA, [NAIROBI], type="tracing-request").data


def size_of(api):
    return api.checkpoint_of(api.request("GET", "/v1/log/checkpoint").content).size


@pytest.fixture(scope="module")
def shared(founded_templates, tmp_path_factory):
    """One broker for all cases: none of them may leave a trace."""
    template = founded_templates.template("sqlite")
    home = founded_templates.copy(template, tmp_path_factory.mktemp("bad") / "home").home
    world = enrolled_world()
    broker = HttpBroker(world, home).start()
    client = broker.client()
    client.refresh()
    yield world, client, broker
    client.close()
    broker.stop()


@pytest.mark.parametrize("name", CASES)
def test_alone(shared, name):
    world, api, _ = shared
    make, status, code, has_account = CASES[name]
    before = size_of(api)
    data = make(world)
    answer = api.post_message(data)
    problem = api.problem(answer, code)
    assert problem.status == status
    assert problem.detail
    assert problem.hint
    assert (problem.account is not None) == has_account
    if has_account:
        document = data[5 : 5 + int.from_bytes(data[1:5], "big")]
        account = api.verify_account_of(problem.account, hash_of(document))
        assert account.verdict is Verdict.REFUSED
        assert account.refusal.rule == code
    assert size_of(api) == before


@pytest.mark.parametrize("name", CASES)
def test_in_the_middle_of_good_ones(shared, name):
    world, api, broker = shared
    make, _, code, _ = CASES[name]
    before = size_of(api)
    first, second = good(world), good(world)
    bad = make(world)
    clients = [broker.client() for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        one, two, three = pool.map(
            lambda pair: pair[0].post_message(pair[1]), zip(clients, [first, bad, second], strict=True)
        )
    api.verify_accepted(one, first.document, first.expected_deliveries())
    api.verify_accepted(three, second.document, second.expected_deliveries())
    api.problem(two, code)
    assert size_of(api) == before + 2
    for client in clients:
        client.close()


def test_an_id_names_one_message(shared):
    world, api, _ = shared
    first = good(world)
    assert api.post_message(first).status_code == 201
    other = good(world, id=first.manifest.id)
    problem = api.problem(api.post_message(other), "id_reused")
    assert problem.status == 409
    assert api.verify_account_of(problem.account, other.payload_hash).refusal.rule == "id_reused"


def test_same_payload_signed_again_is_answered_with_what_was_logged(shared):
    world, api, _ = shared
    sealed = good(world)
    assert api.post_message(sealed).status_code == 201
    # Even with a signature that counts for nothing: the repeat is answered before signatures are checked.
    document = sign_document(parse_document(sealed.document).payload, [Es256Signer(seed("other"))])
    answer = api.post_message(with_document(sealed, document))
    assert answer.status_code == 200
    assert parse_accepted(answer.content).document == sealed.document
    api.verify_accepted(answer, document, sealed.expected_deliveries())


def test_an_exception_tells_nothing(shared, monkeypatch):
    _world, api, _broker = shared

    def broken(*_args):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("countermark_broker.services.statements.read_leaves", broken)
    answer = api.request("GET", "/v1/log/leaves")
    assert api.problem(answer, "internal").status == 500
    assert "secret" not in answer.text


def test_a_request_for_a_trace_has_at_most_five_addressees(shared):
    world, api, _ = shared
    points = [f"ug.contact.point{i}" for i in range(6)]
    for point in points:
        for data in (world.endpoint_statement(point), world.keys_statement(point)):
            assert api.post_statement(data).status_code == 201
    api.refresh()
    many = world.message(NAIROBI, points, type="tracing-request")
    problem = api.problem(api.post_message(many), "policy_denied")
    assert api.verify_account_of(problem.account, many.payload_hash).refusal.rule == "policy_denied"
    assert api.post_message(world.message(NAIROBI, points[:5], type="tracing-request")).status_code == 201


def test_a_thousand_and_one_recipients(shared):
    world, api, _ = shared
    sealed = good(world)
    rows = [replace(sealed.rows[0], salt=i.to_bytes(32, "big")) for i in range(1001)]
    data = with_document(sealed, sealed.document, rows=rows, stanzas=sealed.stanzas * 1001)
    assert api.problem(api.post_message(data), "too_many_recipients").status == 400


def raw_statement(world, text):
    """An endpoint's statement whose name holds something that a database may refuse."""
    kept = dict(world.newest)
    data = world.record_statement(
        Kind.ENDPOINT,
        "ke.police.odd",
        EndpointRecord("ke.police.odd", "MARK", make_key_set([signer("odd").public_key]), State.ACTIVE),
        [world.authority("ke")],
        [signer("odd")],
    )
    world.newest = kept
    payload = parse_document(data).payload.replace(b"MARK", text)
    return sign_document(payload, [world.authority("ke")], [signer("odd")])


@pytest.mark.parametrize("text", [b"\\u0000", b"\\ud800", b"\\udfff\\ud800"])
def test_text_that_a_database_refuses(shared, text):
    world, api, _ = shared
    before = size_of(api)
    assert api.problem(api.post_statement(raw_statement(world, text)), "forbidden_character").status == 400
    receipt = world.receipt(KAMPALA, [bytes(32)])
    payload = parse_document(receipt).payload.replace(b'"made_at"', b'"' + text + b'":1,"made_at"')
    odd = sign_document(payload, [world.agencies[KAMPALA].instance])
    assert api.problem(api.post_receipt(odd, KAMPALA), "forbidden_character").status == 400
    assert size_of(api) == before


@pytest.mark.parametrize("path", ["/v1/statements", "/v1/receipts", "/v1/messages"])
def test_bodies_are_bounded_on_every_call(shared, path):
    _, api, _ = shared
    size = MAX_SUBMISSION_BYTES if path == "/v1/messages" else MAX_DOCUMENT_BYTES
    body = bytes(size + 1)
    assert api.problem(api.request("POST", path, body, KAMPALA), "oversized_body").status == 413

    def stream():
        yield body

    # Without a length that says so, it is found while it streams in.
    answer = api.http.post(path, content=stream())
    assert api.problem(answer, "oversized_body").status == 413
    assert api.problem(api.request("POST", path, b"\x01", KAMPALA)).status == 400
