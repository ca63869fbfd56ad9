"""Judging directory statements: history, mandate, and exactly the right signatures. The state never changes on a refusal."""

from dataclasses import replace

import pytest

from countermark_protocol.claims import Kind
from countermark_protocol.documents import (
    Purpose,
    encode_document,
    make_signature,
    parse_document,
    sign_document,
)
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    PolicyError,
    SignatureError,
    UncheckableError,
)
from countermark_protocol.identifiers import Role
from countermark_protocol.judging import CLOCK_TOLERANCE, judge_statement
from countermark_protocol.records import (
    AuthorityRecord,
    EndpointRecord,
    Ground,
    GroupRecord,
    InstanceKey,
    KeysRecord,
    RevocationRecord,
    State,
    make_key_set,
)
from countermark_protocol.statements import verify_statement
from support.protocol_world import NOW, ProtocolWorld, found_world, fresh_state, make_world
from support.world import ALL_TYPES, BROKER, KAMPALA, MOMBASA, NAIROBI, signer


@pytest.fixture
def world():
    return make_world()


def empty_world():
    world = ProtocolWorld()
    world.now, world.entries, world.state = NOW, [], fresh_state(world.origin)
    return world


def authority(world, code="fr", keys=None, **changes):
    keys = keys or [world.authority(code)]
    record = AuthorityRecord(
        code, "Name", make_key_set([k.public_key for k in keys]), (Role.POLICE,), State.ACTIVE
    )
    return replace(record, **changes)


def endpoint(address="ke.police.new", admin=None, **changes):
    admin = admin or signer("new admin")
    return replace(EndpointRecord(address, "New", make_key_set([admin.public_key]), State.ACTIVE), **changes)


def revocation(key, at=None, ground=Ground.COMPROMISE):
    return RevocationRecord(key.public_key.key_id, ground, at)


# --- founding ---


def founding(world, signers=None, possession=None, **changes):
    record = replace(world.log_record(), **changes)
    return world.directory_statement(
        Kind.FOUNDING,
        "",
        record,
        world.governors if signers is None else signers,
        possession=[world.log_key, world.administrator] if possession is None else possession,
    )


def test_a_founding_bears_every_governor_and_possession():
    world = empty_world()
    world.refuse(founding(world, world.governors[:2]), SignatureError, "too_few_signatures")
    world.refuse(founding(world, [*world.governors[:2], signer("x")]), SignatureError, "unknown_key")
    for possession in ([], [world.log_key], [world.administrator]):
        world.refuse(founding(world, possession=possession), SignatureError, "missing_possession")
    # A governor proves no possession: it signs.
    world.refuse(
        founding(
            world, world.governors[1:], possession=[world.log_key, world.administrator, world.governors[0]]
        ),
        SignatureError,
        "too_few_signatures",
    )
    world.refuse(
        founding(world, [*world.governors, world.log_key], possession=[world.administrator]),
        SignatureError,
        "wrong_signer",
    )
    world.put(founding(world))
    world.refuse(founding(world), ConflictError, "already_founded")


def test_nothing_comes_before_the_founding():
    world = empty_world()
    governance = world.directory_statement(
        Kind.GOVERNANCE,
        "",
        world.log_record(),
        world.governors,
        possession=[world.log_key, world.administrator],
    )
    world.refuse(governance, NotFoundError, "no_founding")
    world.refuse(world.authority_statement("ke"), SignatureError, "unknown_key")


def test_a_founding_is_never_entry_two(world):
    other = founding(world, reset_delay=5)
    world.refuse(other, ConflictError, "already_founded")


# --- history ---


def test_prev_must_fit(world):
    stale = world.authority_statement("ke", state=State.SUSPENDED)
    world.put(world.authority_statement("ke", roles=[Role.POLICE]))
    error = world.refuse(stale, ConflictError, "stale_statement")
    assert world.state.directory.held("authority/ke").statement.hex() in error.message
    record = world.held("authority/ke")
    for prev in (None, bytes(32), world.state.directory.held("authority/be").statement):
        data = world.directory_statement(Kind.AUTHORITY, "ke", record, world.governors[:2], prev=prev)
        world.refuse(data, ConflictError, "stale_statement")
    new = world.directory_statement(
        Kind.AUTHORITY,
        "fr",
        authority(world),
        world.governors[:2],
        possession=[world.authority("fr")],
        prev=bytes(32),
    )
    assert "prev absent" in world.refuse(new, ConflictError, "stale_statement").message


def test_a_replay_changes_nothing(world):
    data = world.authority_statement("ke", roles=[Role.POLICE])
    world.put(data)
    world.refuse(data, ConflictError, "stale_statement")


# --- who must sign ---


def test_authorities_are_admitted_by_the_governors_alone(world):
    new = world.authority("fr")

    def admit(by, possession=(new,)):
        return world.directory_statement(Kind.AUTHORITY, "fr", authority(world), by, possession=possession)

    a, b, c = world.governors
    # It authorises itself.
    world.refuse(admit([new], []), SignatureError, "wrong_signer")
    world.refuse(admit([a, new], []), SignatureError, "wrong_signer")
    world.refuse(admit([world.authority("ke")]), SignatureError, "wrong_signer")
    world.refuse(admit([world.log_key, a]), SignatureError, "wrong_signer")
    world.refuse(admit([a]), SignatureError, "too_few_signatures")
    world.refuse(admit([a, b, c]), SignatureError, "too_many_signatures")
    world.refuse(admit([a, b], []), SignatureError, "missing_possession")
    world.refuse(admit([a, b], [new, c]), SignatureError, "too_many_signatures")
    world.refuse(admit([]), SignatureError, "too_few_signatures")
    world.put(admit([a, c]))


def test_any_quorum_will_do(world):
    for pair in ((0, 1), (0, 2), (1, 2)):
        fork = world.fork()
        fork.put(
            fork.directory_statement(
                Kind.AUTHORITY,
                "fr",
                authority(fork),
                [fork.governors[i] for i in pair],
                possession=[fork.authority("fr")],
            )
        )


def test_an_unchanged_key_proves_nothing_again(world):
    record = world.held("authority/ke")
    data = world.directory_statement(
        Kind.AUTHORITY, "ke", record, world.governors[:2], possession=[world.authority("ke")]
    )
    world.refuse(data, SignatureError, "too_many_signatures")


@pytest.mark.parametrize(
    ("purpose", "code"),
    [
        (Purpose.RELEASE, "reserved_release"),
        (Purpose.BEHALF, "reserved_behalf"),
    ],
)
def test_reserved_purposes(world, purpose, code):
    base = parse_document(world.authority_statement("ke"))
    extra = make_signature(base.payload, world.governors[2], purpose)
    world.refuse(encode_document(base.payload, [*base.signatures, extra]), PolicyError, code)


def test_endpoints_are_enrolled_by_their_authority_alone(world):
    admin = signer("new admin")

    def enrol(by, possession=(admin,), record=None):
        record = record or endpoint()
        return world.directory_statement(Kind.ENDPOINT, record.address, record, by, possession=possession)

    world.refuse(enrol([admin], []), SignatureError, "wrong_signer")
    world.refuse(enrol([world.authority("ug")]), SignatureError, "wrong_signer")
    world.refuse(enrol(world.governors[:2]), SignatureError, "wrong_signer")
    world.refuse(enrol([world.authority("ke")], []), SignatureError, "missing_possession")
    world.put(enrol([world.authority("ke")]))
    foreign = endpoint("fr.police.new", signer("other admin"))
    world.refuse(
        enrol([world.authority("ke")], [signer("other admin")], foreign),
        PolicyError,
        "principal_not_standing",
    )


def test_the_mandate_names_the_roles(world):
    world.put(world.authority_statement("ke", roles=[Role.CUSTOMS]))
    data = world.directory_statement(
        Kind.ENDPOINT, "ke.police.new", endpoint(), [world.authority("ke")], possession=[signer("new admin")]
    )
    world.refuse(data, PolicyError, "outside_mandate")
    # Nobody enrols a second broker.
    record = endpoint("ke.broker.new")
    data = world.directory_statement(
        Kind.ENDPOINT, "ke.broker.new", record, [world.authority("ke")], possession=[signer("new admin")]
    )
    world.refuse(data, PolicyError, "outside_mandate")


def test_a_suspended_authority_enrols_nobody(world):
    world.put(world.authority_statement("ke", state=State.SUSPENDED))
    data = world.directory_statement(
        Kind.ENDPOINT, "ke.police.new", endpoint(), [world.authority("ke")], possession=[signer("new admin")]
    )
    world.refuse(data, PolicyError, "principal_not_standing")
    group = world.group_statement("ke/all", [NAIROBI])
    world.refuse(group, PolicyError, "principal_not_standing")
    world.refuse(world.keys_statement(NAIROBI), PolicyError, "principal_not_standing")


def test_a_suspended_endpoint_changes_no_keys(world):
    world.put(world.endpoint_statement(NAIROBI, State.SUSPENDED))
    world.refuse(world.keys_statement(NAIROBI), PolicyError, "principal_not_standing")


def test_keys_are_certified_by_their_administrator_alone(world):
    agency, new = world.agencies[NAIROBI], signer("new instance")
    signing = tuple(
        sorted(
            (InstanceKey(agency.instance.public_key, "one"), InstanceKey(new.public_key, "two")),
            key=lambda k: k.key.key_id,
        )
    )
    record = replace(world.held(f"keys/{NAIROBI}"), signing=signing)

    def certify(by, possession=(new,)):
        return world.directory_statement(Kind.KEYS, NAIROBI, record, by, possession=possession)

    world.refuse(certify([agency.instance]), SignatureError, "wrong_signer")
    world.refuse(certify([new], []), SignatureError, "wrong_signer")
    world.refuse(certify([world.agencies[MOMBASA].administrator]), SignatureError, "wrong_signer")
    world.refuse(certify([world.authority("ke")]), SignatureError, "wrong_signer")
    world.refuse(certify([agency.administrator], []), SignatureError, "missing_possession")
    world.put(certify([agency.administrator]))


def test_the_brokers_keys_are_certified_by_its_administrator(world):
    node = signer("node 2")
    record = KeysRecord(BROKER, (InstanceKey(node.public_key, "node-2"),), None, None, 0, {})

    def certify(by, record=record):
        return world.directory_statement(Kind.KEYS, BROKER, record, by, possession=[node])

    world.refuse(certify(world.governors[:2]), SignatureError, "wrong_signer")
    world.refuse(
        certify([world.administrator], replace(record, reads=ALL_TYPES)), PolicyError, "broker_reads_nothing"
    )
    world.put(certify([world.administrator]))


def test_groups_are_signed_by_their_owner(world):
    record = GroupRecord("ke/all", "All", (NAIROBI, KAMPALA), State.ACTIVE)
    for by in ([world.authority("ug")], [world.agencies[NAIROBI].administrator], world.governors[:2]):
        data = world.directory_statement(Kind.GROUP, "ke/all", record, by)
        world.refuse(data, SignatureError, "wrong_signer")
    world.put(world.directory_statement(Kind.GROUP, "ke/all", record, [world.authority("ke")]))


def test_governance(world):
    new_log, fourth = signer("new log"), signer("governor 3")
    governors = make_key_set([g.public_key for g in (*world.governors, fourth)], 3)
    record = replace(world.held("log"), log_key=new_log.public_key, governors=governors)

    def govern(by, possession=(new_log, fourth), record=record):
        return world.directory_statement(Kind.GOVERNANCE, "", record, by, possession=possession)

    world.refuse(govern([world.governors[0], fourth], [new_log]), SignatureError, "wrong_signer")
    world.refuse(govern([world.log_key, world.governors[0]]), SignatureError, "wrong_signer")
    world.refuse(govern(world.governors[:2], [fourth]), SignatureError, "missing_possession")
    moved = replace(record, broker="xo-other.broker.main")
    world.refuse(govern(world.governors[:2], record=moved), PolicyError, "broker_address_fixed")
    world.put(govern(world.governors[:2]))
    # From now on three of four, the new one among them.
    policy = world.held("policy")
    two = world.directory_statement(Kind.POLICY, "", policy, world.governors[:2])
    world.refuse(two, SignatureError, "too_few_signatures")
    world.put(world.directory_statement(Kind.POLICY, "", policy, [*world.governors[:2], fourth]))


# --- keys belong to one subject ---


def test_a_key_is_used_once(world):
    agency = world.agencies[NAIROBI]
    taken = {
        "log": world.log_key,
        f"keys/{NAIROBI}": agency.instance,
        f"endpoint/{MOMBASA}": world.agencies[MOMBASA].administrator,
        "authority/ug": world.authority("ug"),
    }
    for subject, key in taken.items():
        record = endpoint(admin=key)
        data = world.directory_statement(
            Kind.ENDPOINT, record.address, record, [world.authority("ke")], possession=[key]
        )
        assert subject in world.refuse(data, ConflictError, "key_in_use").message
    # Another's sealing key, of which nobody proves possession.
    stolen = replace(world.held(f"keys/{NAIROBI}"), sealing=world.agencies[KAMPALA].sealing.public_key)
    data = world.directory_statement(Kind.KEYS, NAIROBI, stolen, [agency.administrator])
    world.refuse(data, ConflictError, "key_in_use")


def test_a_key_stays_taken_after_it_is_given_up(world):
    agency, second = world.agencies[NAIROBI], signer("second")
    record = replace(world.held(f"keys/{NAIROBI}"), signing=(InstanceKey(second.public_key, "two"),))
    world.put(
        world.directory_statement(Kind.KEYS, NAIROBI, record, [agency.administrator], possession=[second])
    )
    there = world.agencies[MOMBASA]
    signing = (InstanceKey(agency.instance.public_key, "mine now"),)
    stolen = replace(world.held(f"keys/{MOMBASA}"), signing=signing)
    data = world.directory_statement(
        Kind.KEYS, MOMBASA, stolen, [there.administrator], possession=[agency.instance]
    )
    world.refuse(data, ConflictError, "key_in_use")
    # Its own subject may take it back, and proves possession again.
    back = replace(record, signing=(InstanceKey(agency.instance.public_key, "one"),))
    missing = world.directory_statement(Kind.KEYS, NAIROBI, back, [agency.administrator])
    world.refuse(missing, SignatureError, "missing_possession")
    world.put(
        world.directory_statement(
            Kind.KEYS, NAIROBI, back, [agency.administrator], possession=[agency.instance]
        )
    )


def test_a_revoked_key_is_never_used_again(world):
    agency, second = world.agencies[NAIROBI], signer("second")
    record = replace(world.held(f"keys/{NAIROBI}"), signing=(InstanceKey(second.public_key, "two"),))
    world.put(
        world.directory_statement(Kind.KEYS, NAIROBI, record, [agency.administrator], possession=[second])
    )
    world.put(world.revocation(agency.instance, revocation(agency.instance), [agency.instance]))
    back = replace(record, signing=(InstanceKey(agency.instance.public_key, "one"),))
    data = world.directory_statement(
        Kind.KEYS, NAIROBI, back, [agency.administrator], possession=[agency.instance]
    )
    world.refuse(data, ConflictError, "key_revoked")


def test_a_revoked_principal_signs_nothing(world):
    admin = world.agencies[NAIROBI].administrator
    world.put(world.revocation(admin, revocation(admin, ground=Ground.LOSS), [world.authority("ke")]))
    world.refuse(world.keys_statement(NAIROBI), SignatureError, "wrong_signer")
    governor = world.governors[0]
    world.put(world.revocation(governor, revocation(governor, ground=Ground.LEFT_OFFICE), [governor]))
    world.refuse(world.policy_statement(), SignatureError, "wrong_signer")
    world.put(world.directory_statement(Kind.POLICY, "", world.held("policy"), world.governors[1:]))


# --- revocation ---


def revokers(world):
    agency = world.agencies[NAIROBI]
    return {
        "itself": [agency.instance],
        "administrator": [agency.administrator],
        "authority": [world.authority("ke")],
        "governors": list(world.governors[:2]),
    }


@pytest.mark.parametrize("who", ["itself", "administrator", "authority", "governors"])
def test_who_may_revoke_an_instance_key(world, who):
    key = world.agencies[NAIROBI].instance
    world.put(world.revocation(key, revocation(key), revokers(world)[who]))
    assert world.state.directory.revocation(key.public_key.key_id) is not None


def test_who_may_not(world):
    agency = world.agencies[NAIROBI]
    key = agency.instance

    def revoke(by, key=key):
        return world.revocation(key, revocation(key), by)

    for by in (
        [world.agencies[MOMBASA].instance],
        [world.agencies[MOMBASA].administrator],
        [world.authority("ug")],
        [world.log_key],
        [world.administrator],
        [agency.administrator, world.authority("ke")],
        [agency.instance, agency.administrator],
        [world.governors[0], agency.administrator],
    ):
        world.refuse(revoke(by), SignatureError, "wrong_signer")
    world.refuse(revoke([world.governors[0]]), SignatureError, "too_few_signatures")
    world.refuse(revoke(world.governors), SignatureError, "too_many_signatures")
    # Below themselves: an endpoint does not revoke its administrator, nor an authority.
    world.refuse(revoke([key], agency.administrator), SignatureError, "wrong_signer")
    world.refuse(revoke([agency.administrator], world.authority("ke")), SignatureError, "wrong_signer")
    world.refuse(revoke([world.authority("ke")], world.governors[0]), SignatureError, "wrong_signer")


def test_a_revocation_proves_no_possession(world):
    key = world.agencies[NAIROBI].instance
    data = world.directory_statement(
        Kind.REVOCATION,
        key.public_key.key_id.hex(),
        revocation(key),
        [world.authority("ke")],
        possession=[key],
    )
    world.refuse(data, SignatureError, "too_many_signatures")
    only = world.directory_statement(
        Kind.REVOCATION, key.public_key.key_id.hex(), revocation(key), [], possession=[key]
    )
    world.refuse(only, SignatureError, "too_few_signatures")


@pytest.mark.parametrize(
    ("subject", "key", "by"),
    [
        ("authority", lambda w: w.authority("ke"), lambda w: w.governors[:2]),
        ("endpoint", lambda w: w.agencies[NAIROBI].administrator, lambda w: [w.authority("ke")]),
        ("endpoint", lambda w: w.agencies[NAIROBI].administrator, lambda w: w.governors[1:]),
        ("log", lambda w: w.governors[0], lambda w: w.governors[1:]),
        ("log", lambda w: w.log_key, lambda w: w.governors[:2]),
        ("log", lambda w: w.log_key, lambda w: [w.log_key]),
        ("node", lambda w: w.node_key, lambda w: [w.administrator]),
        ("node", lambda w: w.node_key, lambda w: w.governors[:2]),
        ("node", lambda w: w.node_key, lambda w: [w.node_key]),
    ],
)
def test_every_sort_of_key_can_be_revoked(world, subject, key, by):
    world.put(world.revocation(key(world), revocation(key(world)), by(world)))


def test_a_sealing_key_is_revoked_by_who_vouches_for_it(world):
    agency = world.agencies[NAIROBI]
    key = agency.sealing.public_key.key_id
    record = RevocationRecord(key, Ground.LOSS, None)
    for by in ([agency.instance], [world.authority("ug")]):
        world.refuse(
            world.directory_statement(Kind.REVOCATION, key.hex(), record, by), SignatureError, "wrong_signer"
        )
    world.put(world.directory_statement(Kind.REVOCATION, key.hex(), record, [agency.administrator]))


def test_the_authority_revokes_where_the_endpoint_no_longer_stands(world):
    world.put(world.endpoint_statement(NAIROBI, State.SUSPENDED))
    agency = world.agencies[NAIROBI]
    data = world.revocation(agency.instance, revocation(agency.instance), [agency.administrator])
    world.refuse(data, SignatureError, "wrong_signer")
    world.put(world.revocation(agency.instance, revocation(agency.instance), [world.authority("ke")]))
    # And the governors where the authority does not.
    world.put(world.authority_statement("ug", state=State.SUSPENDED))
    other = world.agencies[KAMPALA].instance
    world.refuse(
        world.revocation(other, revocation(other), [world.authority("ug")]), SignatureError, "wrong_signer"
    )
    world.put(world.revocation(other, revocation(other), world.governors[:2]))


def test_only_an_earlier_date_of_compromise_changes_a_revocation(world):
    agency = world.agencies[NAIROBI]
    key, by = agency.instance, [agency.administrator]
    world.put(world.revocation(key, revocation(key, NOW - 1000), by))
    for at in (None, NOW - 1000, NOW):
        world.refuse(world.revocation(key, revocation(key, at), by), ConflictError, "already_revoked")
    # The dead key itself no longer speaks.
    world.refuse(world.revocation(key, revocation(key, 5), [key]), SignatureError, "wrong_signer")
    world.put(world.revocation(key, revocation(key, NOW - 1001), by))
    assert world.state.directory.revocation(key.public_key.key_id).compromised_at == NOW - 1001


def test_a_date_of_compromise_may_follow_where_there_was_none(world):
    agency = world.agencies[NAIROBI]
    key, by = agency.instance, [agency.administrator]
    world.put(world.revocation(key, revocation(key), by))
    world.refuse(
        world.revocation(key, revocation(key, ground=Ground.LOSS), by), ConflictError, "already_revoked"
    )
    world.put(world.revocation(key, revocation(key, NOW), by))


def test_dates_in_the_future(world):
    agency = world.agencies[NAIROBI]
    key, by = agency.instance, [agency.administrator]
    late = world.revocation(key, revocation(key, NOW + CLOCK_TOLERANCE + 1), by)
    world.refuse(late, PolicyError, "date_in_future")
    world.put(world.revocation(key, revocation(key, NOW + CLOCK_TOLERANCE), by))


def test_a_key_that_nobody_ever_named(world):
    stranger = signer("stranger")
    data = world.revocation(stranger, revocation(stranger), world.governors[:2])
    world.refuse(data, NotFoundError, "unknown_key")


def test_a_key_under_two_choices_may_sign_by_either(world):
    # An authority of one key: that key is itself, and no more is needed, whichever choice comes first.
    key = world.authority("ke")
    world.put(world.revocation(key, revocation(key), [key]))
    # Two of an authority's three keys, threshold 2: the governors' choice does not fit, none but itself does.
    a, b, c = signer("fr a"), signer("fr b"), signer("fr c")
    principal = make_key_set([k.public_key for k in (a, b, c)], 2)
    record = AuthorityRecord("fr", "France", principal, (Role.POLICE,), State.ACTIVE)
    world.put(
        world.directory_statement(Kind.AUTHORITY, "fr", record, world.governors[:2], possession=[a, b, c])
    )
    world.refuse(world.revocation(a, revocation(a), [b, c]), SignatureError, "wrong_signer")
    world.put(world.revocation(a, revocation(a), [a]))


def test_a_governor_that_is_both_itself_and_of_the_quorum(world):
    governor = world.governors[0]
    # Alone as itself.
    fork = world.fork()
    fork.put(fork.revocation(governor, revocation(governor), [governor]))
    # With another as the quorum.
    fork = world.fork()
    fork.put(fork.revocation(governor, revocation(governor), world.governors[:2]))
    # All three are one too many for either.
    world.refuse(
        world.revocation(governor, revocation(governor), world.governors),
        SignatureError,
        "too_many_signatures",
    )


# --- form ---


def test_what_is_no_directory_statement(world):
    message = world.compose()
    document = verify_statement(world.state.directory, parse_document(message.document))
    with pytest.raises(MalformedError):
        judge_statement(world.state.directory, document, NOW)


def test_reserved_algorithms(world):
    payload = parse_document(world.authority_statement("ke")).claims
    payload["record"]["principal"]["keys"] = [{"alg": "ML-DSA-44", "pub": ""}]
    data = sign_document(encode_json(payload), world.governors[:2])
    world.refuse(data, UncheckableError, "algorithm_reserved")


def test_the_founded_log_serves(world):
    assert found_world().state.size == 2
    assert world.state.directory.count == world.state.size
