"""Statements: signed documents by what they say."""

import pytest

from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.documents import parse_document, sign_document, verify_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import CountermarkError, MalformedError, SignatureError
from countermark_protocol.merkle import EMPTY_ROOT
from countermark_protocol.statements import (
    DirectoryChange,
    MessageStatement,
    ReceiptStatement,
    UndeliveredStatement,
    header_of,
    kind_of,
    read_statement,
    verify_statement,
)
from support.protocol_world import make_world
from support.world import KAMPALA, LYON, NAIROBI, ORIGIN, signer

WORLD = make_world()
MESSAGE = WORLD.compose(NAIROBI, [KAMPALA, LYON])
OTHER = WORLD.compose(NAIROBI, [KAMPALA, LYON])
HEADER = Header(Kind.MESSAGE, ORIGIN, Seen(0, EMPTY_ROOT))


def refused(error, code, function, *args):
    with pytest.raises(CountermarkError) as caught:
        function(*args)
    assert (type(caught.value), caught.value.code) == (error, code), caught.value


def payload(**changes):
    return HEADER.to_json() | changes


def test_each_kind_is_read_as_itself():
    receipt = WORLD.receipt(KAMPALA, [MESSAGE])
    notice = WORLD.undelivered(MESSAGE, KAMPALA)
    change = WORLD.authority_statement("ke")
    for data, rows, shape, kind in [
        (MESSAGE.document, MESSAGE.rows, MessageStatement, Kind.MESSAGE),
        (receipt, (), ReceiptStatement, Kind.RECEIPT),
        (notice, (), UndeliveredStatement, Kind.UNDELIVERED),
        (change, (), DirectoryChange, Kind.AUTHORITY),
    ]:
        statement = read_statement(WORLD.verify(data), rows)
        assert isinstance(statement, shape)
        assert header_of(statement).kind is kind
        assert header_of(statement).log == ORIGIN
        assert kind_of(statement.document.claims) is kind


@pytest.mark.parametrize("kind", ["account", "", None, 9, ["message"]])
def test_what_is_no_statement(kind):
    refused(MalformedError, "unknown_kind", kind_of, payload(kind=kind))
    refused(MalformedError, "missing_member", kind_of, {})


def test_rows_belong_to_their_message():
    document = WORLD.verify(MESSAGE.document)
    code = "recipients_root_mismatch"
    refused(MalformedError, code, read_statement, document, ())
    refused(MalformedError, code, read_statement, document, MESSAGE.rows[:1])
    refused(MalformedError, code, read_statement, document, OTHER.rows)
    refused(MalformedError, "rows_order", read_statement, document, MESSAGE.rows[::-1])
    refused(
        MalformedError, code, read_statement, WORLD.verify(WORLD.receipt(KAMPALA, [MESSAGE])), MESSAGE.rows
    )
    refused(MalformedError, code, read_statement, WORLD.verify(WORLD.authority_statement("ke")), MESSAGE.rows)


def test_new_keys_come_from_directory_statements_alone():
    # A message cannot bring its own key along.
    stranger = signer("stranger")
    claims = parse_document(MESSAGE.document).claims | {"key": stranger.public_key.to_json()}
    data = sign_document(encode_json(claims), [stranger])
    refused(SignatureError, "unknown_key", WORLD.verify, data)
    # A directory statement can, and that proves nothing of its standing.
    admitted = WORLD.authority_statement("fr")
    assert verify_statement(WORLD.state.directory, parse_document(admitted)).data == admitted


def test_malformed_directory_statements_are_refused_before_their_signatures():
    claims = parse_document(WORLD.authority_statement("ke")).claims | {"subject": "authority/"}
    data = sign_document(encode_json(claims), [signer("stranger")])
    refused(MalformedError, "bad_member", WORLD.verify, data)


def test_one_kind_passed_for_another():
    # A message's manifest with the word 'receipt' in it, and the other way round.
    for data, kind in ((MESSAGE.document, "receipt"), (WORLD.receipt(KAMPALA, [MESSAGE]), "message")):
        claims = parse_document(data).claims | {"kind": kind}
        forged = sign_document(encode_json(claims), [WORLD.agencies[KAMPALA].instance])
        document = verify_document(parse_document(forged), WORLD.state.directory.public_key)
        with pytest.raises(MalformedError):
            read_statement(document, MESSAGE.rows if kind == "message" else ())
