"""Full-text search over what was opened, the same on both databases.

Texts are cut into words here, not by the database: letters and digits, without capitals and accents. A word that is
searched finds those that begin with it; a text with other signs in it (``AB-123``) finds these words one after another.

Source: SQLite FTS5; PostgreSQL 12, 8.11 (tsvector, tsquery).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Connection, bindparam, column, text

from countermark_console.desk.tables import messages

#: Letters and digits of all scripts; an underscore is none.
_WORDS: Final = re.compile(r"[^\W_]+")
#: PostgreSQL keeps positions up to this number, and words up to 2 kB.
_MOST_POSITIONS: Final = 16_383
_LONGEST: Final = 200
#: Words of a query that are looked at.
_MOST_ASKED: Final = 20


def words_of(said: str) -> list[str]:
    """The words of a text, as they are compared."""
    plain = unicodedata.normalize("NFKD", said.casefold())
    kept = "".join(c for c in plain if not unicodedata.combining(c))
    return [word[:_LONGEST] for word in _WORDS.findall(kept)]


def texts_in(value: Any) -> Iterator[str]:
    """Every text of a content document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bool):
        return
    elif isinstance(value, int):
        yield str(value)
    elif isinstance(value, dict):
        for one in value.values():
            yield from texts_in(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts_in(one)


def index_words(connection: Connection, number: int, texts: Iterable[str]) -> None:
    """Index a new message; in the transaction that stores it, so that one is never there without the other."""
    words: list[str] = []
    for said in texts:
        words += words_of(said)
    if connection.dialect.name == "sqlite":
        connection.execute(
            text("INSERT INTO desk_search (rowid, words) VALUES (:number, :words)"),
            {"number": number, "words": " ".join(words)},
        )
        return
    places: dict[str, list[int]] = {}
    for place, word in enumerate(words[: _MOST_POSITIONS - 1], 1):
        places.setdefault(word, []).append(place)
    vector = " ".join(f"'{word}':{','.join(map(str, at[:255]))}" for word, at in places.items())
    connection.execute(
        text("INSERT INTO desk_search (number, words) VALUES (:number, CAST(:words AS tsvector))"),
        {"number": number, "words": vector},
    )


def finds(dialect: str, asked: str) -> ColumnElement[bool] | None:
    """The condition that a message holds all that is asked for; None if no word is.

    Args:
        dialect: of the database.
        asked: as typed: words, parts of serials, texts in quotation marks.
    """
    groups = [words_of(quoted or plain) for quoted, plain in re.findall(r'"([^"]+)"|(\S+)', asked)]
    groups = [group for group in groups if group][:_MOST_ASKED]
    if not groups:
        return None
    if dialect == "sqlite":
        query = " AND ".join('"' + " ".join(group) + '" *' for group in groups)
        found = text("SELECT rowid FROM desk_search WHERE desk_search MATCH :asked")
    else:
        query = " & ".join(
            "(" + " <-> ".join([*(f"'{w}'" for w in group[:-1]), f"'{group[-1]}':*"]) + ")"
            for group in groups
        )
        found = text("SELECT number FROM desk_search WHERE words @@ CAST(:asked AS tsquery)")
    return messages.c.number.in_(
        found.bindparams(bindparam("asked", query)).columns(column("number", BigInteger))
    )
