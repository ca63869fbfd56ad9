"""Who is next at the sequencer: urgent and receipts first, nobody starved."""

from countermark_broker.log.waiting import WaitingQueue, goes_first
from countermark_protocol.documents import parse_document
from countermark_protocol.manifest import Urgency
from countermark_protocol.statements import read_statement
from countermark_protocol.submission import parse_submission
from support.world import KAMPALA, NAIROBI, World


class Verified:
    """Enough of a verified document to read a statement from."""

    def __init__(self, unverified):
        self.claims, self.payload_hash = unverified.claims, unverified.payload_hash


def statement_of_message(world, urgency):
    submission = parse_submission(world.message(NAIROBI, [KAMPALA], urgency=urgency).data)
    return read_statement(Verified(submission.document), submission.rows)


def test_what_goes_first():
    world = World()
    first = {urgency: goes_first(statement_of_message(world, urgency)) for urgency in Urgency}
    assert first == {
        Urgency.ROUTINE: False,
        Urgency.PRIORITY: False,
        Urgency.URGENT: True,
        Urgency.FLASH: True,
    }
    receipt = world.receipt(KAMPALA, [world.message(NAIROBI, [KAMPALA])])
    assert goes_first(read_statement(Verified(parse_document(receipt))))
    assert goes_first(read_statement(Verified(parse_document(world.endpoint_statement(NAIROBI)))))


def test_first_ones_pass_and_others_get_a_quarter():
    queue = WaitingQueue()
    for n in range(100):
        queue.put(("other", n))
    for n in range(100):
        queue.put(("first", n), first=True)
    taken = [queue.take() for _ in range(100)]
    assert taken[:4] == [("first", 0), ("first", 1), ("first", 2), ("other", 0)]
    assert sum(kind == "other" for kind, _ in taken) == 25
    rest = [queue.take() for _ in range(len(queue))]
    for kind in ("first", "other"):
        assert [n for k, n in taken + rest if k == kind] == list(range(100))


def test_patience_is_kept_across_arrivals():
    """A stream of first ones that never ends does not starve the other that waits."""
    queue = WaitingQueue()
    queue.put("other")
    taken = []
    for n in range(8):
        queue.put(n, first=True)
        taken.append(queue.take())
    assert taken == [0, 1, 2, "other", 3, 4, 5, 6]


def test_groups_are_bounded_by_number_and_weight():
    queue = WaitingQueue()
    for weight in (5, 5, 5, 100, 1):
        queue.put(weight)
    assert queue.take_group(2, int, 100) == [5, 5]
    assert queue.take_group(10, int, 20) == [5]
    # One that is heavier than a group may be stands alone.
    assert queue.take_group(10, int, 20) == [100]
    assert queue.take_group(10, int, 20) == [1]
    assert queue.take_group(10, int, 20) == []


def test_peek_is_what_take_takes():
    queue = WaitingQueue()
    for n in range(30):
        queue.put(n, first=n % 3 > 0)
    while len(queue):
        assert queue.peek() == queue.take()


def test_newest_is_what_is_dropped():
    queue = WaitingQueue()
    for n in range(4):
        queue.put(n, first=n % 2 > 0)
    assert queue.going_first == 2
    assert [(queue.newest(), queue.drop_newest()) for _ in range(4)] == [(2, 2), (0, 0), (3, 3), (1, 1)]
