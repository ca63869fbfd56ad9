"""Two persons release what must be released, and an agency sends on another's behalf: drafts carried between them."""

import dataclasses

import pytest

from countermark_client import Draft, default_handling
from countermark_client.statements import sign_gathering
from countermark_client.testing import sample_acknowledgement, sample_notice, sample_request, world
from countermark_protocol.documents import encode_document, parse_document
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    InconsistentLogError,
    PolicyError,
    SignatureError,
    UncheckableError,
)
from countermark_protocol.handling import Classification
from countermark_protocol.identifiers import authority_of
from countermark_protocol.message_draft import MessageDraft, parse_message_draft
from countermark_protocol.submission import encode_submission, parse_submission

POLICE, CONTACT, ANSWERER, OTHER = (
    "ke.police.nairobi",
    "be.contact.federal",
    "be.licensing.federal",
    "ug.contact.kampala",
)


def refused(kind, code, call, *args):
    with pytest.raises(CountermarkError) as caught:
        call(*args)
    assert (type(caught.value), caught.value.code) == (kind, code), caught.value
    return caught.value


def four_eyes(built, address):
    """Let an authority turn the second signature on for an endpoint."""
    record = built.broker.state.directory.endpoint(address)
    draft = built.drafts.endpoint(
        address, name=record.name, administrator=record.administrator.keys, two_persons=True
    )
    built.broker.post_statement(sign_gathering(draft, [built.authority(authority_of(address))]))


def second(built, address, holder="two"):
    return built.client(built.profile(address, keystore=built.add_instance(address, holder)))


def sends_what_it_has(client):
    """Let a client send drafts whatever signature they lack."""
    drafting = client._core.sender.drafting
    read = drafting._read

    def lacks_nothing(*arguments):
        drafted, opened = read(*arguments)
        return dataclasses.replace(drafted, missing=()), opened

    drafting._read = lacks_nothing


def notice(**changes):
    return Draft(type="lost-or-stolen-notice", content=sample_notice(), to=[CONTACT], **changes)


def confidential(built):
    return dataclasses.replace(default_handling(built.clock()), classification=Classification.CONFIDENTIAL)


@pytest.fixture
def built():
    return world(POLICE, CONTACT)


def test_what_two_persons_must_sign_is_refused_before_it_is_sealed(built):
    alice = built.client(POLICE)
    four_eyes(built, POLICE)
    alice.sync()
    error = refused(
        PolicyError, "recipients_refused", alice.send, "lost-or-stolen-notice", sample_notice(), [CONTACT]
    )
    [problem] = error.facts["problems"]
    assert problem["code"] == "release_required"
    assert POLICE in problem["message"]
    assert alice.outbox() == []


def test_drafted_by_one_released_by_another_seen_by_the_recipient(built):
    alice, bob, reader = built.client(POLICE), second(built, POLICE), built.client(CONTACT)
    four_eyes(built, POLICE)
    data = alice.draft_message(notice())
    drafted = bob.read_message_draft(data)
    assert drafted.missing == ("release",)
    assert drafted.recipients == (CONTACT,)
    assert [(one.purpose, one.holder) for one in drafted.signed_by] == [("sign", "one")]
    assert drafted.content.national_case_ref == "CASE-1"
    refused(PolicyError, "draft_incomplete", bob.send_message_draft, data)
    released = bob.sign_message_draft(data)
    sent = bob.send_message_draft(released)
    assert sent.message == drafted.message

    [received] = reader.inbox()
    assert [(s.purpose, s.endpoint, s.holder) for s in received.signed_by] == [
        ("sign", POLICE, "one"),
        ("release", POLICE, "two"),
    ]
    received.accept()
    # Who drafted knows it as its own, with its content and what became of it.
    assert alice.sync_sent() == 1
    alice.notices()
    [item] = alice.conversation(sent.message)
    assert item.content.national_case_ref == "CASE-1"
    assert [r.stage for r in alice.status(sent.message).recipients] == ["accepted"]
    # Evidence names both.
    proven = bob.evidence(sent.message).proven
    assert [one.holder for one in proven.message.signatures] == ["one", "two"]


def test_one_person_with_two_keys_is_one_person(built):
    alice, again = built.client(POLICE), second(built, POLICE, holder="one")
    four_eyes(built, POLICE)
    data = alice.draft_message(notice())
    refused(ConflictError, "already_signed", alice.sign_message_draft, data)
    refused(SignatureError, "same_holder", again.sign_message_draft, data)


def test_a_stranger_can_neither_read_nor_sign_nor_send_a_draft(built):
    data = built.client(POLICE).draft_message(notice())
    refused(UncheckableError, "draft_does_not_open", built.client(CONTACT).read_message_draft, data)
    refused(UncheckableError, "draft_does_not_open", built.client(CONTACT).send_message_draft, data)


def test_everything_above_restricted_needs_two_persons(built):
    alice, bob = built.client(POLICE), second(built, POLICE)
    handling = confidential(built)
    error = refused(
        PolicyError,
        "recipients_refused",
        lambda: alice.send("lost-or-stolen-notice", sample_notice(), [CONTACT], handling=handling),
    )
    assert "above RESTRICTED" in error.facts["problems"][0]["message"]
    data = bob.sign_message_draft(alice.draft_message(notice(handling=handling)))
    assert alice.send_message_draft(data).recipients == (CONTACT,)


def sign_off(draft, *, drop):
    """A draft whose submission lacks one purpose's signature."""
    s = draft.submission
    kept = [one for one in s.document.signatures if one.purpose.name.lower() != drop]
    body = encode_submission(encode_document(s.document.payload, kept), s.rows, s.stanzas, s.content)
    return MessageDraft(parse_submission(body), draft.stanzas)


def test_the_broker_refuses_what_lacks_the_second_signature_with_an_account(built):
    alice, bob = built.client(POLICE), second(built, POLICE)
    four_eyes(built, POLICE)
    data = bob.sign_message_draft(alice.draft_message(notice()))
    stripped = sign_off(parse_message_draft(data), drop="release")
    # A client that does not check: it sends what it has.
    sends_what_it_has(alice)
    size = built.broker.state.size
    error = refused(PolicyError, "release_required", alice.send_message_draft, stripped.encode())
    assert CONTACT in error.message
    [item] = alice.outbox()
    assert item.state == "refused"
    assert item.account is not None
    assert built.broker.state.size == size


def test_a_broker_that_takes_it_without_is_noticed_by_the_recipient(built, monkeypatch):
    alice, reader = built.client(POLICE), built.client(CONTACT)
    four_eyes(built, POLICE)
    data = alice.draft_message(notice())
    sends_what_it_has(alice)
    with monkeypatch.context() as patched:
        patched.setattr("countermark_protocol.decision.why_two_persons", lambda *_: None)
        alice.send_message_draft(data)
    error = refused(InconsistentLogError, "decision_against_rules", lambda: list(reader.inbox()))
    assert error.facts["rule"] == "release_required"


# --- on behalf of another -------------------------------------------------------------------------------


@pytest.fixture
def asked():
    """A request that the point of contact received, whose licensing office is to answer in its name."""
    built = world(POLICE, CONTACT, ANSWERER)
    built.client(POLICE).send("tracing-request", sample_request(), [CONTACT])
    [request] = built.client(CONTACT).inbox()
    request.accept()
    return built, request


def answer(request):
    return Draft(
        type="tracing-acknowledgement",
        content=sample_acknowledgement(request.manifest.id),
        to=[POLICE],
        on_behalf_of=CONTACT,
        reply_to_document=request.document,
    )


def test_an_answer_on_behalf_of_the_point_of_contact(asked):
    built, request = asked
    office, point, police = built.client(ANSWERER), built.client(CONTACT), built.client(POLICE)
    data = office.draft_message(answer(request))
    drafted = point.read_message_draft(data)
    assert drafted.missing == ("behalf",)
    sent = office.send_message_draft(point.sign_message_draft(data))
    [received] = police.inbox()
    assert received.manifest.on_behalf_of == CONTACT
    assert [(s.purpose, s.endpoint) for s in received.signed_by] == [("sign", ANSWERER), ("behalf", CONTACT)]
    # Both signatures are in the log, and who lent its name is told what was sent in it.
    [told] = [n for n in point.notices() if n.sent_for_us is not None]
    assert told.sent_for_us == sent.message
    assert not told.unknown
    assert len(parse_document(received.document).signatures) == 2


def test_nothing_goes_out_in_a_name_whose_owner_has_not_signed(asked):
    built, request = asked
    office = built.client(ANSWERER)
    refused(
        PolicyError, "draft_needed", lambda d: next(office._core.sender._composer.compose(d)), answer(request)
    )
    data = office.draft_message(answer(request))
    refused(PolicyError, "draft_incomplete", office.send_message_draft, data)
    sends_what_it_has(office)
    with pytest.raises(CountermarkError) as caught:
        office.send_message_draft(data)
    assert caught.value.code == "too_few_signatures"


def test_a_name_that_was_used_without_this_profile_is_an_alarm(asked):
    built, request = asked
    office, point = built.client(ANSWERER), built.client(CONTACT)
    data = point.sign_message_draft(office.draft_message(answer(request)))
    office.send_message_draft(data)
    point.profile.store._db.execute("DELETE FROM signed_drafts")
    [told] = [n for n in point.notices() if n.sent_for_us is not None]
    assert told.unknown


def test_the_table_decides_who_may_act_for_whom(asked):
    built, request = asked
    built.enrol(OTHER)
    stranger = dataclasses.replace(answer(request), on_behalf_of=OTHER)
    error = refused(PolicyError, "recipients_refused", built.client(ANSWERER).draft_message, stranger)
    assert error.facts["problems"][0]["code"] == "policy_denied"
