"""Corrections and withdrawals between clients: shown with what they are about, by its own sender alone."""

import pytest

from countermark_client import Draft, testing
from countermark_protocol.errors import CountermarkError, PolicyError

KENYA, UGANDA = "ke.police.nairobi", "ug.police.kampala"


@pytest.fixture
def world():
    return testing.world(KENYA, UGANDA)


def send(client, case="C-1", **more):
    return client.send("lost-or-stolen-notice", testing.sample_notice(case), to=[UGANDA], **more)


def correct(client, sent, *changes, to=UGANDA, **more):
    content = {
        "message": sent.hash,
        "ground": "CLERICAL_ERROR",
        "reason": "Read again",
        "changes": list(changes) or [{"path": "/nationalCaseRef", "text": "C-2"}],
        "followUp": ["UPDATE_RECORDS"],
        "language": "en",
    }
    return client.send("correction", content, to=[to], **{"supersedes": sent, **more})


def withdraw(client, sent, **more):
    content = {
        "message": sent.hash,
        "ground": "SENT_IN_ERROR",
        "reason": "Another weapon",
        "followUp": ["DELETE_COPIES"],
        "language": "en",
    }
    return client.send("withdrawal", content, to=[UGANDA], **{"supersedes": sent, **more})


def kept(client, sent):
    return next(i for i in client.messages() if i.message == sent.message)


def test_a_corrected_message_stands_and_reads_as_corrected_once_the_correction_was_opened(world):
    kenya, uganda = world.client(KENYA), world.client(UGANDA)
    first = send(kenya)
    [opened] = uganda.inbox()
    assert opened.corrections == ()
    assert opened.as_corrected is None
    correction = correct(kenya, first)
    assert correction.conversation == first.conversation
    uganda.read_boxes()
    item = kept(uganda, first)
    assert [(c.message, c.content) for c in item.corrections] == [(correction.message, None)]
    assert item.as_corrected is None
    list(uganda.inbox())
    for client in (kenya, uganda):
        item = kept(client, first)
        assert item.successor is None
        assert item.corrections[0].content.reason == "Read again"
        assert item.content.national_case_ref == "C-1"
        assert item.as_corrected.national_case_ref == "C-2"
    assert uganda.open_message(first).as_corrected.national_case_ref == "C-2"


def test_corrections_add_up_and_a_withdrawn_one_counts_no_more(world):
    kenya, uganda = world.client(KENYA), world.client(UGANDA)
    first = send(kenya)
    one = correct(kenya, first)
    correct(kenya, first, {"path": "/remarks", "text": "Seen again in Busia"})
    list(uganda.inbox())
    item = kept(uganda, first)
    assert (item.as_corrected.national_case_ref, item.as_corrected.remarks) == ("C-2", "Seen again in Busia")
    withdraw(kenya, one)
    list(uganda.inbox())
    item = kept(uganda, first)
    assert (item.as_corrected.national_case_ref, item.as_corrected.remarks) == ("C-1", "Seen again in Busia")
    assert item.successor is None


def test_a_correction_is_itself_corrected(world):
    kenya, uganda = world.client(KENYA), world.client(UGANDA)
    first = send(kenya)
    one = correct(kenya, first)
    correct(kenya, one, {"path": "/changes/0/text", "text": "C-3"})
    list(uganda.inbox())
    assert kept(uganda, first).as_corrected.national_case_ref == "C-3"


def test_a_withdrawn_message_is_shown_as_withdrawn_before_the_withdrawal_is_opened(world):
    kenya, uganda = world.client(KENYA), world.client(UGANDA)
    first = send(kenya)
    list(uganda.inbox())
    withdrawal = withdraw(kenya, first)
    uganda.read_boxes()
    found = kept(uganda, first).successor
    assert (found.message, found.withdraws) == (withdrawal.message, True)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ([{"path": "/event/place/country", "text": "Kenya"}], "correction_not_valid"),
        ([{"path": "/items/7/category", "text": "RIFLE"}], "correction_not_valid"),
        ([{"path": "/nationalCaseRef", "removed": True}], "correction_not_valid"),
    ],
)
def test_what_would_not_be_valid_is_not_sent(world, changes, rule):
    kenya = world.client(KENYA)
    first = send(kenya)
    with pytest.raises(PolicyError) as caught:
        correct(kenya, first, *changes)
    assert caught.value.code == "review_refused"
    assert [f["rule"] for f in caught.value.facts["findings"]] == [rule]


def test_a_correction_of_another_message_than_it_supersedes_is_not_sent(world):
    kenya = world.client(KENYA)
    first, second = send(kenya), send(kenya, "C-9")
    with pytest.raises(PolicyError) as caught:
        correct(kenya, first, supersedes=second)
    assert [f["rule"] for f in caught.value.facts["findings"]] == ["amends_another"]
    with pytest.raises(PolicyError, match="supersedes"):
        correct(kenya, first, supersedes=None)


def test_only_the_sender_of_a_message_amends_it(world):
    kenya, uganda = world.client(KENYA), world.client(UGANDA)
    first = send(kenya)
    list(uganda.inbox())
    for amend in (lambda: correct(uganda, first, to=KENYA), lambda: withdraw(uganda, first)):
        with pytest.raises(CountermarkError) as caught:
            amend()
        assert caught.value.code in {"refused", "supersedes_not_own", "recipients_refused"}
    assert kept(kenya, first).successor is None
    assert kept(kenya, first).corrections == ()


def test_a_text_begins_no_conversation_and_continues_one(world):
    kenya, uganda = world.client(KENYA), world.client(UGANDA)
    text = {"paragraphs": ["The archive opens on Tuesdays."], "language": "en"}
    with pytest.raises(PolicyError, match="names the message of the conversation"):
        kenya.send("free-text", text, to=[UGANDA])
    first = send(kenya)
    [opened] = uganda.inbox()
    uganda.send("free-text", text, to=[KENYA], in_reply_to=opened)
    [answer] = kenya.inbox()
    assert answer.content.paragraphs == ("The archive opens on Tuesdays.",)
    assert answer.conversation == first.conversation


def test_what_bears_the_mark_of_a_higher_classification_waits_for_a_second_person(world):
    kenya, uganda = world.client(KENYA), world.client(UGANDA)
    send(kenya)
    [opened] = uganda.inbox()
    text = {"paragraphs": ["From a report marked NATO SECRET."], "language": "en"}
    with pytest.raises(PolicyError) as caught:
        uganda.send("free-text", text, to=[KENYA], in_reply_to=opened)
    assert caught.value.code == "review_held"
    assert [f["rule"] for f in caught.value.facts["findings"]] == ["classification_words"]
    draft = Draft(type="free-text", content=text, to=[KENYA], in_reply_to=opened)
    assert uganda.read_message_draft(uganda.draft_message(draft)).missing == ("release",)
