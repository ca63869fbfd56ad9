"""Columns of rows in PostgreSQL's binary form of an array: parameters, which a server has before it begins.

Rows sent by COPY would be read within the statement, and while a server waits for them none of its time-outs
holds: a node that is frozen there would keep the head's lock for ever. psycopg makes the same from lists, slower.

Source: https://www.postgresql.org/docs/18/protocol-overview.html#PROTOCOL-FORMAT-CODES; ``array_recv`` in
PostgreSQL's src/backend/utils/adt/arrayfuncs.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import psycopg
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

#: Bytes of an integer.
_WIDTHS: Final = {"int2": 2, "int4": 4, "int8": 8}
_NULL: Final = b"\xff\xff\xff\xff"


class Array:
    """A parameter, encoded.

    Args:
        data: the array's binary form.
    """

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class _ArrayDumper(Dumper):
    format = Format.BINARY
    # Unknown: the cast beside the parameter says it.
    oid = 0

    def dump(self, obj: Array) -> Buffer:
        return obj.data


psycopg.adapters.register_dumper(Array, _ArrayDumper)


def encode_array(kind: str, values: Sequence[Any]) -> Array:
    """One column.

    Args:
        kind: ``int2``, ``int4``, ``int8``, ``bytea`` or ``text``.
        values: at least one; None for NULL.

    Raises:
        OverflowError: an integer does not fit.
        UnicodeError: a text has no UTF-8 form.
    """
    # Dimensions, whether there are NULLs, type; then length and lowest index of the one dimension.
    header = (1, int(None in values), psycopg.adapters.types[kind].oid, len(values), 1)
    parts = [_int4(number) for number in header]
    width = _WIDTHS.get(kind)
    if width is not None:
        length = _int4(width)
        parts += [_NULL if v is None else length + v.to_bytes(width, "big", signed=True) for v in values]
    else:
        parts += _with_lengths(v.encode() if isinstance(v, str) else v for v in values)
    return Array(b"".join(parts))


def _with_lengths(values: Iterable[bytes | None]) -> Iterable[bytes]:
    for value in values:
        if value is None:
            yield _NULL
        else:
            yield _int4(len(value))
            yield value


def _int4(number: int) -> bytes:
    return number.to_bytes(4, "big")
