"""Tables of people and of the agency's log, and the steps that make them. Times are ms since 1970."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, MetaData, String, Table, Text

from countermark_console.store.database import Steps

metadata: Final = MetaData()

people: Final = Table(
    "people",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("full_name", String(200), nullable=False),
    Column("email", String(254), nullable=False),
    Column("roles", String(200), nullable=False),
    Column("active", Boolean, nullable=False),
    Column("password", String(200)),
    Column("external", String(500), unique=True),
    Column("totp", LargeBinary),
    Column("totp_step", BigInteger, nullable=False),
    Column("language", String(10), nullable=False),
    Column("theme", String(10), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("last_seen", BigInteger),
)

recovery_codes: Final = Table(
    "recovery_codes",
    metadata,
    Column("person", Integer, primary_key=True),
    Column("hash", LargeBinary, primary_key=True),
    Column("used", BigInteger),
)

sessions: Final = Table(
    "sessions",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("person", Integer, nullable=False),
    Column("stage", String(20), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("seen", BigInteger, nullable=False),
    Column("source", String(60), nullable=False),
    Column("notice", Text, nullable=False),
)

attempts: Final = Table(
    "attempts",
    metadata,
    Column("subject", LargeBinary, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last", BigInteger, nullable=False),
)

agency_log: Final = Table(
    "agency_log",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("who", String(80), nullable=False),
    Column("what", String(80), nullable=False),
    Column("object", String(300), nullable=False),
    Column("detail", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

facts: Final = Table(
    "facts",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("value", Text, nullable=False),
)

_FIRST: Final = """
CREATE TABLE people (
    id {id}, name VARCHAR(80) NOT NULL UNIQUE, full_name VARCHAR(200) NOT NULL, email VARCHAR(254) NOT NULL,
    roles VARCHAR(200) NOT NULL, active BOOLEAN NOT NULL, password VARCHAR(200), external VARCHAR(500) UNIQUE,
    totp {bytes}, totp_step BIGINT NOT NULL, language VARCHAR(10) NOT NULL, theme VARCHAR(10) NOT NULL,
    created BIGINT NOT NULL, last_seen BIGINT
);
CREATE TABLE recovery_codes (
    person BIGINT NOT NULL REFERENCES people (id), hash {bytes} NOT NULL, used BIGINT, PRIMARY KEY (person, hash)
);
CREATE TABLE sessions (
    hash {bytes} NOT NULL PRIMARY KEY, person BIGINT NOT NULL REFERENCES people (id), stage VARCHAR(20) NOT NULL,
    created BIGINT NOT NULL, seen BIGINT NOT NULL, source VARCHAR(60) NOT NULL, notice TEXT NOT NULL
);
CREATE INDEX sessions_person ON sessions (person);
CREATE TABLE attempts (subject {bytes} NOT NULL PRIMARY KEY, failures INTEGER NOT NULL, last BIGINT NOT NULL);
CREATE TABLE agency_log (
    number BIGINT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, who VARCHAR(80) NOT NULL, what VARCHAR(80) NOT NULL,
    object VARCHAR(300) NOT NULL, detail TEXT NOT NULL, hash {bytes} NOT NULL
);
CREATE TABLE facts (name VARCHAR(80) NOT NULL PRIMARY KEY, value TEXT NOT NULL)
"""

STEPS: Final = Steps("console", (tuple(_FIRST.split(";\n")),))
