"""The heartbeat, and the notice that a message was not collected in time.

The notice is a statement like any other: the decision function checks that the message is expired, its grace
over and no notice logged, so there is exactly one on any number of nodes. What only the broker can know, that
it was itself away, is the heartbeat's part: it delays, and never decides.

Source: design section 6; docs/spec/log.md §6.
"""

from __future__ import annotations

import asyncio
import logging

from countermark_broker.errors import FatalError
from countermark_broker.log.appender import Appended, Submitted
from countermark_broker.services.node import Node
from countermark_broker.store.engine import database_now
from countermark_broker.store.heartbeat import beat, read_beat
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
    """Say that this node is there."""
    async with node.database.write() as connection:
        await beat(connection, node.settings.heartbeat_gap_ms)


async def notify_once(node: Node) -> int:
    """Log the notices that are due, up to one batch; how many."""
    directory = node.holder.current
    grace = directory.log().undelivered_grace
    async with node.database.read() as connection:
        now, last = await database_now(connection), await read_beat(connection)
        away = last is None or not 0 <= now - last.last <= node.settings.heartbeat_gap_ms
        if last is None or away or now < last.gap_end + grace:
            # The broker itself is or was away: recipients get their grace from its return.
            return 0
        below = node.publisher.published.size
        due = await read_due(connection, now - grace, node.settings.undelivered_batch, below)
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
    """Beat and notify until cancelled; a failure is logged and tried again at the next beat."""
    while True:
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
