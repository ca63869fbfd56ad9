"""Drafting directory statements, and posting them once everybody has signed."""

import pytest

from countermark_client import (
    ADMINISTRATOR,
    AUTHORITY,
    INSTANCE,
    SEALING,
    MemoryKeystore,
    Profile,
    make_key,
    testing,
)
from countermark_client.statements import (
    Drafts,
    finish_gathering,
    merge_gatherings,
    readable_types,
    sign_gathering,
)
from countermark_protocol.errors import ConflictError, MalformedError, SignatureError
from countermark_protocol.identifiers import Role


def _authority_profile(world, code):
    keystore = MemoryKeystore((make_key(AUTHORITY),))
    draft = world.drafts.authority(
        code, name=code, keys=[keystore.signer(AUTHORITY).public_key], roles=[Role.POLICE]
    )
    world.broker.post_statement(sign_gathering(draft, [world._governor], [keystore.signer(AUTHORITY)]))
    return Profile.in_memory(address=None, broker_url=world.url, trust=world.trust, keystore=keystore)


def test_enrolment_by_files_passed_between_agency_and_authority():
    world = testing.world("be.contact.federal")
    authority = world.client(_authority_profile(world, "ug"))
    keys = MemoryKeystore((make_key(ADMINISTRATOR), make_key(INSTANCE), make_key(SEALING)))
    agency = world.client(world.profile("ug.police.kampala", keystore=keys))

    # The agency drafts and proves its new key; the authority signs; whoever has it posts it.
    administrator, instance = keys.signer(ADMINISTRATOR), keys.signer(INSTANCE)
    draft = Drafts(world.broker.origin).endpoint(
        "ug.police.kampala", name="Kampala", administrator=[administrator.public_key]
    )
    file = sign_gathering(draft, possession=[administrator])
    authority.sync()
    index = authority.publish_statement(
        finish_gathering(sign_gathering(file, [authority.profile.keystore.signer(AUTHORITY)]))
    )
    assert index == world.broker.state.size - 1

    agency.sync()  # by its administrator key, which stands now
    draft = agency.drafts.keys(
        "ug.police.kampala",
        signing=[(instance.public_key, "desk-1")],
        sealing=keys.sealing_key().public_key,
    )
    document = sign_gathering(draft, [administrator], [instance])
    assert agency.publish_statement(document) == agency.publish_statement(document)

    agency.sync()
    assert agency.directory.keys("ug.police.kampala").reads == readable_types()
    sent = agency.send(
        "tracing-request",
        {
            **testing.sample_request(),
            "recovery": {**testing.sample_request()["recovery"], "place": {"country": "UG"}},
        },
        to=["be.contact.federal"],
    )
    assert sent.recipients == ("be.contact.federal",)


def test_a_statement_without_all_signatures_is_refused():
    world = testing.world("ke.police.nairobi")
    client = world.client("ke.police.nairobi")
    client.sync()
    keys = world.keystore("ke.police.nairobi")
    fresh = MemoryKeystore((make_key(INSTANCE),)).signer(INSTANCE)
    draft = client.drafts.keys(
        "ke.police.nairobi", signing=[(fresh.public_key, "x")], sealing=keys.sealing_key().public_key
    )
    with pytest.raises(MalformedError):
        client.publish_statement(draft)
    with pytest.raises(SignatureError) as caught:
        client.publish_statement(sign_gathering(draft, [keys.signer(ADMINISTRATOR)]))
    assert caught.value.code == "missing_possession"
    size = world.broker.state.size
    both = merge_gatherings(
        sign_gathering(draft, [keys.signer(ADMINISTRATOR)]), sign_gathering(draft, possession=[fresh])
    )
    assert client.publish_statement(both) == size


def test_a_stale_draft_conflicts():
    world = testing.world("ke.police.nairobi")
    client = world.client("ke.police.nairobi")
    client.sync()
    keys = world.keystore("ke.police.nairobi")
    draft = client.drafts.keys(
        "ke.police.nairobi",
        signing=[(keys.signer(INSTANCE).public_key, "renamed")],
        sealing=keys.sealing_key().public_key,
    )
    world.add_instance("ke.police.nairobi")
    with pytest.raises(ConflictError) as caught:
        client.publish_statement(sign_gathering(draft, [keys.signer(ADMINISTRATOR)]))
    assert caught.value.code == "stale_statement"


def test_a_draft_that_no_reader_would_accept_is_not_made():
    drafts = Drafts("log.test/x")
    with pytest.raises(MalformedError):
        drafts.group("no group", title="x", members=[])
    key = MemoryKeystore((make_key(INSTANCE),)).signer(INSTANCE).public_key
    with pytest.raises(MalformedError):
        drafts.keys("ke.police.nairobi", signing=[(key, "x")], sealing=None)
