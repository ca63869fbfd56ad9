"""Accounts, the broker's signed negative answers: their signature, and what they state of every box."""

from __future__ import annotations

from countermark_protocol.accounts import Account, verify_account
from countermark_protocol.boxes import Box
from countermark_protocol.documents import parse_document, verify_document
from countermark_protocol.errors import CountermarkError
from countermark_protocol.identifiers import Address
from fault.finallog import Log
from fault.findings import Findings, Wrong
from fault.history import Call


def check_account(log: Log, call: Call, data: bytes, request: bytes, found: Findings) -> Account | None:
    """An account's signature, caller, request, checkpoint and the state of each box that it states."""
    try:
        document = verify_document(parse_document(data), log.directory.public_key)
        account = verify_account(document, log.directory, request)
    except CountermarkError as error:
        found.add(Wrong.ACCOUNT, f"{call.name}: its account does not verify: {error}")
        return None
    if account.seen.size > log.size or log.roots[account.seen.size] != account.seen.root:
        found.add(Wrong.CHECKPOINT, f"{call.name}: its account names a tree that is not this log's")
        return account
    caller = call.by if call.by is not None else _author(call)
    if account.caller != caller or {(b.endpoint, b.box) for b in account.boxes} != {
        (caller, box) for box in Box
    }:
        found.add(Wrong.ACCOUNT, f"{call.name}: its account is not to {caller} about its four boxes")
    for stated in account.boxes:
        true = log.state_below(stated.endpoint, stated.box, account.seen.size)
        if stated.state != true:
            found.add(
                Wrong.ACCOUNT,
                f"{call.name}: box '{stated.box}' of {stated.endpoint} is stated with {stated.state.count} entries "
                f"below size {account.seen.size}; it has {true.count}, or others",
            )
    return account


def _author(call: Call) -> Address:
    size = int.from_bytes(call.body[1:5], "big")
    claims = parse_document(call.body[5 : 5 + size]).claims
    return Address(str(claims["from"]))
