"""Accounts are true below the size they name, whatever is logged while they are made."""

import asyncio

import pytest

from countermark_broker.log.appender import Refused
from countermark_broker.services import accounts, release, statements
from countermark_broker.services.accept import accept_message, accept_receipt
from countermark_broker.services.accounts import NegativeAnswer
from countermark_broker.services.node import Caller
from countermark_broker.services.release import read_ciphertext, read_stanza
from countermark_broker.services.statements import read_statement_of
from countermark_protocol.accounts import Verdict, parse_account
from countermark_protocol.documents import parse_document
from countermark_protocol.errors import PolicyError
from support.world import BRUSSELS, KAMPALA, NAIROBI, hash_of

REQUEST = bytes(32)


def stated(negative):
    return parse_account(parse_document(negative.account).claims)


def slip_in(monkeypatch, module, name, happening):
    """Let something be logged right after a service has looked into the database."""
    real, loop = getattr(module, name), asyncio.get_running_loop()

    def looked(*arguments):
        out = real(*arguments)
        monkeypatch.setattr(module, name, real)
        asyncio.run_coroutine_threadsafe(happening(), loop).result(60)
        return out

    monkeypatch.setattr(module, name, looked)


@pytest.mark.parametrize("read", [read_stanza, read_ciphertext])
async def test_not_held_is_not_said_of_a_size_that_holds_it(world, broker, monkeypatch, read):
    sealed = world.message(NAIROBI, [KAMPALA])
    size = broker.node.publisher.published.size
    slip_in(monkeypatch, release, "load_message", lambda: accept_message(broker.node, sealed.data))
    with pytest.raises(NegativeAnswer) as caught:
        await read(broker.node, Caller(KAMPALA, REQUEST), sealed.payload_hash)
    account = stated(caught.value)
    assert account.verdict is Verdict.NOT_HELD
    assert account.seen.size <= size < broker.node.publisher.published.size


async def test_not_held_of_a_statement_likewise(world, broker, monkeypatch):
    sealed = world.message(NAIROBI, [KAMPALA])
    size = broker.node.publisher.published.size
    slip_in(monkeypatch, statements, "read_entry", lambda: accept_message(broker.node, sealed.data))
    with pytest.raises(NegativeAnswer) as caught:
        await read_statement_of(broker.node, Caller(NAIROBI, REQUEST), sealed.payload_hash)
    assert stated(caught.value).seen.size <= size


async def test_not_delivered_is_not_said_of_a_size_that_has_the_receipt(world, broker, monkeypatch):
    node, caller = broker.node, Caller(KAMPALA, REQUEST)
    sealed = world.message(NAIROBI, [KAMPALA])
    await accept_message(node, sealed.data)
    size = node.publisher.published.size
    receipt = world.receipt(KAMPALA, [sealed])
    slip_in(monkeypatch, release, "load_message", lambda: accept_receipt(node, receipt, caller))
    with pytest.raises(NegativeAnswer) as caught:
        await read_stanza(node, caller, sealed.payload_hash)
    account = stated(caught.value)
    assert account.refusal.rule == "not_delivered"
    assert account.seen.size == account.refusal.decided_size == size


async def test_a_payload_logged_meanwhile_is_proven_and_not_refused(world, broker, monkeypatch):
    """Two copies in flight: one was refused, the other accepted before the first was answered."""
    node = broker.node
    sealed = world.message(NAIROBI, [KAMPALA])
    size = node.publisher.published.size
    submit, find = node.sequencer.submit, []

    async def refuse_after(item):
        await submit(item)
        find.append(item)
        return Refused(PolicyError("policy_denied", "no rule"), 1, size)

    monkeypatch.setattr(type(node.sequencer), "submit", lambda _self, item: refuse_after(item))
    answer = await accept_message(node, sealed.data)
    assert find
    assert answer.accepted.inclusion.index == size


async def test_no_refusal_is_signed_over_a_payload_that_is_logged(world, broker):
    """Whoever brings another's logged receipt is refused; the account must not deny the receipt itself."""
    node = broker.node
    sealed = world.message(NAIROBI, [KAMPALA, BRUSSELS])
    await accept_message(node, sealed.data)
    receipt = world.receipt(KAMPALA, [sealed])
    await accept_receipt(node, receipt, Caller(KAMPALA, REQUEST))
    with pytest.raises(NegativeAnswer) as caught:
        await accept_receipt(node, receipt, Caller(BRUSSELS, REQUEST))
    account = stated(caught.value)
    assert account.refusal.rule == "not_author"
    assert account.request == REQUEST
    assert account.request != hash_of(receipt)
    assert accounts.Verdict.REFUSED is account.verdict
