"""Recovery copies: what they are bound to, and that each thing that is wrong is told apart."""

import contextlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol.errors import (
    CountermarkError,
    MalformedError,
    NotFoundError,
    SealError,
    VerificationError,
)
from countermark_protocol.keys import Algorithm
from countermark_protocol.recovery import make_copy, open_copy, parse_copy, parse_paper, show_paper
from countermark_protocol.sealing import SealingKey
from support.world import KAMPALA, MOMBASA, NAIROBI, ORIGIN, seed, signer

RECOVERY = SealingKey(seed("recovery"))
KEYS = {a: SealingKey(seed("sealing"), a) for a in (Algorithm.XWING, Algorithm.MLKEM1024_P384)}
PUBLIC = KEYS[Algorithm.XWING].public_key
COPY = make_copy(ORIGIN, NAIROBI, PUBLIC, seed("sealing"), RECOVERY.public_key)


def refused(error, code, function, *args, **kwargs):
    with pytest.raises(CountermarkError) as caught:
        function(*args, **kwargs)
    assert (type(caught.value), caught.value.code) == (error, code)


def opened(copy, recovery=RECOVERY, logs=(ORIGIN,), address=NAIROBI, named=lambda _: True):
    return open_copy(copy, recovery, logs=logs, address=address, named=named)


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize("recovery", KEYS)
def test_a_copy_gives_back_the_key(algorithm, recovery):
    safe = SealingKey(seed("recovery"), recovery)
    copy = make_copy(ORIGIN, NAIROBI, KEYS[algorithm].public_key, seed("sealing"), safe.public_key)
    assert seed("sealing") not in copy.encode()
    assert parse_copy(copy.encode()) == copy
    assert opened(copy, safe) == seed("sealing")


def test_only_keys_that_the_directory_named_are_asked_for():
    asked = []
    assert opened(COPY, named=lambda key_id: asked.append(key_id) or True)
    assert asked == [PUBLIC.key_id]


def test_what_is_wrong_is_told_apart():
    refused(VerificationError, "recovery_other_log", opened, COPY, logs=("log.example.net/1",))
    refused(VerificationError, "recovery_other_address", opened, COPY, address=KAMPALA)
    refused(NotFoundError, "recovery_key_not_named", opened, COPY, named=lambda _: False)
    refused(SealError, "other_recovery_key", opened, COPY, SealingKey(seed("another")))


@pytest.mark.parametrize(
    "change",
    [
        {"log": "log.example.net/1"},
        {"address": MOMBASA},
        {"sealing": SealingKey(seed("other")).public_key},
        {"wrapped": COPY.wrapped[:-1] + bytes([COPY.wrapped[-1] ^ 1])},
        {"wrapped": bytes([COPY.wrapped[0] ^ 1]) + COPY.wrapped[1:]},
        {"wrapped": b""},
    ],
    ids=["log", "address", "key", "tag", "encapsulation", "nothing"],
)
def test_what_a_copy_says_is_bound_to_what_it_holds(change):
    altered = replace(COPY, **change)
    where = {"logs": (altered.log,), "address": altered.address}
    refused(SealError, "recovery_does_not_open", opened, altered, **where)


def test_a_copy_of_another_seed_is_not_taken_for_the_key_it_names():
    # Anybody can make one: the public half of the recovery key is no secret.
    for held in (seed("other"), b"short", b""):
        forged = make_copy(ORIGIN, NAIROBI, PUBLIC, held, RECOVERY.public_key)
        refused(SealError, "recovery_other_seed", opened, forged)


def test_a_copy_is_made_for_sealing_keys_alone():
    with pytest.raises(ValueError, match="not a sealing key"):
        make_copy(ORIGIN, NAIROBI, PUBLIC, seed("sealing"), signer("x").public_key)


@pytest.mark.parametrize(
    ("code", "change"),
    [
        ("unknown_version", {"format": "countermark-recovery-2"}),
        ("wrong_algorithm", {"sealing": signer("x").public_key.to_json()}),
        ("not_an_origin", {"log": "https://x"}),
        ("not_an_address", {"address": "nairobi"}),
        ("not_hex", {"recovery": "00"}),
        ("not_base64url", {"wrapped": "="}),
        ("unknown_member", {"seed": "x"}),
    ],
)
def test_files_that_are_no_copies(code, change):
    data = json.dumps(json.loads(COPY.encode()) | change).encode()
    refused(MalformedError, code, parse_copy, data)


def test_a_file_that_is_far_too_large_is_not_read():
    refused(MalformedError, "too_large", parse_copy, bytes(20_000))


@given(st.binary(max_size=200) | st.just(COPY.encode()), st.integers(0, 10**6))
def test_parsing_raises_only_our_errors(data, at):
    spoilt = bytearray(data)
    if spoilt:
        spoilt[at % len(spoilt)] ^= 1
    with contextlib.suppress(CountermarkError):
        parse_copy(bytes(spoilt))


# --- on paper ---


@given(st.binary(min_size=32, max_size=32))
def test_what_is_printed_reads_back_however_it_is_typed(private):
    text = show_paper(private)
    assert [len(group) for group in text.split("-")] == [4] * 14
    for typed in (text, text.lower(), text.replace("-", " "), text.replace("0", "O").replace("1", "l")):
        assert parse_paper(typed) == private


@given(st.integers(0, 55), st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZ"))
def test_one_letter_mistyped_is_known(at, letter):
    letters = list(show_paper(seed("paper")).replace("-", ""))
    if letters[at] == letter:
        return
    letters[at] = letter
    refused(MalformedError, "recovery_paper", parse_paper, "".join(letters))


@pytest.mark.parametrize(
    "text", ["", "K7QF-2MXA-9TBW", show_paper(seed("paper"))[:-1], show_paper(seed("p"))[:-1] + "U"]
)
def test_what_is_not_14_groups_is_no_recovery_key(text):
    refused(MalformedError, "recovery_paper", parse_paper, text)
