"""Whether recipients see each other: the type's default, the sender's choice, and what each is shown."""

import base64
import json
import re

import pytest

from countermark_client import testing
from countermark_protocol.registry import MODELS
from countermark_protocol.types import TYPES
from countermark_protocol.visibility import GROUNDS, is_visible
from message_examples import example
from support.cli import cli_for

SENDER, KAMPALA, DODOMA = "ke.contact.national", "ug.contact.kampala", "tz.contact.dodoma"
ALERT, MARKING = "trade-route-alert", "marking-system-description"


@pytest.fixture
def world():
    return testing.world(SENDER, KAMPALA, DODOMA)


def received(world, address, sent):
    [message] = [m for m in world.client(address).inbox() if m.message == sent.message]
    return message


def laid_open(data):
    """Evidence, with what stands in it in base64url beside it.

    But for its paths in the directory: that a key is not revoked is shown by whatever record lies next to it there.
    """
    data = json.dumps({name: part for name, part in json.loads(data).items() if name != "facts"}).encode()
    inner = (b + b"=" * (-len(b) % 4) for b in re.findall(rb"[A-Za-z0-9_-]{40,}", data) if len(b) % 4 != 1)
    return b"\n".join([data, *map(base64.urlsafe_b64decode, inner)])


def test_every_type_has_a_default_with_its_ground():
    assert set(GROUNDS) == set(TYPES) == {name for name, _ in MODELS}
    assert {name for name in TYPES if is_visible(name, None)} == {
        "marking-system-description",
        "assistance-match",
        "contact-point-notice",
    }
    assert is_visible(ALERT, True)
    assert not is_visible(MARKING, False)


@pytest.mark.parametrize(
    ("kind", "chosen", "visible"),
    [(ALERT, None, False), (ALERT, True, True), (MARKING, None, True), (MARKING, False, False)],
)
def test_each_recipient_is_shown_the_list_or_nothing_of_it(world, kind, chosen, visible):
    client = world.client(SENDER)
    sent = client.send(kind, example(kind), [KAMPALA, DODOMA], visible=chosen)
    [own] = client.conversation(sent)
    assert own.recipients == sent.recipients == (DODOMA, KAMPALA)
    for address in sent.recipients:
        message = received(world, address, sent)
        assert message.manifest.recipients_visible is visible
        assert message.recipients == (sent.recipients if visible else None)
        assert message.manifest.recipient_count == 2
        message.accept()
        [item] = world.client(address).conversation(sent)
        assert item.recipients == message.recipients


def test_evidence_that_one_recipient_makes_names_none_of_the_others(world):
    """It goes to a court, and may come to anybody: with a hidden list it shows its maker's own row."""
    client = world.client(SENDER)
    sent = client.send(ALERT, example(ALERT), [KAMPALA, DODOMA])
    message = received(world, KAMPALA, sent)
    message.accept()
    made = laid_open(world.client(KAMPALA).evidence(sent).data)
    assert KAMPALA.encode() in made
    assert DODOMA.encode() not in made
    key = world.keystore(DODOMA).sealing_key().public_key.key_id
    assert key.hex().encode() not in made
    # Its sender holds all rows and may show them: that is the sender's choice, and said in the threat model.
    assert DODOMA.encode() in laid_open(client.evidence(sent).data)


def test_the_command_line_says_who_sees_whom(world, tmp_path):
    world.profile(SENDER, folder=tmp_path / SENDER).close()
    world.profile(KAMPALA, folder=tmp_path / KAMPALA).close()
    world.group("ke/two", [KAMPALA, DODOMA])
    cli = cli_for(world, tmp_path)
    file = cli.file("alert.json", example(ALERT))

    def told(*options):
        return cli.run("send", ALERT, "--file", file, *options, home=SENDER).stderr

    assert "recipients do not see each other (--visible" in told("--to", "*.contact.*")
    assert "recipients see each other (--hidden" in told("--to", "*.contact.*", "--visible")
    assert "can look up its members" in told("--to", "group:ke/two")
    cli.run("inbox", "--accept", home=KAMPALA)
    listed = cli.json("list", "--received", home=KAMPALA)["messages"]
    assert [one["recipients"] for one in listed] == [None, [DODOMA, KAMPALA], None]
    shown = cli.run("show", listed[1]["message"], home=KAMPALA).stdout
    assert f"recipients   2, who see each other: {DODOMA}, {KAMPALA}" in shown
    assert DODOMA not in cli.run("show", listed[0]["message"], home=KAMPALA).stdout
    assert json.dumps(listed[0]).count(DODOMA) == 0
