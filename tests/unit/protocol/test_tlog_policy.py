"""Witness policies: what a file may say, which witnesses are a quorum, and which times follow."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.cosignature import CosignatureType, Cosigner, encode_cosigner_vkey
from countermark_protocol.errors import MalformedError, SignatureError, UncheckableError
from countermark_protocol.note import NoteSignature, encode_vkey
from countermark_protocol.tlog_policy import (
    MAX_POLICY_BYTES,
    PolicyGroup,
    Quorum,
    check_quorum,
    parse_policy,
    threshold_policy,
    verify_by_policy,
)
from countermark_protocol.tlog_witness import add_cosignatures
from support.witnesses import KINDS, LOG_KEY, ORIGIN, TIME, checkpoint, cosigner, note_key, raw_checkpoint

W = {f"W{i}": cosigner(f"witness.example/w{i}", KINDS[i % 2], i) for i in range(1, 7)}
LOG_LINE = f"log {encode_vkey(note_key())} https://log.example\n"
WITNESS_LINES = "".join(f"witness {n} {encode_cosigner_vkey(w.key)}\n" for n, w in W.items())
NESTED = LOG_LINE + WITNESS_LINES + "group X 2 W1 W2 W3\ngroup Y any W4 W5\ngroup Z all X Y\nquorum Z\n"


def policy(*lines):
    return parse_policy((LOG_LINE + WITNESS_LINES + "".join(f"{line}\n" for line in lines)).encode())


def cosigned(**times):
    return checkpoint(5, lines=[W[name].cosign(checkpoint(5), TIME + t) for name, t in times.items()])


def code_of(error, call, *arguments):
    with pytest.raises(error) as caught:
        call(*arguments)
    return caught.value.code


def refused(text):
    data = text if isinstance(text, bytes) else text.encode()
    return code_of(MalformedError, parse_policy, data)


# --- parsing -----------------------------------------------------------------------------------------


def test_a_policy_as_parsed():
    found = parse_policy(NESTED.encode())
    assert [(log.key, log.url) for log in found.logs] == [(note_key(), "https://log.example")]
    assert [(w.name, w.key, w.url) for w in found.witnesses] == [(n, w.key, None) for n, w in W.items()]
    assert found.groups == (
        PolicyGroup("X", 2, ("W1", "W2", "W3")),
        PolicyGroup("Y", 1, ("W4", "W5")),
        PolicyGroup("Z", 2, ("X", "Y")),
    )
    assert found.quorum == "Z"


def test_blanks_comments_and_tabs():
    text = "\n \t\n# a comment: é\n\t# another\n\tquorum \t none  \n"
    assert parse_policy(text.encode()).quorum is None


def test_names_are_opaque_octets():
    vkey = encode_cosigner_vkey(W["W1"].key)
    found = parse_policy(
        b"witness K\xe2\x84\xaa\xff %s http://\xff\nquorum K\xe2\x84\xaa\xff\n" % vkey.encode()
    )
    assert found.witnesses[0].name.encode("utf-8", "surrogateescape") == b"K\xe2\x84\xaa\xff"
    assert found.is_met_by({found.witnesses[0].name})
    with pytest.raises(MalformedError) as caught:
        parse_policy(b"quorum \xff\n")
    str(caught.value).encode()  # can be shown


def test_a_witness_may_be_named_by_a_keyword():
    vkey = encode_cosigner_vkey(W["W1"].key)
    assert parse_policy(f"witness quorum {vkey}\nquorum quorum\n".encode()).quorum == "quorum"


VKEY = encode_cosigner_vkey(W["W1"].key)
OTHER_NAME = encode_cosigner_vkey(cosigner("other", KINDS[1], 1).key)
LOG_AS_WITNESS = encode_cosigner_vkey(Cosigner("w", CosignatureType.ED25519, b"\x01" * 32).key)
NAMED_AS_LOG = encode_cosigner_vkey(cosigner(ORIGIN, KINDS[0], 20).key)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "policy_quorum"),
        ("quorum none", "policy_line"),
        ("quorum none\nquorum none\n", "policy_quorum"),
        ("quorum\n", "policy_line"),
        ("quorum a b\n", "policy_line"),
        ("quorum W1\n" + WITNESS_LINES, "policy_name"),
        ("quorums none\n", "policy_line"),
        ("Quorum none\n", "policy_line"),
        ("quorum none # why\n", "policy_line"),
        ("quorum none\r\n", "forbidden_character"),
        ("quorum\x0bnone\n", "forbidden_character"),
        ("quorum none\n\x7f", "forbidden_character"),
        ("\0quorum none\n", "forbidden_character"),
        ("log\n", "policy_line"),
        (f"log {encode_vkey(note_key())} a b\n", "policy_line"),
        ("log x\n", "bad_vkey"),
        (LOG_LINE + LOG_LINE, "policy_twice"),
        (LOG_LINE + f"log {encode_vkey(note_key('other'))}\n", "policy_twice"),
        ("witness W1\n", "policy_line"),
        (f"witness W1 {VKEY} a b\n", "policy_line"),
        (f"witness none {VKEY}\n", "policy_name"),
        (f"witness A {VKEY}\nwitness B {VKEY}\n", "policy_twice"),
        (f"witness A {VKEY}\nwitness B {OTHER_NAME}\n", "policy_twice"),
        (WITNESS_LINES + "group W1 any W2\n", "policy_name"),
        (WITNESS_LINES + "group none any W2\n", "policy_name"),
        (WITNESS_LINES + "group G any G\n", "policy_name"),
        (WITNESS_LINES + "group G any none\n", "policy_name"),
        (WITNESS_LINES + "group G any W1 W9\n", "policy_name"),
        (WITNESS_LINES + "group G any W1 W1\n", "policy_name"),
        (WITNESS_LINES + "group G any W1\ngroup H any W1\n", "policy_name"),
        (WITNESS_LINES + "group G any\n", "policy_line"),
        *(
            (WITNESS_LINES + f"group G {k} W1 W2\n", "policy_threshold")
            for k in ("0", "3", "-1", "+1", "01", "some")
        ),
        (f"witness A {LOG_AS_WITNESS}\n{LOG_LINE}quorum A\n", "witness_is_log"),
        (f"{LOG_LINE}witness A {NAMED_AS_LOG}\nquorum A\n", "witness_is_log"),
        ("#" * MAX_POLICY_BYTES + "\n", "policy_too_large"),
    ],
)
def test_files_that_are_no_policy(text, code):
    assert refused(text) == code


def test_a_key_must_fit_its_line():
    for text in (f"log {VKEY}\n", f"witness A {encode_vkey(note_key())}\n"):
        assert code_of(UncheckableError, parse_policy, text.encode()) == "note_key_type"


def many(keyword, count):
    keys = [cosigner(f"w{i}", KINDS[0], i + 100).key for i in range(count)]
    lines = [f"witness A{i} {encode_cosigner_vkey(k)}" for i, k in enumerate(keys[: min(count, 64)])]
    if keyword == "witness":
        lines = [f"witness A{i} {encode_cosigner_vkey(k)}" for i, k in enumerate(keys)]
    elif keyword == "group":
        lines += ["group G0 any A0", *(f"group G{i} any G{i - 1}" for i in range(1, count))]
    else:
        lines = [f"log {encode_vkey(note_key(f'l{i}', k.raw))}" for i, k in enumerate(keys)]
    return "\n".join([*lines, "quorum none", ""])


@pytest.mark.parametrize("keyword", ["log", "witness", "group"])
def test_64_definitions_of_a_kind_and_no_more(keyword):
    parse_policy(many(keyword, 64).encode())
    assert refused(many(keyword, 65)) == "policy_too_large"


@given(st.binary(max_size=300))
def test_anything_else_is_refused_by_our_errors_alone(data):
    with contextlib.suppress(MalformedError, UncheckableError):
        parse_policy(data)


# --- quorums -----------------------------------------------------------------------------------------


def test_every_set_of_witnesses_of_a_nested_policy():
    found = parse_policy(NESTED.encode())
    for size in range(7):
        for names in itertools.combinations(W, size):
            held = set(names)
            met = len(held & {"W1", "W2", "W3"}) >= 2 and bool(held & {"W4", "W5"})
            assert found.is_met_by(held) == met
    for names in ((), ("W1", "W4"), ("W1", "W2", "W6"), ("W4", "W5")):
        whole = cosigned(**dict.fromkeys(names, 0))
        assert code_of(SignatureError, check_quorum, found, whole) == "quorum_not_met"
    assert check_quorum(found, cosigned(W3=0, W1=0, W5=0)).times == {"W1": TIME, "W3": TIME, "W5": TIME}


def test_the_times_of_a_quorum():
    # 2 of W1 to W3, and W4 or W5: the quorum is W2 and W3 with W5, or W1 and W2 with W4, ...
    found = check_quorum(parse_policy(NESTED.encode()), cosigned(W1=10, W2=20, W3=30, W4=5, W5=25, W6=99))
    assert found.current_at == TIME + 20  # W2, W3 and W5 saw nothing larger then
    assert found.existed_by == TIME + 20  # W1, W2 and W4 had seen it then
    assert found.times == {name: TIME + t for name, t in zip(W, (10, 20, 30, 5, 25, 99), strict=True)}


def test_one_witness_alone_moves_no_time():
    found = policy("group G 2 W1 W2 W3", "quorum G")
    early = check_quorum(found, cosigned(W1=0, W2=3, W3=-1_000_000))
    assert (early.current_at, early.existed_by) == (TIME, TIME)
    late = check_quorum(found, cosigned(W1=0, W2=3, W3=1_000_000))
    assert (late.current_at, late.existed_by) == (TIME + 3, TIME + 3)


def test_a_witness_may_have_cosigned_twice():
    lines = [W["W1"].cosign(checkpoint(5), TIME + t) for t in (5, 1, 9, 2)]
    found = check_quorum(policy("quorum W1"), checkpoint(5, lines=lines))
    assert found == Quorum(TIME + 9, TIME + 1, {"W1": TIME + 9})


def test_a_policy_may_demand_none():
    assert check_quorum(policy("quorum none"), checkpoint(5)) == Quorum(None, None, {})
    assert check_quorum(policy("quorum none"), cosigned(W2=3)) == Quorum(None, None, {"W2": TIME + 3})


def test_strangers_lines_are_ignored():
    stranger = cosigner("stranger", KINDS[0], 50).cosign(checkpoint(5), TIME)
    same_name = NoteSignature(W["W1"].key.name, b"\0\0\0\0", b"x")
    same_id = NoteSignature("stranger", W["W1"].key.key_id, b"x")
    lines = [stranger, same_name, same_id]
    assert (
        code_of(SignatureError, check_quorum, policy("quorum W1"), checkpoint(5, lines=lines))
        == "quorum_not_met"
    )
    lines.append(W["W1"].cosign(checkpoint(5), TIME))
    assert check_quorum(policy("quorum W1"), checkpoint(5, lines=lines)).current_at == TIME


def test_a_false_line_by_a_known_witness_voids_the_checkpoint():
    good = W["W1"].cosign(checkpoint(5), TIME)
    wrong = {
        "bad_signature": W["W2"].cosign(checkpoint(6), TIME),
        "signature_size": NoteSignature(W["W2"].key.name, W["W2"].key.key_id, b"x"),
        "cosignature_time": NoteSignature(W["W2"].key.name, W["W2"].key.key_id, bytes(8 + 64)),
    }
    for code, line in wrong.items():
        found = code_of(SignatureError, check_quorum, policy("quorum W1"), checkpoint(5, lines=[good, line]))
        assert found == code


def test_the_logs_own_keys_never_count():
    own = Cosigner("w", CosignatureType.ED25519, b"\x01" * 32)
    named = cosigner(ORIGIN, KINDS[0], 20)
    for key in (own, named):
        found = parse_policy(f"witness A {encode_cosigner_vkey(key.key)}\nquorum A\n".encode())
        whole = checkpoint(5, lines=[key.cosign(checkpoint(5), TIME)])
        assert code_of(SignatureError, check_quorum, found, whole, [LOG_KEY]) == "quorum_not_met"
    former = policy("quorum W2")
    assert check_quorum(former, cosigned(W2=0)).current_at == TIME
    assert (
        code_of(SignatureError, check_quorum, former, cosigned(W2=0), [W["W2"].key.raw]) == "quorum_not_met"
    )


def test_the_log_must_be_one_of_the_policys():
    other = parse_policy(f"log {encode_vkey(note_key('other', W['W2'].key.raw))}\nquorum none\n".encode())
    assert code_of(SignatureError, check_quorum, other, checkpoint(5)) == "checkpoint_origin"


def test_witnesses_with_a_key_of_each_kind_count_once():
    pairs = [[cosigner(f"w{i}", kind, 30 + i) for kind in KINDS] for i in range(3)]
    found = threshold_policy([[w.key for w in pair] for pair in pairs] + [[]], 2)

    def whole(*cosigners):
        return checkpoint(5, lines=[w.cosign(checkpoint(5), TIME + t) for t, w in enumerate(cosigners)])

    assert code_of(SignatureError, check_quorum, found, whole(*pairs[0])) == "quorum_not_met"
    quorum = check_quorum(found, whole(*pairs[0], pairs[2][1]))
    assert quorum == Quorum(TIME + 1, TIME + 2, {"0/4": TIME, "0/6": TIME + 1, "2/6": TIME + 2})
    assert check_quorum(threshold_policy([], 0), checkpoint(5)) == Quorum(None, None, {})
    for wrong in (-1, 4):
        with pytest.raises(ValueError):
            threshold_policy([[], [], []], wrong)


# --- by the policy alone -----------------------------------------------------------------------------


def unverified(**times):
    lines = [W[name].cosign(checkpoint(5), TIME + t) for name, t in times.items()]
    return parse_checkpoint(add_cosignatures(raw_checkpoint(5), lines))


def test_a_checkpoint_verified_by_nothing_but_a_policy():
    whole, quorum = verify_by_policy(policy("quorum W1"), unverified(W1=7))
    assert (whole.origin, whole.size, quorum.current_at) == (ORIGIN, 5, TIME + 7)
    assert (
        code_of(SignatureError, verify_by_policy, policy("quorum W2"), unverified(W1=7)) == "quorum_not_met"
    )
    none = parse_policy(b"quorum none\n")
    assert code_of(SignatureError, verify_by_policy, none, unverified()) == "checkpoint_origin"


def test_a_policy_may_list_several_keys_of_one_log():
    former, stranger = (encode_vkey(note_key(ORIGIN, W[n].key.raw)) for n in ("W2", "W4"))
    both = parse_policy(f"log {former}\n{LOG_LINE}quorum none\n".encode())
    assert verify_by_policy(both, unverified())[0].size == 5
    neither = parse_policy(f"log {former}\nlog {stranger}\nquorum none\n".encode())
    assert code_of(SignatureError, verify_by_policy, neither, unverified()) == "signature_missing"
