"""Invitations at the real broker: whose they are, what it keeps of them, and that they are gone when they should be."""

import httpx
import pytest
from sqlalchemy import func, select

from countermark_broker.errors import QuotaExceededError
from countermark_broker.services.invitations import LookUps
from countermark_broker.services.leases import sweep_once
from countermark_broker.store.invitations import put_invitation
from countermark_broker.store.tables import invitations
from countermark_client import Client, MemoryKeystore, Profile, make_key
from countermark_client._invitations import make_request
from countermark_client.statements import sign_gathering
from countermark_protocol.encoding import encode_base64url, encode_json
from countermark_protocol.errors import ConflictError
from countermark_protocol.identifiers import Address, AuthorityCode
from countermark_protocol.invitations import (
    MAX_OPEN,
    Request,
    check_request,
    make_code,
    parse_invitation,
    parse_pending,
    show_code,
)
from support.world import NAIROBI

KISUMU = Address("ke.police.kisumu")


def invite(api, world, address=KISUMU, code="ke", days=7):
    asked = encode_json({"address": address, "days": days})
    return api.request("POST", "/v1/invitations", asked, by=world.authority(code))


def invited(api, world, address=KISUMU):
    answer = invite(api, world, address)
    assert answer.status_code == 200, answer.text
    code = answer.json()["code"]
    told = api.request("GET", f"/v1/invitations/{show_code(code).lower()}")
    assert told.status_code == 200, told.text
    assert told.headers["cache-control"] == "no-store"
    return parse_invitation(told.content)


def request_for(invitation, address=None):
    """What an applicant's client makes."""
    keystore = MemoryKeystore([make_key(use) for use in ("administrator", "instance", "sealing")])
    profile = Profile.in_memory(
        address=address or invitation.address,
        broker_url="https://broker.test",
        trust=invitation.trust,
        keystore=keystore,
    )
    transport = httpx.MockTransport(lambda _request: httpx.Response(500))
    with Client(profile, transport=transport) as client:
        return make_request(client._core.session, "Police, Kisumu")


def hand_in(api, code, request):
    return api.request("POST", f"/v1/invitations/{code}", encode_json(request.to_json()))


def waiting(api, world, code="ke"):
    answer = api.request("GET", "/v1/invitations", by=world.authority(code))
    assert answer.status_code == 200, answer.text
    return parse_pending(answer.content)


def test_from_the_invitation_to_the_endpoint(world, api):
    invitation = invited(api, world)
    assert (invitation.address, invitation.authority) == (KISUMU, "Authority ke")
    request = request_for(invitation)
    assert hand_in(api, invitation.code, request).status_code == 200
    assert hand_in(api, invitation.code, request).status_code == 200
    api.problem(hand_in(api, invitation.code, request_for(invitation)), "no_invitation")
    api.problem(api.request("GET", f"/v1/invitations/{invitation.code}"), "no_invitation")
    [pending] = waiting(api, world)
    assert pending.request == request
    assert waiting(api, world, "ug") == ()
    # The authority signs, for its other signers to see; then publishes both statements.
    signed = Request(sign_gathering(request.endpoint, [world.authority("ke")]), request.keys)
    body = encode_json({"endpoint": encode_base64url(signed.endpoint)})
    path = f"/v1/invitations/{invitation.code}/approval"
    api.problem(api.request("PUT", path, body, by=world.authority("ug")), "no_invitation")
    assert api.request("PUT", path, body, by=world.authority("ke")).status_code == 200
    assert api.request("PUT", path, body, by=world.authority("ke")).status_code == 200
    [pending] = waiting(api, world)
    assert pending.request == signed
    for data in (signed.endpoint, signed.keys):
        assert api.post_statement(data).status_code == 201
    assert api.refresh().keys(KISUMU) is not None
    # Taken back by its own authority alone.
    gone = f"/v1/invitations/{invitation.code}"
    assert api.request("DELETE", gone, by=world.authority("ug")).status_code == 200
    assert len(waiting(api, world)) == 1
    assert api.request("DELETE", gone, by=world.authority("ke")).status_code == 200
    assert waiting(api, world) == ()


def test_what_is_not_whole_is_not_kept(world, api):
    invitation, other = invited(api, world), invited(api, world, Address("ke.police.kericho"))
    request, stranger = request_for(invitation), request_for(other)
    api.problem(hand_in(api, invitation.code, stranger), "wrong_address")
    api.problem(hand_in(api, invitation.code, Request(request.endpoint, stranger.keys)), "wrong_address")
    api.problem(
        hand_in(api, invitation.code, Request(request_for(invitation).endpoint, request.keys)), "unknown_key"
    )
    spoilt = bytearray(request.endpoint)
    spoilt[-1] ^= 1
    api.problem(hand_in(api, invitation.code, Request(bytes(spoilt), request.keys)), "bad_signature")
    unproven = request_for(invitation)
    # A signature of the authority has no place in what an applicant hands in.
    approved = Request(sign_gathering(unproven.endpoint, [world.authority("ke")]), unproven.keys)
    api.problem(hand_in(api, invitation.code, approved), "unknown_key")
    api.problem(api.request("POST", f"/v1/invitations/{invitation.code}", b"{}"), "missing_member")
    assert all(one.request is None for one in waiting(api, world))
    assert hand_in(api, invitation.code, request).status_code == 200


def test_only_an_authority_invites_and_only_its_own(world, api):
    asked = encode_json({"address": KISUMU, "days": 7})
    api.problem(api.request("POST", "/v1/invitations", asked), "signature_missing")
    api.problem(api.request("POST", "/v1/invitations", asked, by=NAIROBI), "not_an_authority")
    api.problem(invite(api, world, code="ug"), "outside_mandate")
    api.problem(invite(api, world, days=32), "bad_member")
    api.problem(api.request("GET", "/v1/invitations", by=NAIROBI), "not_an_authority")


def test_a_replayed_invitation_is_refused(world, api):
    asked = encode_json({"address": KISUMU, "days": 7})
    signed = api.sign("POST", "/v1/invitations", asked, world.authority("ke"))
    headers = {"Host": api.authority, **signed.headers}
    assert api.http.post("/v1/invitations", content=asked, headers=headers).status_code == 200
    api.problem(api.http.post("/v1/invitations", content=asked, headers=headers), "replayed_request")
    assert len(waiting(api, world)) == 1


@pytest.mark.parametrize("code", [make_code(bytes(8)), "nonsense", "K7QF-2MXA-9TBU"])
def test_every_code_that_leads_nowhere_is_answered_alike(api, code):
    problem = api.problem(api.request("GET", f"/v1/invitations/{code}"), "no_invitation")
    assert problem.status == 404
    assert code not in problem.detail


async def test_what_has_expired_is_not_there_and_is_swept(world, broker):
    node = broker.node
    issuer = world.authority("ke").public_key.key_id

    def put(connection):
        put_invitation(connection, "0" * 12, AuthorityCode("ke"), KISUMU, issuer, (0, 10))

    await node.database.write(put)
    assert await sweep_once(node) is True
    count = select(func.count()).select_from(invitations)
    assert await node.database.read(lambda c: c.execute(count).scalar_one()) == 0
    assert await sweep_once(node) is False


async def test_an_authority_has_only_so_many_open(world, broker):
    issuer = world.authority("ke").public_key.key_id

    def fill(connection):
        for number in range(MAX_OPEN):
            put_invitation(connection, f"{number:012}", AuthorityCode("ke"), KISUMU, issuer, (0, 10))

    await broker.node.database.write(fill)

    def one_more(connection, code="ke", now=5):
        put_invitation(connection, f"{code:>012}"[:12], AuthorityCode(code), KISUMU, issuer, (now, now + 10))

    with pytest.raises(ConflictError) as caught:
        await broker.node.database.write(one_more)
    assert caught.value.code == "too_many_invitations"
    await broker.node.database.write(one_more, "ug")
    await broker.node.database.write(one_more, "ke", 10)


def test_no_key_of_an_applicant_counts_by_its_request(world, api):
    invitation = invited(api, world)
    request = request_for(invitation)
    hand_in(api, invitation.code, request)
    named = check_request(request, world.origin, KISUMU, {}).keys_record
    directory = api.refresh()
    assert all(directory.public_key(k.key.key_id) is None for k in named.signing)


def test_look_ups_of_a_source_are_bounded_and_of_all_sources_together():
    now = [0.0]
    look_ups = LookUps(3, lambda: now[0])
    for _ in range(3):
        look_ups.charge("one")
    with pytest.raises(QuotaExceededError) as caught:
        look_ups.charge("one")
    assert caught.value.facts["retry_after"] == 20
    now[0] += 20
    look_ups.charge("one")
    now[0] += 3600
    for source in range(60):
        look_ups.charge(source)
    with pytest.raises(QuotaExceededError):
        look_ups.charge("another")
    unlimited = LookUps(0, lambda: now[0])
    for _ in range(1000):
        unlimited.charge("one")
