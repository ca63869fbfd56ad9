"""Handling, rule by rule, as docs/spec/tracing.md §10 lists them: each with who enforces it."""

import dataclasses
import re
from pathlib import Path

import pytest

from countermark_client import default_handling, testing
from countermark_protocol.errors import CountermarkError, MalformedError
from countermark_protocol.handling import Classification, HandlingCode, Tlp, UsePurpose, parse_handling
from countermark_protocol.tracing.consent import loosened, why_consent
from support.cli import cli_for

ROOT = Path(__file__).resolve().parents[2]
POLICE, BELGIUM, KAMPALA = "ke.police.nairobi", "be.contact.federal", "ug.police.kampala"


@pytest.fixture
def world():
    built = testing.world(POLICE, BELGIUM, KAMPALA)
    built.group("xo-eac/police", [POLICE, KAMPALA])
    return built


def handled(world, **changes):
    return dataclasses.replace(default_handling(world.clock()), **changes)


def refused(call, *args, **kwargs):
    with pytest.raises(CountermarkError) as caught:
        call(*args, **kwargs)
    problems = caught.value.facts.get("problems")
    return problems[0]["code"] if problems else caught.value.code


def notice(client, *to, **more):
    return client.send("lost-or-stolen-notice", testing.sample_notice(), list(to), **more)


def test_every_rule_of_the_table_names_a_test_that_exists():
    text = (ROOT / "docs/spec/tracing.md").read_text("utf-8")
    table = text[text.index("| rule | enforced by | test |") :].split("\n\n")[0].splitlines()[2:]
    assert len(table) >= 14
    enforcers = {"sender", "broker", "recipient", "recipient's client", "nobody"}
    for line in table:
        _, by, name = (cell.strip() for cell in line.strip("|").split("|"))
        assert {re.sub(r" \(.*\)", "", one.strip()) for one in by.split(";")[0].split(",")} <= enforcers, line
        path, _, test = name.strip("`").partition("::")
        assert f"def {test}(" in (ROOT / "tests" / path).read_text("utf-8"), line


def test_red_names_its_recipients_one_by_one(world):
    with world.client(POLICE) as police:
        red = handled(world, tlp=Tlp.RED)
        assert refused(notice, police, "group:xo-eac/police", handling=red) == "red_to_group"
        assert notice(police, KAMPALA, handling=red).recipients == (KAMPALA,)


def test_only_whom_it_is_releasable_to_receives_it(world):
    with world.client(POLICE) as police:
        narrow = handled(world, releasable_to=("ug",))
        assert refused(notice, police, BELGIUM, handling=narrow) == "not_releasable"
        assert notice(police, KAMPALA, handling=narrow).recipients == (KAMPALA,)


def test_what_is_above_the_ceiling_is_not_sent(world):
    with world.client(POLICE) as police:
        secret = handled(world, classification=Classification.SECRET)
        assert refused(notice, police, KAMPALA, handling=secret) == "policy_denied"


def test_codes_that_contradict_each_other_or_clear_are_malformed(world):
    for changes in (
        {"codes": (HandlingCode.H0, HandlingCode.H2)},
        {"codes": (HandlingCode.H1,), "tlp": Tlp.CLEAR},
    ):
        with pytest.raises(MalformedError) as caught:
            parse_handling(handled(world, **changes).to_json())
        assert caught.value.code == "handling_conflict"


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"originator_control": True}, True),
        ({"codes": (HandlingCode.H2,)}, True),
        ({"tlp": Tlp.RED}, True),
        ({"tlp": Tlp.AMBER_STRICT}, True),
        ({"codes": (HandlingCode.H1,)}, False),
        ({}, False),
    ],
)
def test_what_needs_its_originators_consent(world, changes, needed):
    assert (why_consent(handled(world, **changes)) is not None) is needed


@pytest.mark.parametrize(
    ("old", "new", "members"),
    [
        ({}, {"tlp": Tlp.GREEN}, ("tlp",)),
        ({}, {"tlp": Tlp.RED}, ()),
        ({}, {"classification": Classification.OFFICIAL}, ("classification",)),
        ({"codes": (HandlingCode.H2,)}, {"codes": ()}, ("codes",)),
        ({"originator_control": True}, {"originator_control": False}, ("originator_control",)),
        ({"releasable_to": ("ug",)}, {"releasable_to": ()}, ("releasable_to",)),
        ({"releasable_to": ("ug", "be")}, {"releasable_to": ("ug",)}, ()),
        ({"retention_until": 5}, {"retention_until": 6}, ("retention_until",)),
        ({"retention_until": 5}, {"retention_until": 4}, ()),
    ],
)
def test_what_is_laxer(world, old, new, members):
    before = handled(world, **old)
    assert loosened(dataclasses.replace(before, **new), before) == members


def restricted(request, text):
    document = testing.sample_response(request.manifest.id)
    document["useRestrictions"] = {
        "tlp": "AMBER", "handlingCodes": ["H3"], "originatorControlled": False,
        **({"h3Text": text} if text else {}),
    }  # fmt: skip
    return document


def asked(world):
    with world.client(POLICE) as police:
        police.send("tracing-request", testing.sample_request(), [BELGIUM])
    belgium = world.client(BELGIUM)
    [request] = list(belgium.inbox())
    request.accept()
    return belgium, request


def test_h3_states_its_restrictions_in_words(world):
    belgium, request = asked(world)
    h3 = handled(world, codes=(HandlingCode.H3,))
    document = testing.sample_response(request.manifest.id)
    assert refused(belgium.reply, request, "tracing-response", document, handling=h3) == "h3_text_missing"
    with world.client(POLICE) as police:
        assert refused(notice, police, KAMPALA, handling=h3) == "h3_text_missing"


def test_h3_is_accepted_only_once_a_person_has_read_it(world):
    belgium, request = asked(world)
    h3 = handled(world, codes=(HandlingCode.H3,))
    belgium.reply(request, "tracing-response", restricted(request, "Not before the trial"), handling=h3)
    with world.client(POLICE) as police:
        [answer] = list(police.inbox())
        assert answer.content.use_restrictions.h3_text == "Not before the trial"
        assert refused(answer.accept) == "h3_not_read"
        assert refused(police.acknowledge_handling, bytes(32)) == "unknown_message"
        police.acknowledge_handling(answer)
        answer.accept()
        police.read_boxes()


def test_the_command_asks_whether_a_person_has_read_h3(world, tmp_path):
    world.profile(POLICE, folder=tmp_path / POLICE).close()
    cli = cli_for(world, tmp_path)
    request = cli.file("request.json", testing.sample_request())
    cli.run("send", "tracing-request", "--to", BELGIUM, "--file", request, home=POLICE)
    belgium = world.client(BELGIUM)
    [asked] = list(belgium.inbox())
    h3 = handled(world, codes=(HandlingCode.H3,))
    belgium.reply(asked, "tracing-response", restricted(asked, "Not before the trial"), handling=h3)
    [answer] = cli.json("inbox", home=POLICE)["messages"]
    assert "h3_not_read" in cli.run("accept", answer["message"], home=POLICE, code=1).stderr
    assert cli.json("accept", answer["message"], "--handling-read", home=POLICE)["accepted"] == 1
    assert cli.json("forget", home=POLICE)["forgotten"] == []


def test_a_received_content_is_forgotten_once_its_retention_is_over(world):
    with world.client(POLICE) as police:
        until = world.clock() + 30 * 86_400_000
        sent = notice(police, KAMPALA, handling=handled(world, retention_until=until))
        kept = notice(police, KAMPALA)
    with world.client(KAMPALA) as kampala:
        for received in kampala.inbox():
            received.accept()
        assert kampala.forget_expired() == ()
        world.clock.advance(days=31)
        assert kampala.forget_expired() == (sent.message,)
        contents = {i.message: i.content for i in kampala.messages("in")}
        assert contents[sent.message] is None
        assert contents[kept.message] is not None
        assert kampala.forget_expired() == ()
        assert kampala.proof(sent)


def test_what_nobody_can_enforce_is_shown(world, tmp_path):
    with world.client(POLICE) as police:
        codes = (HandlingCode.H1, HandlingCode.H2)
        sent = notice(police, KAMPALA, handling=handled(world, codes=codes, purpose=UsePurpose.PROSECUTION))
    world.profile(KAMPALA, folder=tmp_path / KAMPALA).close()
    cli = cli_for(world, tmp_path)
    cli.run("inbox", home=KAMPALA)
    shown = cli.run("show", sent.hash, home=KAMPALA).stdout
    for word in ("H1", "H2", "PROSECUTION", "AMBER"):
        assert word in shown
