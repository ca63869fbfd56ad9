"""A purged message: what its parties are told and may still prove, and that nothing of it is served any more."""

from dataclasses import replace

import pytest

from countermark_protocol.accounts import Verdict
from countermark_protocol.acts import PurgeGround, parse_purge
from countermark_protocol.answers import parse_accepted
from countermark_protocol.boxes import Box
from countermark_protocol.claims import Kind, Seen
from countermark_protocol.documents import parse_document
from countermark_protocol.receipts import ReceiptStage
from support.database import sql
from support.world import BROKER, BRUSSELS, KAMPALA, LYON, NAIROBI, handling, hash_of, now_ms


@pytest.fixture
def message(world, api):
    api.refresh()
    sealed = world.message(NAIROBI, [KAMPALA, BRUSSELS])
    assert api.post_message(sealed).status_code == 201
    assert api.post_receipt(world.receipt(KAMPALA, [sealed]), KAMPALA).status_code == 201
    return sealed


def purge(world, api, message):
    """The sender withdraws; the purge and its index."""
    data = world.purge(NAIROBI, message)
    answer = api.request("POST", "/v1/acts", data, by=NAIROBI)
    assert answer.status_code == 201, answer.text
    return data, parse_accepted(answer.content).inclusion.index


def ask(api, message, what, by):
    return api.request("GET", f"/v1/messages/{message.payload_hash.hex()}/{what}", by=by)


def refused(api, answer, code, verdict=Verdict.REFUSED):
    problem = api.problem(answer, code)
    account = api.verify_account_of(problem.account, api.last_digest)
    assert account.verdict is verdict
    assert verdict is Verdict.NOT_HELD or account.refusal.rule == code
    return problem, account


def test_parties_are_refused_with_an_account_that_names_the_purge(world, api, message):
    assert ask(api, message, "content", KAMPALA).content == message.content
    _, index = purge(world, api, message)
    for what, by in (
        ("content", NAIROBI),
        ("content", KAMPALA),
        ("stanza", KAMPALA),
        # Whoever has not signed for it is told at once that it need not.
        ("content", BRUSSELS),
        ("stanza", BRUSSELS),
    ):
        answer = ask(api, message, what, by)
        assert answer.status_code == 404
        problem, account = refused(api, answer, "purged")
        assert problem.facts == {"payload_hash": message.payload_hash.hex(), "standing": index}
        # The account's own tree holds what it names.
        assert index < account.seen.size
    # Who is no party to it is told no more than of any other.
    for what in ("content", "stanza", "purge"):
        refused(api, ask(api, message, what, LYON), "not_held", Verdict.NOT_HELD)
    refused(api, ask(api, message, "stanza", NAIROBI), "not_held", Verdict.NOT_HELD)


def test_what_lies_beside_it_in_spite_of_the_purge_is_not_served(world, api, http_broker, message):
    purge(world, api, message)
    found = f"(SELECT entry FROM messages WHERE id = '{message.manifest.id}')"
    sql(
        http_broker.home,
        f"INSERT INTO contents VALUES ({found}, zeroblob(9))",
        f"INSERT INTO stanzas VALUES ({found}, '{KAMPALA}', zeroblob(9))",
    )
    refused(api, ask(api, message, "content", KAMPALA), "purged")
    refused(api, ask(api, message, "stanza", KAMPALA), "purged")
    again = api.post_receipt(world.receipt(BRUSSELS, [message]), BRUSSELS)
    assert parse_accepted(again.content).releases == ()


def test_parties_get_the_purge_with_its_proof(world, api, message):
    refused(api, ask(api, message, "purge", KAMPALA), "not_purged")
    data, index = purge(world, api, message)
    for by in (NAIROBI, KAMPALA, BRUSSELS):
        accepted, leaf = api.verify_accepted(ask(api, message, "purge", by), data)
        assert (accepted.inclusion.index, accepted.document) == (index, data)
        assert leaf.kind == Kind.PURGE
        # Rows are its author's.
        assert (accepted.deliveries is not None) == (by == NAIROBI)
    accepted, _ = api.verify_accepted(ask(api, message, "purge", NAIROBI), data, {(NAIROBI, Box.SENT)})
    assert accepted.releases == ()


def test_a_broker_s_purge_is_in_its_sender_s_notices(world, api):
    api.refresh()
    sealed = world.message(NAIROBI, [KAMPALA], handling=handling(retention_until=now_ms() - 1))
    assert api.post_message(sealed).status_code == 201
    data = world.purge(BROKER, sealed, PurgeGround.RETENTION_ENDED)
    assert api.request("POST", "/v1/acts", data, by=world.node_key).status_code == 201
    entries, _, _ = api.verified_box(NAIROBI, Box.NOTICES)
    assert entries[-1].document == data
    accepted, _ = api.verify_accepted(ask(api, sealed, "purge", NAIROBI), data)
    assert accepted.deliveries is None


def test_receipts_of_a_purged_message_are_proven_and_release_nothing(world, api, message):
    delivered = world.receipt(KAMPALA, [message])
    other = world.message(NAIROBI, [KAMPALA, BRUSSELS])
    api.post_message(other)
    both = world.receipt(BRUSSELS, [message, other])
    purge(world, api, message)
    # A first receipt and its repeat, of one message that is purged and one that is not.
    for status in (201, 200):
        answer = api.post_receipt(both, BRUSSELS)
        assert answer.status_code == status
        accepted, _ = api.verify_accepted(answer, both)
        assert [r.message for r in accepted.releases] == [other.payload_hash]
    looked_up = api.request("GET", f"/v1/statements/{hash_of(both).hex()}", by=BRUSSELS)
    assert [r.message for r in parse_accepted(looked_up.content).releases] == [other.payload_hash]
    # The delivery goes on as any other, and is judged as any other.
    accepted = world.receipt(KAMPALA, [message], ReceiptStage.ACCEPTED)
    assert api.post_receipt(accepted, KAMPALA).status_code == 201
    api.problem(api.post_receipt(delivered, KAMPALA), "receipt_stands")


def test_a_purged_message_sent_again_is_proven_and_not_kept_again(world, api, http_broker, message):
    purge(world, api, message)
    answer = api.post_message(message)
    assert answer.status_code == 200
    api.verify_accepted(answer, message.document)
    index = sql(http_broker.home, "SELECT entry FROM messages")[0][0]
    for table in ("stanzas", "contents"):
        assert not sql(http_broker.home, f"SELECT message FROM {table} WHERE message = {index}")


def test_a_second_purge_is_refused_and_names_the_first(world, api, message):
    first, index = purge(world, api, message)
    assert api.request("POST", "/v1/acts", first, by=NAIROBI).status_code == 200
    checkpoint = api.checkpoint_of(api.request("GET", "/v1/log/checkpoint").content)
    claims = parse_purge(parse_document(first).claims)
    header = replace(claims.header, seen=Seen(checkpoint.size, checkpoint.root))
    second = world.act(NAIROBI, replace(claims, header=header))
    problem = api.problem(api.request("POST", "/v1/acts", second, by=NAIROBI), "already_purged")
    assert problem.facts["standing"] == index
    api.verify_account_of(problem.account, hash_of(second))
