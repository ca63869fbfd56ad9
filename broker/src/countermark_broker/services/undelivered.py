"""The heartbeat, and the notice that a message was not collected in time.

The notice is a statement like any other: the decision function checks that the message is expired, its grace
over and no notice logged, so there is exactly one on any number of nodes. What only the broker can know, that
it was itself away, is the heartbeat's part: it delays, and never decides. Away is whoever could not have taken a
receipt: a node that runs, but may not append or cannot publish, does not beat.

Source: design section 6; docs/spec/log.md §6.
"""

from __future__ import annotations

import asyncio
import logging

from countermark_broker.clock import check_clock
from countermark_broker.errors import FatalError
from countermark_broker.log.appender import Appended, Submitted
from countermark_broker.services.node import Node
from countermark_broker.store.engine import Connection, database_now
from countermark_broker.store.heartbeat import beat, read_beat
from countermark_broker.store.nodes import say_here
from countermark_broker.store.reading import Due, read_due
from countermark_broker.store.writing import NOTHING
from countermark_protocol.claims import Header, Kind, Seen
from countermark_protocol.documents import parse_document, sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import CountermarkError
from countermark_protocol.receipts import Undelivered
from countermark_protocol.statements import read_statement, verify_statement

_log = logging.getLogger(__name__)


async def beat_once(node: Node) -> None:
    """Say that this node is there and could take a receipt at this moment.

    Raises:
        UnavailableError: it could not: a fatal state, its clock, the checkpoint store, the database.
        FatalError: database and checkpoint store contradict each other.
    """
    node.health.check_appends()
    await node.publisher.advance()

    def change(connection: Connection) -> None:
        check_clock(node.clock, database_now(connection), node.settings.clock_difference_ms)
        say_here(connection, beat(connection, node.settings.heartbeat_gap_ms).last)
        node.faults.reach("before_beat_commit")

    await node.database.write(change)
    node.faults.reach("after_beat_commit")


async def notify_once(node: Node) -> int:
    """Log the notices that are due, up to one batch; how many."""
    directory = node.holder.current
    grace = directory.log().undelivered_grace
    below = node.publisher.published.size

    def look(connection: Connection) -> list[Due]:
        now, last = database_now(connection), read_beat(connection)
        away = last is None or not 0 <= now - last.last <= node.settings.heartbeat_gap_ms
        if last is None or away or now < last.gap_end + grace:
            # The broker itself is or was away: recipients get their grace from its return.
            return []
        return read_due(connection, now - grace, node.settings.undelivered_batch, below)

    due = await node.database.read(look)
    outcomes = await asyncio.gather(*(_notify(node, one) for one in due))
    return sum(outcomes)


async def _notify(node: Node, due: Due) -> bool:
    published, directory = node.publisher.published, node.holder.current
    broker = directory.log().broker
    notice = Undelivered(
        header=Header(Kind.UNDELIVERED, node.origin, Seen(published.size, published.root)),
        author=broker,
        sender=due.sender,
        message=due.payload_hash,
        recipient=due.recipient,
    )
    document = parse_document(sign_document(encode_json(notice.to_json()), [node.node_key]))
    statement = read_statement(verify_statement(directory, document))
    # A refusal means that a receipt or another node's notice came first: then there is nothing to say.
    outcome = await node.sequencer.submit(Submitted(statement, NOTHING))
    if isinstance(outcome, Appended):
        node.metrics.undelivered.inc()
        return True
    return False


async def keep_watch(node: Node) -> None:
    """Beat and notify until this node stops for good; a failure is logged and tried again at the next beat."""
    while node.health.fatal is None and not node.health.stopping:
        try:
            await beat_once(node)
            while await notify_once(node) >= node.settings.undelivered_batch:
                # A long list must not look like an absence.
                await beat_once(node)
        except FatalError as error:
            node.health.fail(error)
            return
        except CountermarkError as error:
            _log.warning("heartbeat: %s", error)
        except Exception:  # noqa: BLE001  one unforeseen failure must not end heartbeat and notices for good
            _log.exception("a defect in the watch")
        await asyncio.sleep(node.settings.heartbeat_ms / 1000)
