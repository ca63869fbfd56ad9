"""Keys that are paired with an ML-DSA-65 key: both halves sign, the pair counts as one, and half of it counts for nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countermark_protocol.claims import Kind
from countermark_protocol.documents import (
    Purpose,
    encode_document,
    make_signatures,
    parse_document,
    sign_document,
    verify_document,
)
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    MalformedError,
    NotFoundError,
    SealError,
    SignatureError,
)
from countermark_protocol.gathering import add_signature, start_gathering, verify_signature_of
from countermark_protocol.keyfile import StoredKey, encode_key_file, parse_key_file
from countermark_protocol.keys import Algorithm, parse_pair_json
from countermark_protocol.records import (
    EndpointRecord,
    Ground,
    InstanceKey,
    KeysRecord,
    RevocationRecord,
    State,
    make_key_set,
)
from countermark_protocol.sealing import SealingKey
from countermark_protocol.signers import MlDsa65Signer, PairSigner, load_signer
from support.protocol_world import NOW, make_world
from support.world import ALL_TYPES, KAMPALA, MOMBASA, NAIROBI, seed, signer

NEW = "ke.police.new"


def pair(name):
    return PairSigner(signer(name), MlDsa65Signer(seed(f"second {name}")))


ONE, TWO = pair("one"), pair("two")
PAYLOAD = encode_json({"kind": "message", "text": "paired"})
KEYS = {s.public_key.key_id: s.public_key for s in (ONE, TWO, signer("plain"))}


def refused(error, code, function, *args):
    with pytest.raises(CountermarkError) as caught:
        function(*args)
    assert (type(caught.value), caught.value.code) == (error, code)


def verified(*signatures):
    return verify_document(parse_document(encode_document(PAYLOAD, signatures)), KEYS.get)


# --- documents ---


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from([Purpose.SIGN, Purpose.POSSESSION])),
        unique_by=lambda t: t[0],
    )
)
def test_whatever_signatures_are_put_together_only_whole_pairs_pass(chosen):
    """a and b are the halves of one pair, c and d those of another; each signed for any purpose or not at all."""
    made = {
        (letter, p): s
        for p in (Purpose.SIGN, Purpose.POSSESSION)
        for letter, s in zip("abcd", _MADE[p], strict=True)
    }
    if not chosen:
        return
    given_for = dict(chosen)
    whole = all(given_for.get(x) == given_for.get(y) for x, y in ("ab", "cd"))
    signatures = [made[letter, p] for letter, p in chosen]
    if whole:
        firsts = {(p, made[x, p].key_id) for x, p in chosen if x in "ac"}
        assert set(verified(*signatures).signers) == firsts
    else:
        with pytest.raises(SignatureError) as caught:
            verified(*signatures)
        assert caught.value.code in {"half_a_pair", "second_unasked"}


_MADE = {
    p: (*make_signatures(PAYLOAD, ONE, p), *make_signatures(PAYLOAD, TWO, p))
    for p in (Purpose.SIGN, Purpose.POSSESSION)
}


def test_a_gathering_takes_both_halves_at_once():
    data = add_signature(start_gathering(PAYLOAD), ONE)
    assert len(parse_document(data).signatures) == 2
    assert [s.key_id for s in parse_document(data).counted] == [ONE.public_key.key_id]
    verify_signature_of(data, ONE.public_key)
    refused(ConflictError, "already_signed", add_signature, data, ONE)
    half = add_signature(start_gathering(PAYLOAD), ONE.first)
    refused(SignatureError, "too_few_signatures", verify_signature_of, half, ONE.public_key)


def test_a_pair_reads_back_and_has_the_id_of_its_first_half():
    public = ONE.public_key
    assert parse_pair_json(public.to_json()) == public
    assert public.key_id == ONE.first.public_key.key_id
    assert public != ONE.first.public_key
    assert not public.second.is_signing


# --- key files ---


def test_a_key_file_keeps_both_halves():
    stored = (
        StoredKey("instance", Algorithm.ES256, seed("p"), seed("q")),
        StoredKey("sealing", Algorithm.XWING, seed("s")),
    )
    data = encode_key_file(stored, "secret", bytes(16), bytes(12))
    assert parse_key_file(data, "secret") == stored
    loaded = load_signer(stored[0].algorithm, stored[0].private, stored[0].second)
    assert loaded.public_key.second == MlDsa65Signer(seed("q")).public_key
    refused(SealError, "wrong_passphrase", parse_key_file, data, "other")


@pytest.mark.parametrize(
    "stored",
    [
        StoredKey("instance", Algorithm.ML_DSA_65, seed("x")),
        StoredKey("sealing", Algorithm.XWING, seed("x"), seed("y")),
        StoredKey("instance", Algorithm.ED25519, seed("x"), seed("y")[:31]),
    ],
)
def test_what_is_no_pair_is_not_read(stored):
    data = encode_key_file((stored,), "secret", bytes(16), bytes(12))
    refused(MalformedError, "bad_member", parse_key_file, data, "secret")


# --- the directory ---


@pytest.fixture
def world():
    return make_world()


def endpoint(world, administrator, signers=None, possession=None, address=NEW):
    record = EndpointRecord(address, "New", make_key_set([administrator.public_key]), State.ACTIVE)
    return world.directory_statement(
        Kind.ENDPOINT,
        address,
        record,
        signers or [world.authority("ke")],
        possession=possession or [administrator],
    )


def keys(world, administrator, instance, possession=None, **changes):
    sealing = world.agencies[NAIROBI].sealing.public_key if "sealing" not in changes else changes["sealing"]
    record = KeysRecord(NEW, (InstanceKey(instance.public_key, "desk"),), sealing, None, 0, ALL_TYPES)
    return world.directory_statement(
        Kind.KEYS, NEW, record, [administrator], possession=[instance] if possession is None else possession
    )


def test_pairs_are_enrolled_and_sign_messages_and_halves_do_neither(world):
    admin, desk = pair("admin"), pair("desk")
    world.refuse(endpoint(world, admin, possession=[admin.first]), SignatureError, "half_a_pair")
    world.put(endpoint(world, admin))
    sealing = SealingKey(seed("sealing of new")).public_key
    world.refuse(keys(world, admin.first, desk, sealing=sealing), SignatureError, "half_a_pair")
    world.refuse(keys(world, admin, desk, [desk.first], sealing=sealing), SignatureError, "half_a_pair")
    world.put(keys(world, admin, desk, sealing=sealing))
    [listed] = world.state.directory.keys(NEW).signing
    assert listed.key == desk.public_key
    world.refuse(world.message(NEW, [KAMPALA], signer=desk.first, sent_at=NOW), SignatureError, "half_a_pair")
    swapped = PairSigner(desk.first, pair("another").second)
    world.refuse(world.message(NEW, [KAMPALA], signer=swapped, sent_at=NOW), SignatureError, "second_unasked")
    world.put(world.message(NEW, [KAMPALA], signer=desk, sent_at=NOW))


def test_a_threshold_counts_pairs_not_signatures(world):
    one, two = world.governors[0], pair("governor")
    governors = make_key_set([one.public_key, two.public_key], 2)
    world.put(
        world.directory_statement(
            Kind.GOVERNANCE,
            "",
            replace(world.log_record(), governors=governors),
            world.governors[:2],
            possession=[two],
        )
    )
    policy = world.directory_statement(Kind.POLICY, "", world.policy, [two])
    world.refuse(policy, SignatureError, "too_few_signatures")
    world.put(world.directory_statement(Kind.POLICY, "", world.policy, [one, two]))


def test_a_key_keeps_its_pairing_for_good(world):
    admin = pair("admin")
    world.put(endpoint(world, admin))
    for other in (admin.first, PairSigner(admin.first, pair("another").second)):
        again = endpoint(world, other, possession=[admin])
        world.refuse(again, ConflictError, "pair_changed")


def test_the_two_halves_of_a_record_are_different_keys(world):
    admin = PairSigner(signer("a"), pair("x").second)
    double = make_key_set([admin.public_key, PairSigner(signer("b"), admin.second).public_key], 2)
    record = EndpointRecord(NEW, "New", double, State.ACTIVE)
    data = world.directory_statement(Kind.ENDPOINT, NEW, record, [world.authority("ke")], possession=[admin])
    world.refuse(data, MalformedError, "key_twice")


def test_checkpoints_are_signed_by_a_single_key(world):
    paired = replace(world.log_record(), log_key=pair("log").public_key)
    data = world.directory_statement(
        Kind.GOVERNANCE, "", paired, world.governors[:2], possession=[pair("log")]
    )
    world.refuse(data, MalformedError, "bad_member")


def test_a_pair_is_revoked_as_one_by_its_first_id(world):
    admin, desk = pair("admin"), pair("desk")
    world.put(endpoint(world, admin))
    world.put(keys(world, admin, desk, sealing=SealingKey(seed("sealing of new")).public_key))

    def revocation(key_id, *by):
        record = RevocationRecord(key_id, Ground.COMPROMISE, None)
        return world.directory_statement(Kind.REVOCATION, key_id.hex(), record, by)

    public = desk.public_key
    world.refuse(revocation(public.second.key_id, admin), NotFoundError, "unknown_key")
    # Who has stolen, or forged, one half can do nothing with it, not even this.
    world.refuse(revocation(public.key_id, desk.first), SignatureError, "half_a_pair")
    world.put(revocation(public.key_id, desk))
    world.refuse(world.message(NEW, [MOMBASA], signer=desk, sent_at=NOW), SignatureError, "revoked_key")


def test_an_account_of_half_a_node_pair_is_no_account():
    node = pair("node")
    whole = parse_document(sign_document(PAYLOAD, [node]))
    half = parse_document(sign_document(PAYLOAD, [node.first]))
    resolve = {node.public_key.key_id: node.public_key}.get
    assert len(verify_document(whole, resolve).signers) == 1
    refused(SignatureError, "half_a_pair", verify_document, half, resolve)
