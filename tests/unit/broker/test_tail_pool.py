"""What recipients kept of a message with attachments, when its sender has lost its own."""

from dataclasses import dataclass

import pytest

from countermark_broker.errors import FatalError
from countermark_broker.log.tails import entry_record
from countermark_broker.services.checking import check_enclosed
from countermark_broker.services.tail_pool import Pool
from countermark_protocol.hand_back import KeptEntry, TailRecord
from support.protocol_world import make_world
from support.world import BRUSSELS, KAMPALA, NAIROBI, ORIGIN

WORLD = make_world()
SEALED = WORLD.send(NAIROBI, [KAMPALA, BRUSSELS], files={"a": b"a", "b": bytes(5_000_000)})
ENTRY = WORLD.entries[-1]
RECORD = entry_record(
    TailRecord(ENTRY.index, ENTRY.leaf.encode(), SEALED.document, ENTRY.secret, SEALED.rows)
)
FIRST, SECOND = (one.file.pieces for one in SEALED.attached)


@dataclass
class Kept:
    """A hand-back of one recipient."""

    name: str
    pieces: tuple

    def statement(self, _index):
        return None

    def copies(self, _index):
        number = [row.endpoint for row in SEALED.rows].index(self.name)
        yield KeptEntry(
            ENTRY.index,
            ENTRY.leaf.encode(),
            SEALED.document,
            None,
            (SEALED.rows[number],),
            (SEALED.stanzas[number],),
            SEALED.content,
            self.pieces,
        )


def enclosed(*kept):
    return Pool(ORIGIN, kept, (), None).enclosed(RECORD)


@pytest.mark.parametrize(
    ("one", "other", "lists"),
    [
        ((FIRST, SECOND), (), (FIRST, SECOND)),
        ((), (FIRST, SECOND), (FIRST, SECOND)),
        ((FIRST, ()), ((), SECOND), (FIRST, SECOND)),
        ((FIRST, ()), (), (FIRST, ())),
        ((), (), ()),
    ],
)
def test_what_one_recipient_lacks_another_may_have(one, other, lists):
    found = enclosed(Kept(KAMPALA, one), Kept(BRUSSELS, other))
    assert (found.stanzas, found.content, found.pieces) == (SEALED.stanzas, SEALED.content, lists)
    missing = {finding.code for finding in check_enclosed(RECORD, found)}
    assert missing == ({"attachment_missing"} if lists != (FIRST, SECOND) else set())


def test_another_list_than_was_signed_is_refused():
    altered = (bytes([FIRST[0][0] ^ 1]) + FIRST[0][1:],)
    with pytest.raises(FatalError, match="attachment 0"):
        enclosed(Kept(KAMPALA, (altered, SECOND)))
