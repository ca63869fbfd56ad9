"""Codes of invitations, and what a request must be before anybody looks at it."""

import pytest

from countermark_client.statements import Drafts, sign_gathering
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import ConflictError, MalformedError, PolicyError, SignatureError
from countermark_protocol.gathering import start_gathering
from countermark_protocol.identifiers import Address
from countermark_protocol.invitations import (
    Asked,
    Invitation,
    Pending,
    Request,
    check_invitable,
    check_request,
    encode_pending,
    enrolment_hash,
    make_code,
    merge_approval,
    no_invitation,
    parse_asked,
    parse_code,
    parse_invitation,
    parse_pending,
    parse_request,
    same_request,
    show_code,
)
from countermark_protocol.mandates import Term
from countermark_protocol.records import AuthorityRecord, State, make_key_set
from countermark_protocol.sealing import SealingKey
from countermark_protocol.signers import Es256Signer
from support.world import NAIROBI, ORIGIN, seed, signer

ADMIN, INSTANCE, AUTHORITY = signer("admin"), signer("instance"), signer("authority ke")
OTHER = Address("ke.police.kisumu")
KEYS = {AUTHORITY.public_key.key_id: AUTHORITY.public_key}
SEALING = SealingKey(seed("sealing")).public_key


def request(address=NAIROBI, log=ORIGIN, instance=INSTANCE, administrator=ADMIN, **record):
    drafts = Drafts(log)
    endpoint = drafts.endpoint(address, name="Police", administrator=[administrator.public_key], **record)
    keys = drafts.keys(address, signing=[(instance.public_key, "desk")], sealing=SEALING)
    return Request(
        sign_gathering(endpoint, possession=[administrator]),
        sign_gathering(keys, [administrator], [instance]),
    )


@pytest.mark.parametrize("random", [bytes(8), b"\xff" * 8, b"01234567"])
def test_a_code_is_read_however_it_is_typed(random):
    code = make_code(random)
    shown = show_code(code)
    assert len(code) == 12
    assert len(shown) == 14
    typed = (code, shown, shown.lower(), shown.replace("-", " "), code.replace("0", "o").replace("1", "l"))
    assert {parse_code(text) for text in typed} == {code}


def test_codes_of_different_numbers_differ():
    assert len({make_code(number.to_bytes(8, "big")) for number in range(2_000)}) == 2_000
    with pytest.raises(ValueError, match="8 random bytes"):
        make_code(bytes(7))


@pytest.mark.parametrize(
    "text", ["", "K7QF-2MXA-9TB", "K7QF-2MXA-9TBWW", "K7QF-2MXA-9TBU", "K7QF-2MXA-9TB\u00df"]
)
def test_what_is_no_code(text):
    with pytest.raises(MalformedError) as caught:
        parse_code(text)
    assert caught.value.code == "not_a_code"


def test_everything_that_is_answered_is_read_back():
    code = make_code(b"12345678")
    invitation = Invitation(code, NAIROBI, "Kenya", 5, b"trust")
    assert parse_invitation(encode_json(invitation.to_json())) == invitation
    found = (Pending(code, NAIROBI, 1, 2, None), Pending(make_code(bytes(8)), OTHER, 1, 2, request(OTHER)))
    assert parse_pending(encode_json(encode_pending(found))) == found
    assert parse_request(encode_json(request().to_json())).to_json() == request().to_json()
    assert parse_asked(encode_json(Asked(NAIROBI, 31).to_json())) == Asked(NAIROBI, 31)


def test_a_whole_request_and_one_that_the_authority_has_signed():
    made = request()
    found = check_request(made, ORIGIN, NAIROBI, {})
    assert (found.record.address, found.keys_record.sealing) == (NAIROBI, SEALING)
    signed = Request(sign_gathering(made.endpoint, [AUTHORITY]), made.keys)
    approved = check_request(signed, ORIGIN, NAIROBI, KEYS)
    assert approved.fingerprint_hash(bytes(32)) == found.fingerprint_hash(bytes(32))
    assert same_request(made, signed)
    assert merge_approval(made, signed.endpoint) == signed
    with pytest.raises(ConflictError) as caught:
        merge_approval(made, request(OTHER).endpoint)
    assert caught.value.code == "other_payload"


def test_the_hash_binds_all_three():
    parts = [bytes([n]) * 32 for n in range(3)]
    base = enrolment_hash(*parts)
    for place in range(3):
        changed = list(parts)
        changed[place] = b"\x09" * 32
        assert enrolment_hash(*changed) != base
    assert enrolment_hash(parts[0], parts[2], parts[1]) != base


def kinds_swapped():
    made = request()
    return Request(made.keys, made.endpoint)


def another_possession():
    made = request()
    return Request(sign_gathering(made.endpoint, possession=[INSTANCE]), made.keys)


def nobody_proved():
    endpoint = Drafts(ORIGIN).endpoint(NAIROBI, name="Police", administrator=[ADMIN.public_key])
    return Request(endpoint, request().keys)


def certified_by_another():
    other = signer("other")
    return Request(request().endpoint, request(administrator=other).keys)


def signed_as_the_authority_by_an_instance():
    made = request()
    return Request(sign_gathering(made.endpoint, [INSTANCE]), made.keys)


def oversized():
    made = request()
    return Request(made.endpoint, made.keys + bytes(128 * 1024))


@pytest.mark.parametrize(
    ("make", "kind", "code"),
    [
        (lambda: request(OTHER), MalformedError, "wrong_address"),
        (lambda: request(log="log.example.org/other"), SignatureError, "wrong_log"),
        (lambda: request(state=State.SUSPENDED), MalformedError, "not_a_first_request"),
        (kinds_swapped, MalformedError, "not_a_request"),
        (another_possession, SignatureError, "missing_possession"),
        (nobody_proved, SignatureError, "missing_possession"),
        (certified_by_another, SignatureError, "unknown_key"),
        (signed_as_the_authority_by_an_instance, SignatureError, "wrong_signer"),
        (oversized, MalformedError, "oversized_request"),
    ],
)
def test_what_is_not_whole_is_refused(make, kind, code):
    with pytest.raises(kind) as caught:
        check_request(make(), ORIGIN, NAIROBI, KEYS)
    assert caught.value.code == code


def test_a_statement_that_follows_another_is_no_first_request():
    made = request()
    payload = parse_document(made.keys).claims | {"prev": "00" * 32}
    later = sign_gathering(start_gathering(encode_json(payload)), [ADMIN], [INSTANCE])
    with pytest.raises(MalformedError) as caught:
        check_request(Request(made.endpoint, later), ORIGIN, NAIROBI, KEYS)
    assert caught.value.code == "not_a_first_request"


def test_nobody_makes_itself_an_auditor_of_others():
    address = Address("ke.auditor.office")
    made = request(address, audits=Term(1, 2))
    with pytest.raises(MalformedError) as caught:
        check_request(made, ORIGIN, address, KEYS)
    assert caught.value.code == "not_a_first_request"


def test_a_key_has_one_use():
    # An administrator's that is named as an instance's too: it signs a document once, so it cannot prove both.
    both = Drafts(ORIGIN).keys(NAIROBI, signing=[(ADMIN.public_key, "desk")], sealing=SEALING)
    with pytest.raises(MalformedError) as caught:
        check_request(Request(request().endpoint, sign_gathering(both, [ADMIN])), ORIGIN, NAIROBI, KEYS)
    assert caught.value.code == "key_twice"


def test_keys_may_be_of_either_algorithm():
    p256 = Es256Signer(seed("p256"))
    made = check_request(request(instance=p256), ORIGIN, NAIROBI, {})
    assert made.keys_record.signing[0].key == p256.public_key


def test_every_code_that_leads_nowhere_has_one_answer():
    one, other = no_invitation(), no_invitation()
    assert (one.code, one.message, one.facts) == (other.code, other.message, {})


def test_an_authority_invites_within_its_mandate():
    record = AuthorityRecord("ke", "Kenya", make_key_set([AUTHORITY.public_key]), ("police",), State.ACTIVE)
    check_invitable(record, NAIROBI)
    for address in ("ug.police.kampala", "ke.customs.mombasa"):
        with pytest.raises(PolicyError) as caught:
            check_invitable(record, Address(address))
        assert caught.value.code == "outside_mandate"
