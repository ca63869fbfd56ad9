"""Arrays in PostgreSQL's binary form: what psycopg makes of the same lists, and what the server reads from them."""

import psycopg
import pytest
from psycopg.pq import Format
from psycopg.types.numeric import Int2, Int4, Int8

from countermark_broker.store.arrays import encode_array

COLUMNS = [
    ("int2", [Int2(1), Int2(-(2**15)), Int2(2**15 - 1)]),
    ("int4", [Int4(0), Int4(-(2**31)), Int4(2**31 - 1)]),
    ("int8", [Int8(7), Int8(-(2**63)), Int8(2**63 - 1)]),
    ("int8", [Int8(7), None]),
    ("bytea", [b"", b"\x00\xff", b"x" * 70_000]),
    ("bytea", [None, b"x"]),
    ("text", ["ke.border.busia", "", "Zürich"]),
    ("text", ["x", None]),
]


@pytest.mark.parametrize(("kind", "values"), COLUMNS)
def test_the_form_is_psycopgs(kind, values):
    dumper = psycopg.adapters.get_dumper(list, psycopg.adapt.PyFormat.BINARY)
    made = dumper(list, psycopg.adapt.Transformer())
    expected = made.upgrade(values, psycopg.adapt.PyFormat.BINARY).dump(values)
    assert made.format is Format.BINARY
    assert encode_array(kind, values).data == bytes(expected)


@pytest.mark.parametrize(("kind", "values"), COLUMNS)
def test_the_server_reads_it(postgres_server, kind, values):
    with psycopg.connect(host=str(postgres_server.directory), user="postgres", dbname="postgres") as raw:
        statement = f"SELECT unnest(%b::{kind}[])".encode()
        rows = raw.cursor(binary=True).execute(statement, [encode_array(kind, values)]).fetchall()
    assert [row[0] for row in rows] == values


@pytest.mark.parametrize(
    ("kind", "value"), [("int2", 2**15), ("int4", -(2**31) - 1), ("int8", 2**63), ("text", "\ud800")]
)
def test_what_does_not_fit_is_an_error_that_the_store_knows(kind, value):
    with pytest.raises((OverflowError, UnicodeError)):
        encode_array(kind, [value])
