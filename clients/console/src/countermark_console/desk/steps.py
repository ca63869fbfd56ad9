"""How the desk's tables came to be, step by step; a step that was released never changes.

The tables as they are now stand in `tables`; a test compares the two.
"""

from __future__ import annotations

from typing import Final

from countermark_console.store.database import POSTGRESQL, SQLITE, Steps

_FIRST: Final = """
CREATE TABLE desk_cases (number {id}, conversation VARCHAR(64) NOT NULL, type VARCHAR(64) NOT NULL,
    direction VARCHAR(3) NOT NULL, country VARCHAR(44) NOT NULL, reference TEXT NOT NULL, headline TEXT NOT
    NULL, status VARCHAR(32) NOT NULL, state VARCHAR(32), task VARCHAR(32), deadline BIGINT, urgent BOOLEAN NOT
    NULL, exercise BOOLEAN NOT NULL, messages INTEGER NOT NULL, opened_at BIGINT NOT NULL, moved_at BIGINT NOT
    NULL, owner VARCHAR(120), closed_at BIGINT, closed_by VARCHAR(120), outcome TEXT, UNIQUE (conversation));
CREATE INDEX desk_cases_deadline ON desk_cases (deadline);
CREATE INDEX desk_cases_moved ON desk_cases (moved_at, number);
CREATE INDEX desk_cases_owner ON desk_cases (owner, moved_at, number);
CREATE INDEX desk_cases_status ON desk_cases (status, moved_at, number);
CREATE TABLE desk_drafts (id VARCHAR(32) NOT NULL, state VARCHAR(16) NOT NULL, revision INTEGER NOT NULL,
    type VARCHAR(64) NOT NULL, version INTEGER NOT NULL, author VARCHAR(120) NOT NULL, hands TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL, form TEXT NOT NULL, terms TEXT NOT NULL, submitted_by VARCHAR(120), submitted_at
    BIGINT, signed {bytes}, returned TEXT, message VARCHAR(64), released_by VARCHAR(120), PRIMARY KEY (id));
CREATE INDEX desk_drafts_state ON desk_drafts (state, changed_at);
CREATE TABLE desk_messages (number {id}, hash VARCHAR(64) NOT NULL, direction VARCHAR(3) NOT NULL, type
    VARCHAR(64) NOT NULL, version INTEGER NOT NULL, id VARCHAR(36) NOT NULL, sender VARCHAR(120) NOT NULL,
    recipients TEXT NOT NULL, country VARCHAR(44) NOT NULL, conversation VARCHAR(64) NOT NULL, in_reply_to
    VARCHAR(64), supersedes VARCHAR(64), log_index BIGINT NOT NULL, log_time BIGINT NOT NULL, urgent BOOLEAN NOT
    NULL, exercise BOOLEAN NOT NULL, stage VARCHAR(16) NOT NULL, reference TEXT NOT NULL, headline TEXT NOT
    NULL, manifest TEXT NOT NULL, content TEXT, facts TEXT NOT NULL, receipts TEXT NOT NULL, witnessed_at
    BIGINT, read_at BIGINT, read_by VARCHAR(120), UNIQUE (hash, direction));
CREATE INDEX desk_messages_conversation ON desk_messages (conversation, log_index, number);
CREATE INDEX desk_messages_country ON desk_messages (direction, country, log_index, number);
CREATE INDEX desk_messages_direction ON desk_messages (direction, log_index, number);
CREATE INDEX desk_messages_open ON desk_messages (log_index, number) WHERE stage = 'delivered' AND direction
    = 'in';
CREATE INDEX desk_messages_order ON desk_messages (log_index, number);
CREATE INDEX desk_messages_type ON desk_messages (direction, type, log_index, number);
CREATE INDEX desk_messages_unread ON desk_messages (log_index, number) WHERE read_at IS NULL AND direction =
    'in';
CREATE INDEX desk_messages_unwitnessed ON desk_messages (log_index) WHERE witnessed_at IS NULL;
CREATE INDEX desk_messages_urgent ON desk_messages (log_index, number) WHERE urgent;
CREATE TABLE desk_notes (number {id}, conversation VARCHAR(64) NOT NULL, at BIGINT NOT NULL, person
    VARCHAR(120) NOT NULL, text TEXT NOT NULL);
CREATE INDEX ix_desk_notes_conversation ON desk_notes (conversation);
CREATE TABLE desk_photographs (id VARCHAR(32) NOT NULL, draft VARCHAR(32) NOT NULL, position INTEGER NOT
    NULL, name VARCHAR(120) NOT NULL, caption TEXT NOT NULL, media_type VARCHAR(64) NOT NULL, width INTEGER NOT
    NULL, height INTEGER NOT NULL, sha256 VARCHAR(64) NOT NULL, data {bytes} NOT NULL, thumbnail {bytes} NOT NULL,
    item INTEGER, PRIMARY KEY (id));
CREATE INDEX ix_desk_photographs_draft ON desk_photographs (draft);
CREATE TABLE desk_terms (source VARCHAR(16) NOT NULL, folded VARCHAR(200) NOT NULL, text VARCHAR(200) NOT
    NULL, PRIMARY KEY (source, folded));
CREATE TABLE desk_told (hash VARCHAR(64) NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (hash));
CREATE TABLE desk_views (number {id}, person VARCHAR(120) NOT NULL, name VARCHAR(120) NOT NULL, query TEXT
    NOT NULL, UNIQUE (person, name));
CREATE INDEX ix_desk_views_person ON desk_views (person)
"""

#: The index of words, in the way that each database does it best.
_SEARCH: Final = (
    (SQLITE, "CREATE VIRTUAL TABLE desk_search USING fts5(words, content='', tokenize='unicode61')"),
    (POSTGRESQL, "CREATE TABLE desk_search (number BIGINT PRIMARY KEY, words TSVECTOR NOT NULL)"),
    (POSTGRESQL, "CREATE INDEX desk_search_words ON desk_search USING gin (words)"),
)

STEPS: Final = Steps("desk", ((*_FIRST.strip().split(";\n"), *_SEARCH),))
