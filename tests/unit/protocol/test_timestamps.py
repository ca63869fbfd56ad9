"""Time stamps: what an authority signed on a note is believed, and nothing else. Tokens are real."""

import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import CountermarkError
from countermark_protocol.stamp_history import (
    MAX_STAMP_BYTES,
    StampHistory,
    StampItem,
    oldest_stamps,
    parse_stamp_history,
)
from countermark_protocol.timestamps import (
    MAX_ROOTS_BYTES,
    check_answer,
    make_stamp_request,
    parse_stamp,
    parse_tsa_roots,
    verify_stamp,
)
from support.tsa import Tsa, certify, make_key, pem
from support.witnesses import raw_checkpoint

NOTE = raw_checkpoint(5)
AT = datetime(2026, 11, 3, 9, 30, 5, tzinfo=UTC)
AT_MS = int(AT.timestamp()) * 1000


@pytest.fixture(scope="module", params=["ecdsa", "rsa"])
def tsa(request):
    return Tsa("Southern Time Authority", request.param)


@pytest.fixture(autouse=True)
def _no_faults(tsa):
    tsa.faults = {}


def judged(response, *roots, note=NOTE):
    return verify_stamp(parse_stamp(response, note), parse_tsa_roots(pem(*roots)))


def refused(code, function, *arguments, **options):
    with pytest.raises(CountermarkError) as caught:
        function(*arguments, **options)
    assert caught.value.code == code, caught.value
    return caught.value


def test_an_answer_to_a_question(tsa):
    request = make_stamp_request(NOTE)
    stamp = parse_stamp(tsa.answer(request.data, AT), NOTE)
    check_answer(stamp, request.nonce, AT_MS)
    verified = verify_stamp(stamp, parse_tsa_roots(tsa.roots))
    assert (verified.authority, verified.time, verified.latest) == ("Southern Time Authority", AT_MS, AT_MS)
    assert len(verified.certificate) == 32


def test_every_question_has_a_nonce_of_its_own():
    assert make_stamp_request(NOTE).nonce != make_stamp_request(NOTE).nonce


def test_what_it_may_be_off_makes_it_later(tsa):
    tsa.faults["accuracy"] = 2
    verified = judged(tsa.stamp(NOTE, AT), tsa.root)
    assert verified.latest == verified.time + 2000


def test_another_note(tsa):
    response = tsa.stamp(NOTE)
    refused("stamp_imprint", parse_stamp, response, raw_checkpoint(6))
    tsa.faults["imprint"] = bytes(32)
    refused("stamp_imprint", parse_stamp, tsa.stamp(NOTE), NOTE)


def test_a_root_that_is_not_its_own(tsa):
    error = refused("stamp_untrusted", judged, tsa.stamp(NOTE), Tsa("Somebody else").root)
    assert "unable to get local issuer certificate" in error.message
    # One that has the same name and another key.
    refused("stamp_untrusted", judged, tsa.stamp(NOTE), Tsa("Southern Time Authority").root)
    judged(tsa.stamp(NOTE), Tsa("Somebody else").root, tsa.root)


def test_certificates_are_judged_as_of_the_time_it_states(tsa):
    ended = Tsa("Ended", ends=datetime.now(UTC) - timedelta(days=30))
    judged(ended.stamp(NOTE, datetime.now(UTC) - timedelta(days=60)), ended.root)
    error = refused("stamp_untrusted", judged, ended.stamp(NOTE), ended.root)
    assert "expired" in error.message
    begins = Tsa("Begins", begins=datetime.now(UTC) - timedelta(days=1))
    refused("stamp_untrusted", judged, begins.stamp(NOTE, datetime.now(UTC) - timedelta(days=9)), begins.root)
    key = make_key()
    root = certify("Old root", key, authority=True, ends=datetime.now(UTC) - timedelta(days=1))
    old = Tsa("Of an old root")
    old.leaf = certify("Of an old root", old.key, (root, key))
    old.chain = [old.leaf]
    refused("stamp_untrusted", judged, old.stamp(NOTE), root)


@pytest.mark.parametrize(
    "leaf",
    [
        {"usages": (ExtendedKeyUsageOID.SERVER_AUTH,)},
        {"usages": (ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.CODE_SIGNING)},
        {"usages": None},
        {"critical": False},
    ],
    ids=["server", "two usages", "none", "not critical"],
)
def test_a_certificate_that_is_not_for_time_stamps_alone(leaf):
    other = Tsa("Of another use", **leaf)
    refused("stamp_invalid", judged, other.stamp(NOTE), other.root)


def test_a_chain_with_one_between(tsa):
    key, middle_key = make_key(), make_key()
    middle = certify("Middle", middle_key, (tsa.root, tsa.root_key), authority=True)
    other = Tsa("Below")
    other.key, other.leaf = key, certify("Below", key, (middle, middle_key))
    other.chain = [other.leaf, middle]
    judged(other.stamp(NOTE), tsa.root)
    other.chain = [other.leaf]
    refused("stamp_untrusted", judged, other.stamp(NOTE), tsa.root)
    judged(other.stamp(NOTE), tsa.root, middle)
    # The one between is no root: it must lead to one.
    refused("stamp_untrusted", judged, other.stamp(NOTE), middle)


def test_without_its_certificate_nobody_is_named(tsa):
    tsa.chain, kept = [], tsa.chain
    try:
        assert parse_stamp(tsa.stamp(NOTE), NOTE).authority == ""
        refused("stamp_invalid", judged, tsa.stamp(NOTE), tsa.root)
    finally:
        tsa.chain = kept


def test_no_flipped_bit_moves_what_it_says(tsa):
    response = tsa.stamp(NOTE, AT)
    right = judged(response, tsa.root)
    passed = 0
    for at in range(len(response)):
        spoilt = bytearray(response)
        spoilt[at] ^= 1
        try:
            found = judged(bytes(spoilt), tsa.root)
        except CountermarkError:
            continue
        # What is not signed, and says nothing: parameters and repeated names of algorithms.
        assert found == right, at
        passed += 1
    assert passed < 40


def test_another_question_and_another_time(tsa):
    request = make_stamp_request(NOTE)
    stamp = parse_stamp(tsa.answer(request.data, AT), NOTE)
    refused("stamp_nonce", check_answer, stamp, request.nonce ^ 1, AT_MS)
    check_answer(stamp, request.nonce, AT_MS + 300_000)
    refused("stamp_time", check_answer, stamp, request.nonce, AT_MS + 300_001)
    refused("stamp_time", check_answer, stamp, request.nonce, AT_MS - 300_001)


def test_a_refusal_is_no_stamp(tsa):
    tsa.faults["status"] = 2
    refused("stamp_refused", parse_stamp, tsa.stamp(NOTE), NOTE)


def test_too_much(tsa):
    refused("oversized_stamp", parse_stamp, tsa.stamp(NOTE) + bytes(MAX_STAMP_BYTES), NOTE)
    refused("bad_tsa_roots", parse_tsa_roots, tsa.roots + b"\n" * MAX_ROOTS_BYTES)
    refused("bad_tsa_roots", parse_tsa_roots, b"")
    refused(
        "bad_tsa_roots", parse_tsa_roots, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    )


WHOLE = Tsa().stamp(NOTE)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.tuples(st.integers(0, len(WHOLE)), st.binary(max_size=8))))
def test_what_is_no_stamp_raises_our_errors_only(junk):
    if isinstance(junk, tuple):
        at, put = junk
        junk = WHOLE[:at] + put + WHOLE[at + len(put) :]
    codes = {"bad_stamp", "stamp_imprint", "stamp_refused"}
    code = ""
    try:
        parse_stamp(junk, NOTE)
    except CountermarkError as error:
        code = error.code
    assert code in codes | {""}


def test_openssl_agrees(tsa, tmp_path):
    """Another implementation verifies what our authority signs, and ours what its authority signs."""
    (tmp_path / "note").write_bytes(NOTE)
    (tmp_path / "roots.pem").write_bytes(tsa.roots)
    (tmp_path / "stamp.tsr").write_bytes(tsa.stamp(NOTE))

    def openssl(*arguments):
        return subprocess.run(["openssl", "ts", *arguments], cwd=tmp_path, capture_output=True)

    checked = ("-verify", "-in", "stamp.tsr", "-data", "note", "-CAfile", "roots.pem")
    assert b"Verification: OK" in openssl(*checked).stdout
    request = make_stamp_request(NOTE)
    (tmp_path / "question.tsq").write_bytes(request.data)
    write_authority(tsa, tmp_path)
    made = openssl(
        *("-reply", "-config", "ts.conf", "-section", "tsa"),
        *("-queryfile", "question.tsq", "-out", "answer.tsr"),
    )
    assert made.returncode == 0, made.stderr
    stamp = parse_stamp((tmp_path / "answer.tsr").read_bytes(), NOTE)
    check_answer(stamp, request.nonce, int(datetime.now(UTC).timestamp() * 1000))
    assert verify_stamp(stamp, parse_tsa_roots(tsa.roots)).authority == "Southern Time Authority"


def write_authority(tsa, folder):
    key = tsa.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "tsa.key").write_bytes(key)
    (folder / "tsa.pem").write_bytes(pem(tsa.leaf))
    (folder / "serial").write_text("01\n")
    (folder / "ts.conf").write_text(
        "[tsa]\nserial = serial\nsigner_cert = tsa.pem\nsigner_key = tsa.key\nsigner_digest = sha256\n"
        "default_policy = 1.2.3.4.1\ndigests = sha256\naccuracy = secs:1, millisecs:500\n"
        "ess_cert_id_chain = no\ness_cert_id_alg = sha256\n"
    )


# --- the series ---------------------------------------------------------------------------------------


def item(minute, authority, size=5):
    return StampItem(minute, authority, raw_checkpoint(size), b"response")


def page(*items, complete=True):
    return encode_json(StampHistory(tuple(items), complete).to_json())


def test_a_page_of_the_series():
    items = (item(3, "east"), item(3, "west"), item(4, "east"))
    assert parse_stamp_history(page(*items, complete=False)) == StampHistory(items, complete=False)
    for wrong in (items[::-1], (items[0], items[0]), (item(3, "east"), item(2, "west"))):
        refused("bad_member", parse_stamp_history, page(*wrong))
    refused("bad_member", parse_stamp_history, page(complete=False))
    refused("bad_member", parse_stamp_history, page(item(3, "East")))
    refused("bad_member", parse_stamp_history, page(item(3, "e" * 33)))


def test_the_oldest_of_each_authority_that_covers():
    items = [item(9, "west", 7), item(3, "east", 5), item(5, "east", 6), item(7, "east", 8)]
    assert oldest_stamps(items, 6) == (items[2], items[0])
    assert oldest_stamps(items, 8) == (items[3],)
    assert oldest_stamps(items, 9) == ()
