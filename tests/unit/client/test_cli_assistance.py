"""`countermark assistance` and `report`: two parties and a secretariat, against a broker in memory."""

import datetime as dt

import pytest

from countermark_client import testing
from countermark_client.cli.common import Environment
from countermark_protocol.encoding import parse_object
from countermark_protocol.registry import validate_content
from message_examples import example
from support.cli import Cli, cli_for

KENYA, BELGIUM, UN = "ke.contact.nairobi", "be.donor.brussels", "xo-un.secretariat.newyork"
RATES = "from,to,rate,source\nEUR,USD,1.20,example 2026-01-05\n"
ROWS = """area,score,gap,need,forms,months
MARKING,1,No import mark,Marking machines,EQUIPMENT,18
STOCKPILE,4,,,,
"""


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM, UN)


@pytest.fixture
def today(world):
    return dt.datetime.fromtimestamp(world.clock() / 1000, dt.UTC).date()


@pytest.fixture
def cli(world, tmp_path):
    for address in (KENYA, BELGIUM, UN):
        world.profile(address, folder=tmp_path / address).close()
    return cli_for(world, tmp_path)


def send(cli, sender, message_type, document, *to):
    receivers = [part for address in to for part in ("--to", address)]
    file = cli.file("content.json", document)
    told = cli.json("send", message_type, *receivers, "--file", file, home=sender)
    return told["messages"][0]["message"]


def take_in(cli, *addresses):
    for address in addresses:
        cli.run("inbox", "--accept", home=address)


@pytest.fixture
def pair(cli, today):
    """A request and an offer that all three hold."""
    later = (today + dt.timedelta(days=1500)).isoformat()
    request = example("assistance-request") | {"validUntil": later}
    del request["startNotBefore"]
    asked = send(cli, KENYA, "assistance-request", request, BELGIUM, UN)
    offer = example("assistance-offer") | {"availableFrom": today.isoformat(), "availableUntil": later}
    offered = send(cli, BELGIUM, "assistance-offer", offer, KENYA, UN)
    take_in(cli, KENYA, BELGIUM, UN)
    return asked, offered


def test_needs_are_drafted_into_files(tmp_path):
    cli = Cli(tmp_path, Environment())
    rows = cli.file("rows.csv", ROWS)
    common = {n: v for n, v in example("assistance-request").items() if n != "budget"}
    shared = cli.file("common.json", common)
    told = cli.json("assistance", "needs", rows, "--common", shared, "--out", tmp_path / "drafts")
    first, second = told["drafts"]
    assert first["missing"] == []
    document = parse_object((tmp_path / "drafts" / "01-marking.json").read_bytes(), "draft")
    assert validate_content("assistance-request", 1, document).title == "Marking machines"
    assert second == {"row": 2, "area": "STOCKPILE", "why_not": "the best score: nothing is needed"}
    again = cli.run("assistance", "needs", rows, "--common", shared, "--out", tmp_path / "drafts", code=2)
    assert "exists" in again.stderr


def test_a_secretariat_ranks_proposes_and_both_sides_agree(cli, pair, today):
    asked, offered = pair
    rates = cli.file("rates.csv", RATES)
    [best] = cli.json("assistance", "match", asked[:12], "--rates", rates, home=UN)["offers"]
    assert (best["message"], best["covers"], best["percent"]) == (offered, 180_000, 90)
    shown = cli.run("assistance", "match", asked, home=UN).stdout
    assert "no rate is given for USD and EUR" in shown
    until = (today + dt.timedelta(days=30)).isoformat()
    arguments = ("assistance", "propose", asked, offered, "--ref", "M-1", "--until", until, "--rates", rates)
    checked = cli.json(*arguments, "--check", home=UN)["content"]
    assert checked["proposal"]["coverage"]["money"] == {"currency": "EUR", "amount": 180_000}
    assert cli.json("assistance", "matches", home=UN)["matches"] == []
    proposed = cli.json(*arguments, home=UN)
    take_in(cli, KENYA, BELGIUM)
    # The secretariat cannot accept, and a delivery before agreement is not sent.
    refused = cli.json("assistance", "say", proposed["message"], "accept", home=UN, code=1)
    assert refused["error"]["code"] == "step_counts_for_nothing"
    early = cli.json("assistance", "say", proposed["message"], "delivered", home=BELGIUM, code=1)
    assert early["error"]["code"] == "step_counts_for_nothing"
    accepted = cli.json("assistance", "say", proposed["message"], "accept", "--publish", home=BELGIUM)
    assert sorted(accepted["recipients"]) == [KENYA, UN]
    take_in(cli, KENYA, UN)
    [state] = cli.json("assistance", "matches", home=UN)["matches"]
    assert (state["standing"], state["agreed_by"]) == ("PROPOSED", {})
    cli.run("assistance", "say", proposed["message"], "accept", "--publish", home=KENYA)
    take_in(cli, BELGIUM, UN)
    for address in (KENYA, BELGIUM, UN):
        [state] = cli.json("assistance", "matches", home=address)["matches"]
        assert state["standing"] == "AGREED"
        assert set(state["agreed_by"]) == {KENYA, BELGIUM}
    # What is taken is not offered again.
    [best] = cli.json("assistance", "match", asked, "--rates", rates, home=UN)["offers"]
    assert best["covers"] == 0
    warned = cli.run(*arguments, "--check", home=UN, code=0).stderr
    assert "this pair was proposed before" in warned
    cli.run(
        "assistance",
        "say",
        proposed["message"],
        "delivered",
        "--value",
        "180000:EUR",
        "--publish",
        home=BELGIUM,
    )
    take_in(cli, KENYA, UN)
    cli.run("assistance", "say", proposed["message"], "close", "--note", "Done", "--publish", home=KENYA)
    take_in(cli, UN)
    assert "CLOSED" in cli.run("assistance", "matches", home=UN).stdout
    told = cli.run("assistance", "overview", "--out", cli.folder / "overview", home=UN)
    assert "0 requests, 0 offers, 0 agreed matches" in told.stderr
    published = (cli.folder / "overview" / "overview.md").read_text("utf-8")
    assert "withheld: fewer than 3 requests" in published
    assert "nairobi" not in published


def test_usage_of_steps_is_checked_before_anything_is_sent(cli, pair):
    message = "0" * 64
    for arguments in (
        ("decline",), ("accept", "--reason", "FUNDS"), ("decline", "--reason", "MOOD"), ("consult",), ("close",),
        ("accept", "--value", "1:EUR"), ("delivered", "--value", "1.5:EUR"), ("delivered", "--value", "0:EUR"),
    ):  # fmt: skip
        cli.run("assistance", "say", message, *arguments, home=KENYA, code=2)
    found = cli.json("assistance", "match", pair[1], home=KENYA, code=1)
    assert found["error"]["code"] == "not_standing"


def test_a_report_from_what_this_office_sent(cli, tmp_path):
    notice = example("confiscation-notice")
    notice["event"]["place"] = {"country": "KE"}
    for each in ("route", "concealment"):
        notice.pop(each, None)
    sent = send(cli, KENYA, "confiscation-notice", notice, "ke.contact.nairobi")
    year = notice["event"]["date"][:4]
    told = cli.json("report", "iafq", "--year", year, home=KENYA)
    arms = [each for each in told["figures"] if each["table"] == "arms"]
    assert sum(each["count"] for each in arms) == len(notice["items"])
    assert {s["message"] for each in arms for c in each["counted"] for s in c["sources"]} == {sent}
    shown = cli.run("report", "sdg", "--year", year, "--out", tmp_path / "figures", home=KENYA).stdout
    assert "written" in shown
    assert (tmp_path / "figures" / "sources.csv").read_text("utf-8").count(sent) >= len(notice["items"])
    texts = {n: v for n, v in example("national-report").items() if n not in {"figures", "years", "signedBy"}}
    draft = tmp_path / "draft.json"
    arguments = (
        "report",
        "poa",
        "--year",
        year,
        "--written",
        cli.file("texts.json", texts),
        "--draft",
        draft,
    )
    told = cli.json(*arguments, home=KENYA)
    assert [each["field"] for each in told["missing"]] == ["/signedBy"]
    document = parse_object(draft.read_bytes(), "draft") | {"signedBy": "National Focal Point"}
    report = validate_content("national-report", 1, document)
    assert sum(row.count for row in report.figures.arms) == len(notice["items"])
    cli.run("report", "poa", "--year", year, "--draft", draft, home=KENYA, code=2)
    cli.run("report", "iafq", home=KENYA, code=2)
