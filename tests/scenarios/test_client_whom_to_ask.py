"""Whom to ask: descriptions of marks that were received, and the points of contact of the countries that they lead to."""

import pytest

from countermark_client import testing
from countermark_protocol.tracing.contents import validate_item
from message_examples import example
from support.cli import cli_for

NAIROBI, BRASILIA, PANAMA = "ke.contact.nairobi", "br.contact.national", "pa.contact.panama"


@pytest.fixture
def world():
    return testing.world(NAIROBI, BRASILIA, PANAMA)


def weapon(serial):
    return {
        "itemRef": "1", "category": "PISTOL", "originForm": "FACTORY", "make": {"text": "TAURUS"},
        "calibre": {"text": "9x19"},
        "marks": [{"kind": "SERIAL", "component": "FRAME", "text": serial, "status": "LEGIBLE"}],
        "lastKnownImport": {"country": "PA", "year": 2019},
    }  # fmt: skip


def describe(world, sender=BRASILIA):
    document = example("marking-system-description") | {
        "country": "BR",
        "serialFormats": [{"maker": "Taurus", "regex": "^[A-Z]{2}[0-9]{5,6}$", "ambiguous": True}],
    }
    with world.client(sender) as client:
        return client.send("marking-system-description", document, [NAIROBI])


def test_marks_lead_to_countries_and_their_contacts(world):
    sent = describe(world)
    with world.client(NAIROBI) as nairobi:
        for received in nairobi.inbox():
            received.accept()
        made, imported = nairobi.whom_to_ask(validate_item(weapon("AB12345")))
        assert (made.candidate.country, made.candidate.certain, made.contacts) == ("BR", False, (BRASILIA,))
        assert sent.message in {r.source for r in made.candidate.reasons}
        assert (imported.candidate.country, imported.candidate.certain, imported.contacts) == (
            "PA",
            True,
            (PANAMA,),
        )
        [only] = nairobi.whom_to_ask(validate_item(weapon("AB12345") | {"make": {"text": "GLOCK"}}))
        assert only.candidate.country == "PA"


def test_what_another_says_of_a_states_marks_does_not_count(world):
    describe(world, sender=PANAMA)
    with world.client(NAIROBI) as nairobi:
        list(nairobi.inbox())
        assert [t.candidate.country for t in nairobi.whom_to_ask(validate_item(weapon("AB12345")))] == ["PA"]


def test_the_command(world, tmp_path):
    describe(world)
    world.profile(NAIROBI, folder=tmp_path / NAIROBI).close()
    cli = cli_for(world, tmp_path)
    cli.run("inbox", home=NAIROBI)
    path = cli.file("weapon.json", weapon("AB12345"))
    told = cli.run("whom-to-ask", "--file", path, home=NAIROBI).stdout
    assert "BR  manufacture, not certain" in told
    assert f"ask: {BRASILIA}" in told
    assert "several years or makers" in told
    assert "invalid_item" in cli.run("whom-to-ask", "--file", cli.file("w.json", {"itemRef": 1}), "--json", home=NAIROBI, code=1).stdout  # fmt: skip
    assert "give the HASH" in cli.run("whom-to-ask", home=NAIROBI, code=2).stderr
