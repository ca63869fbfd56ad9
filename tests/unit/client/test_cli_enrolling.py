"""An endpoint enrolled in three steps: invited, its keys made, its fingerprint compared and approved."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from countermark_client import (
    AsyncClient,
    Client,
    MemoryKeystore,
    Profile,
    fetch_invitation_async,
    make_key,
    testing,
)
from countermark_client._invitations import make_request
from countermark_protocol.documents import Purpose
from countermark_protocol.errors import NotFoundError, SignatureError
from countermark_protocol.gathering import read_gathering
from countermark_protocol.invitations import make_code
from support.cli import PASSPHRASE
from support.founded import KAMPALA, POLICE, URL, Founded


@pytest.fixture
def founded(tmp_path):
    founded = Founded(tmp_path)
    founded.decide("policy", "--default")
    founded.admit("ke", "kenya")
    return founded


def client_of(founded, home):
    environment = founded.cli.environment
    return Client(
        Profile.open(founded.folder / home, PASSPHRASE), transport=environment.transport, clock=founded.clock
    )


def invite(founded, address=POLICE, home="kenya", *options):
    return founded.cli.json("invite", address, "--no-qr", *options, home=home)


def enrol(founded, invitation, home=POLICE, *options, **kwargs):
    return founded.cli.json("enrol", invitation, "--broker", URL, *options, home=home, **kwargs)


def test_three_steps(founded):
    cli = founded.cli
    invited = invite(founded)
    asked = enrol(founded, invited["code"].lower())
    assert (asked["address"], asked["enrolled"]) == (POLICE, False)
    assert (founded.folder / POLICE).stat().st_mode & 0o777 == 0o700
    [waiting] = cli.json("invite", home="kenya")["waiting"]
    assert (waiting["fingerprint"], waiting["signed"], waiting["threshold"]) == (asked["fingerprint"], 0, 1)
    done = cli.json("approve", "--fingerprint", asked["fingerprint"].upper(), home="kenya")
    assert done["published"] is True
    assert cli.json("whoami", home=POLICE)["enrolled"] is True
    assert cli.json("enrol", home=POLICE)["index"] is None
    assert founded.broker.invitations == {}
    # It speaks at once.
    notice = cli.file("notice.json", testing.sample_notice("KE-1"))
    other = invite(founded, "ke.contact.nairobi")
    asked = enrol(founded, other["link"], "ke.contact.nairobi")
    cli.run("approve", home="kenya", stdin="y\n")
    sent = cli.json(
        "send", "lost-or-stolen-notice", "--to", POLICE, "--file", notice, home="ke.contact.nairobi"
    )
    assert sent["messages"][0]["index"]


def test_the_applicant_waits_and_is_told(founded):
    invited = invite(founded)
    founded.cli.environment = replace(founded.cli.environment, sleep=founded.clock.sleep)
    late = enrol(founded, invited["code"], POLICE, "--wait", 1)
    assert late["enrolled"] is False
    looks = []

    def approve_in_the_meantime(seconds):
        founded.clock.sleep(seconds)
        looks.append(seconds)
        if len(looks) == 3:
            founded.cli.run("approve", "--yes", home="kenya")

    founded.cli.environment = replace(founded.cli.environment, sleep=approve_in_the_meantime)
    told = founded.cli.run("enrol", "--wait", 10, home=POLICE)
    assert "can send and receive" in told.stdout


def test_the_qr_code_holds_the_link(founded):
    told = founded.cli.run("invite", POLICE, home="kenya").stdout
    assert "\u2588" in told or "\u2580" in told or "\x1b" not in told
    link = next(line.split()[-1] for line in told.splitlines() if line.startswith("link"))
    assert link.startswith(f"{URL}/v1/invitations/")
    made = founded.cli.json("enrol", link, home=POLICE)
    assert made["trust_fingerprint"].replace(" ", "") == link.partition("#")[2]


def test_a_code_is_good_for_one_request(founded):
    code = invite(founded)["code"]
    first = enrol(founded, code)
    # The same machine may say the same again ...
    assert enrol(founded, code)["fingerprint"] == first["fingerprint"]
    error = enrol(founded, code, "thief", code=1)["error"]
    assert error["code"] == "no_invitation"
    assert not (founded.folder / "thief").exists()
    # ... and another is told what anybody is told who has no invitation.
    unknown = enrol(founded, make_code(bytes(8)), "thief", code=1)["error"]
    assert {**unknown, "facts": None} == {**error, "facts": None}
    [waiting] = founded.cli.json("invite", home="kenya")["waiting"]
    assert waiting["fingerprint"] == first["fingerprint"]


def test_who_gets_no_answer_hands_in_the_same_again(founded):
    code = invite(founded)["code"]
    lost = []

    def lose(exchange, answer):
        if exchange.method == "POST" and "/invitations/" in exchange.path and not lost:
            lost.append(answer)
            return 503, {"content-type": "application/json"}, b"{}"
        return answer

    founded.broker.intercept = lose
    enrol(founded, code, code=3)
    [held] = founded.broker.invitations.values()
    assert held.request is not None
    asked = enrol(founded, code)
    [waiting] = founded.cli.json("invite", home="kenya")["waiting"]
    assert waiting["fingerprint"] == asked["fingerprint"]
    founded.cli.run("approve", waiting["code"], "--yes", home="kenya")
    assert founded.cli.json("whoami", home=POLICE)["enrolled"] is True


def test_an_invitation_expires(founded):
    code = invite(founded, POLICE, "kenya", "--days", 1)["code"]
    founded.clock.sleep(86_400)
    assert enrol(founded, code, code=1)["error"]["code"] == "no_invitation"
    assert founded.cli.json("invite", home="kenya")["open"] == []


def test_an_invitation_is_withdrawn_and_a_request_refused(founded):
    code = invite(founded)["code"]
    enrol(founded, code)
    founded.cli.run("invite", "--withdraw", code, home="kenya")
    assert founded.cli.json("approve", home="kenya")["waiting"] == []
    assert founded.cli.json("approve", code, "--yes", home="kenya", code=1)["error"]["code"] == "no_request"
    assert founded.cli.json("whoami", home=POLICE)["enrolled"] is False


def test_an_authority_invites_nobody_elses_endpoints(founded):
    founded.admit("ug", "uganda")
    for address in (KAMPALA, "ke.customs.mombasa"):
        error = invite_error(founded, address)
        assert error["code"] in {"no_such_authority", "outside_mandate"}
    assert founded.cli.json("invite", POLICE, home="g1", code=1)["error"]["code"] == "no_such_key"
    # Another authority sees nothing of it, and cannot take it back.
    code = invite(founded)["code"]
    enrol(founded, code)
    assert founded.cli.json("approve", home="uganda")["waiting"] == []
    founded.cli.run("invite", "--withdraw", code, home="uganda")
    assert len(founded.cli.json("invite", home="kenya")["waiting"]) == 1


def invite_error(founded, address):
    return founded.cli.json("invite", address, home="kenya", code=1)["error"]


def test_a_request_for_another_address_is_not_kept(founded):
    invited = invite(founded)
    founded.cli.run(
        "init", "--address", "ke.contact.nairobi", "--broker", URL, "--trust", founded.trust, home="other"
    )
    error = enrol(founded, invited["code"], "other", code=1)["error"]
    assert error["code"] == "wrong_address"
    assert founded.broker.invitations[invited["code"]].request is None


def test_a_broker_that_swaps_the_request_is_found_out(founded):
    """It makes keys of its own and a request that is whole in itself: only the fingerprint tells."""
    invited = invite(founded)
    asked = enrol(founded, invited["code"])
    founded.cli.run("init", "--address", POLICE, "--broker", URL, "--trust", founded.trust, home="swapped")
    with client_of(founded, "swapped") as client:
        swapped = make_request(client._core.session)
    [(code, held)] = founded.broker.invitations.items()
    founded.broker.invitations[code] = replace(held, request=swapped)
    size = founded.broker.state.size
    error = founded.cli.json("approve", "--fingerprint", asked["fingerprint"], home="kenya", code=1)["error"]
    assert error["code"] == "other_fingerprint"
    [waiting] = founded.cli.json("invite", home="kenya")["waiting"]
    assert waiting["fingerprint"] != asked["fingerprint"]
    founded.cli.run("approve", home="kenya", stdin="n\n", code=2)
    assert founded.broker.state.size == size


def test_a_broker_that_gives_another_trust_file_is_found_out(founded, tmp_path_factory):
    other = Founded(tmp_path_factory.mktemp("other"))
    invited = invite(founded)

    def lie(exchange, answer):
        if exchange.method == "GET" and "/invitations/" in exchange.path:
            told = json.loads(answer[2])
            own = founded.broker._get_invitation
            founded.broker.entries[0], kept = other.broker.entries[0], founded.broker.entries[0]
            swapped = own(told["code"])
            founded.broker.entries[0] = kept
            return swapped
        return answer

    founded.broker.intercept = lie
    # With the link at once; with a code alone by the fingerprint that is compared, which binds the trust file.
    error = founded.cli.json("enrol", invited["link"], home=POLICE, code=1)["error"]
    assert error["code"] == "other_fingerprint"
    asked = enrol(founded, invited["code"])
    founded.broker.intercept = None
    error = founded.cli.json("approve", "--fingerprint", asked["fingerprint"], home="kenya", code=1)["error"]
    assert error["code"] == "other_fingerprint"


def test_a_spoilt_request_is_shown_as_of_no_use(founded):
    invited = invite(founded)
    enrol(founded, invited["code"])
    [(code, held)] = founded.broker.invitations.items()
    spoilt = bytearray(held.request.endpoint)
    spoilt[-1] ^= 1
    founded.broker.invitations[code] = replace(held, request=replace(held.request, endpoint=bytes(spoilt)))
    [told] = founded.cli.json("invite", home="kenya")["unusable"]
    assert told["address"] == POLICE
    assert founded.cli.json("approve", code, "--yes", home="kenya", code=1)["error"]["code"] == told["error"]


def test_two_keys_of_the_authority_approve(founded):
    founded.admit("tz", "first", "second", threshold=2)
    address = "tz.police.arusha"
    invited = invite(founded, address, "first")
    asked = enrol(founded, invited["code"], address)
    half = founded.cli.json("approve", "--fingerprint", asked["fingerprint"], home="first")
    assert (half["published"], half["wanting"]) == (False, 1)
    # Once more by the same signer changes nothing.
    assert founded.cli.json("approve", "--yes", home="first")["wanting"] == 1
    [waiting] = founded.cli.json("invite", home="second")["waiting"]
    assert (waiting["signed"], waiting["fingerprint"]) == (1, asked["fingerprint"])
    assert founded.cli.json("approve", "--yes", home="second")["published"] is True
    assert founded.cli.json("whoami", home=address)["enrolled"] is True


def test_signers_who_approve_at_the_same_moment_are_enough(founded):
    """All three look before anybody has signed; two must, and a third signature would be one too many."""
    founded.admit("tz", "first", "second", "third", threshold=2)
    address = "tz.police.arusha"
    asked = enrol(founded, invite(founded, address, "first")["code"], address)
    looked = {}
    for name in ("first", "second", "third"):
        with client_of(founded, name) as client:
            [looked[name]] = client.invitations().waiting
            client.profile.close()

    def approve(name):
        with client_of(founded, name) as client:
            client.sync()
            done = client.approve_enrolment(looked[name], asked["fingerprint"])
            client.profile.close()
        return done

    assert approve("first").wanting == 1
    done = approve("second")
    assert (done.wanting, done.index is not None) == (0, True)
    assert founded.cli.json("whoami", home=address)["enrolled"] is True


def test_the_signature_of_a_revoked_key_does_not_count(founded):
    founded.admit("tz", "first", "second", "third", threshold=2)
    address = "tz.police.arusha"
    asked = enrol(founded, invite(founded, address, "first")["code"], address)
    founded.cli.run("approve", "--yes", home="first")
    founded.decide("revocation", founded.folder / "first.key.pub", "--ground", "loss")
    [waiting] = founded.cli.json("invite", home="second")["waiting"]
    assert waiting["signed"] == 0
    assert founded.cli.json("approve", "--yes", home="second")["wanting"] == 1
    assert (
        founded.cli.json("approve", "--fingerprint", asked["fingerprint"], home="third")["published"] is True
    )
    assert founded.cli.json("whoami", home=address)["enrolled"] is True


def test_who_is_enrolled_is_not_invited_again(founded):
    founded.enrol(POLICE, "kenya")
    assert invite_error(founded, POLICE)["code"] == "already_enrolled"


def test_an_approval_that_broke_off_between_its_two_statements_is_taken_up(founded):
    invited = invite(founded)
    enrol(founded, invited["code"])
    posted = []

    def lose(exchange, answer):
        if exchange.path == "/v1/statements":
            posted.append(exchange)
            if len(posted) == 2:
                return 503, {"content-type": "application/json"}, b"{}"
        return answer

    founded.broker.intercept = lose
    founded.cli.run("approve", "--yes", home="kenya", code=3)
    founded.broker.intercept = None
    # The second was logged, its answer lost: the endpoint is alive.
    assert founded.cli.json("whoami", home=POLICE)["enrolled"] is True


def test_the_request_binds_every_key(founded):
    """What is compared changes with any key of the request, so none can be put in the place of another."""
    marks = set()
    for name in ("a", "b"):
        founded.cli.run("init", "--address", POLICE, "--broker", URL, "--trust", founded.trust, home=name)
        with client_of(founded, name) as client:
            request = make_request(client._core.session)
            document = read_gathering(request.endpoint).document
            assert {s.purpose for s in document.signatures} == {Purpose.POSSESSION}
            marks.add(document.payload_hash)
    assert len(marks) == 2


async def test_the_three_steps_awaited(founded):
    """By the asynchronous client, as an agency's own system would do it."""
    transport = founded.transport

    def client(keys, address=None, trust=None):
        profile = Profile.in_memory(
            address=address,
            broker_url=URL,
            trust=trust or founded.trust.read_bytes(),
            keystore=MemoryKeystore(tuple(keys)),
        )
        return AsyncClient(profile, transport=transport, clock=founded.clock, sleep=founded.clock.sleep_async)

    with client_of(founded, "kenya") as kenya:
        keys = kenya.profile.keystore.stored
        kenya.profile.close()
    async with client(keys) as authority:
        code = (await authority.invite(POLICE, 3)).code
        invitation, trust = await fetch_invitation_async(code, URL, transport=transport)
        fresh = [make_key(use) for use in ("administrator", "instance", "sealing")]
        async with client(fresh, invitation.address, trust.document.data) as applicant:
            told = await applicant.request_enrolment(code, "Police, Nairobi")
            assert await applicant.wait_enrolled(timedelta(seconds=3)) is False
            [waiting] = (await authority.invitations()).waiting
            with pytest.raises(SignatureError):
                await authority.approve_enrolment(waiting, "0000")
            done = await authority.approve_enrolment(waiting, told)
            assert (done.wanting, done.keys_index) == (0, done.index + 1)
            assert await applicant.wait_enrolled(timedelta(seconds=3)) is True
        other = (await authority.invite("ke.contact.nairobi")).code
        await authority.withdraw_invitation(other)
        assert (await authority.invitations()).open == ()
        with pytest.raises(NotFoundError):
            await fetch_invitation_async(other, URL, transport=transport)
