"""The client library against the real broker in a process of its own: the story of the demo, in small."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from demo import records, traces  # noqa: E402
from demo.exchange import agency_of, handling  # noqa: E402
from demo.inventions import Inventions  # noqa: E402
from demo.world import GROUP, found, govern, run_broker, serving  # noqa: E402

from countermark_client import AsyncClient, Client, Profile  # noqa: E402
from countermark_protocol.errors import PolicyError  # noqa: E402

POLICE, CONTACT, REGISTRY = "us.police.delaware", "br.contact.national", "xo-interpol.organisation.firearms"


@pytest.fixture(scope="module")
def world(tmp_path_factory, real_database):
    world = found(tmp_path_factory.mktemp("real") / "world", real_database)
    with serving(world):
        govern(world)
        try:
            yield world
        finally:
            world.close()


@pytest.fixture
def row():
    rows = records.load_rows("delaware_trace_pairs")
    return next(
        r for r in rows if r["first_sale_on"] and r["manufacturer_src"] and r["calibre_src"] and r["crime_on"]
    )


def request_about(row):
    return traces.tracing_request(row, agency_of(POLICE), Inventions())


def test_a_trace_is_asked_signed_for_answered_and_known_to_both(world, row):
    police, contact = world.clients[POLICE], world.clients[CONTACT]
    sent = police.send("tracing-request", request_about(row), [CONTACT], handling=handling(), exercise=True)
    [request] = contact.inbox()
    assert request.message == sent.message
    request.accept()
    answer = traces.tracing_response(
        row, request_about(row), agency_of(CONTACT), Inventions(), request_id=request.manifest.id
    )
    contact.reply(request, "tracing-response", answer, handling=handling())
    [response] = police.inbox()
    assert response.content.item_results[0].chain[0].date == row["first_sale_on"]
    response.accept()
    police.notices()
    assert [r.stage for r in police.status(sent).recipients] == ["accepted"]
    assert [i.manifest.type for i in police.conversation(sent)] == ["tracing-request", "tracing-response"]


def test_a_refusal_by_the_policy_is_named_before_anything_is_sealed(world, row):
    donor = world.clients["be.donor.cooperation"]
    with pytest.raises(PolicyError) as refused:
        donor.send("tracing-request", request_about(row), [CONTACT], handling=handling(), exercise=True)
    assert refused.value.code == "recipients_refused"
    assert donor.outbox() == []


def test_a_notice_to_a_group_reaches_every_member_and_nobody_else(world, row):
    police = world.clients[POLICE]
    notice = records.confiscation_notice(row, agency_of(POLICE), Inventions())
    sent = police.send("confiscation-notice", notice, [f"group:{GROUP}"], handling=handling(), exercise=True)
    for address, client in world.clients.items():
        taken = [m for m in client.inbox() if m.message == sent.message]
        assert len(taken) == (address in sent.recipients), address
        client.accept_many(taken)
    police.notices()
    assert {r.stage for r in police.status(sent).recipients} == {"accepted"}


def test_a_request_that_is_withdrawn_before_it_is_opened_is_done(world, row):
    police, contact = world.clients[POLICE], world.clients[CONTACT]
    sent = police.send("tracing-request", request_about(row), [CONTACT], handling=handling(), exercise=True)
    withdrawn = police.withdraw(sent)
    assert sent.message not in [m.message for m in contact.inbox()]
    [item] = [i for i in contact.messages() if i.message == sent.message]
    assert (item.stage, item.purged) == ("purged", withdrawn)
    # The broker's account of it holds, by everything that was proven since.
    checked = contact.check_accounts()
    assert (checked.finding, checked.refusals) == (None, 1)
    assert police.withdraw(sent) == withdrawn


async def test_the_asynchronous_client_reads_the_same(world, row):
    police = world.clients[POLICE]
    sent = police.send(
        "tracing-request", request_about(row), ["ke.contact.national"], handling=handling(), exercise=True
    )
    old = world.clients["ke.contact.national"]
    old.close()
    old.profile.close()
    profile = Profile.open(world.root / "agencies" / "ke.contact.national", world.passphrase)
    async with AsyncClient(profile) as kenya:
        messages = [m async for m in kenya.inbox()]
        assert sent.message in [m.message for m in messages]
        assert await kenya.accept_many(messages) == len(messages)
        assert (await kenya.verify_log()).size > sent.index
    profile.close()
    world.clients["ke.contact.national"] = Client(Profile.open(profile.folder, world.passphrase))


def test_everything_holds_when_looked_at_from_outside(world):
    for client in world.clients.values():
        client.sync()
        client.sync_sent()
    report = world.clients["be.auditor.national"].verify_log()
    assert report.directory_statements == 2 + 1 + 5 + 2 * 18 + 1
    assert "every view is what the log gives" in run_broker(
        "rebuild", "--check", "--home", str(world.broker_home)
    )


@pytest.mark.long
def test_the_whole_demo_runs_twice_in_a_row():
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "demo"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
        assert "done in" in done.stdout
