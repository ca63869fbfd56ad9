"""Acts on those who enrol: the broker carries their requests, and would like to be them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from countermark_client import Client, MemoryKeystore, Profile, make_key
from countermark_client._invitations import make_request
from countermark_client._invited import fetch_invitation
from countermark_protocol.identifiers import Address
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm
from malicious_broker.kit import BELGIUM, KENYA, malicious_world
from malicious_broker.verdicts import Act, silent

KISUMU = Address("ke.police.kisumu")


def _client(world, keys, address=None, trust=None):
    profile = Profile.in_memory(
        address=address,
        broker_url=world.url,
        trust=trust or world.trust,
        keystore=MemoryKeystore(tuple(keys)),
    )
    return Client(profile, transport=world.transport, clock=world.clock, sleep=world.clock.sleep)


def _applicant(world, trust=None):
    return _client(world, [make_key(use) for use in ("administrator", "instance", "sealing")], KISUMU, trust)


@pytest.fixture
def scene():
    world, broker = malicious_world(KENYA, BELGIUM)
    private = world.authority("ke")._private.private_bytes_raw()
    return world, broker, _client(world, [StoredKey("authority", Algorithm.ED25519, private)])


def test_the_honest_twin(scene):
    world, _, authority = scene
    code = authority.invite(KISUMU).code
    _, trust = fetch_invitation(code, world.url, transport=world.transport)
    applicant = _applicant(world, trust.document.data)
    told = applicant.request_enrolment(code)
    [waiting] = authority.invitations().waiting
    assert authority.approve_enrolment(waiting, told).index is not None
    applicant.sync()
    silent(authority, applicant)


def test_swapping_the_keys_of_who_enrols(scene):
    """It makes a request that is whole in itself, with keys that it has."""
    world, broker, authority = scene
    act = Act("swapping the keys of who enrols", world)
    code = authority.invite(KISUMU).code
    told = _applicant(world).request_enrolment(code)
    theirs = make_request(_applicant(world)._core.session)
    broker.invitations[code] = replace(broker.invitations[code], request=theirs)
    size = broker.state.size
    [waiting] = authority.invitations().waiting
    act.raises(lambda: authority.approve_enrolment(waiting, told), "other_fingerprint")
    assert (broker.state.size, broker.state.directory.endpoint(KISUMU)) == (size, None)
    act.convinces_nobody(authority)


def test_swapping_one_of_the_keys_of_who_enrols(scene):
    """It leaves the administrator and puts another sealing key in the other statement: that is not signed for."""
    world, broker, authority = scene
    code = authority.invite(KISUMU).code
    _applicant(world).request_enrolment(code)
    held = broker.invitations[code]
    theirs = make_request(_applicant(world)._core.session)
    broker.invitations[code] = replace(held, request=replace(held.request, keys=theirs.keys))
    invited = authority.invitations()
    assert invited.waiting == ()
    [(pending, error)] = invited.unusable
    assert (pending.code, error.code) == (code, "unknown_key")


def test_giving_who_enrols_another_log(scene):
    """Its trust file is that of a log of the broker's own, in which it is every governor."""
    world, broker, authority = scene
    act = Act("giving who enrols another log", world)
    other, _ = malicious_world(KENYA)
    code = authority.invite(KISUMU).code
    invitation, _ = fetch_invitation(code, world.url, transport=world.transport)
    applicant = _applicant(world, other.trust)
    assert applicant.profile.log == authority.profile.log
    assert other.trust != invitation.trust
    told = applicant.request_enrolment(code)
    [waiting] = authority.invitations().waiting
    act.raises(lambda: authority.approve_enrolment(waiting, told), "other_fingerprint")
    assert broker.state.directory.endpoint(KISUMU) is None
    act.convinces_nobody(authority, applicant)
