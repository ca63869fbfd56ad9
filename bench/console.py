"""How long officials wait for their first page with 100,000 messages in the console's store; prints JSON.

    python bench/console.py --messages 100000
    python bench/console.py --messages 100000 --database postgresql+psycopg://…

Pages are asked for in the process that serves them, signed in, as a browser asks: the median of several, after one
that fills caches. Aim: the inbox, a search and the cases each under one second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from sqlalchemy import text

from countermark_client import testing
from countermark_console.config import Settings
from countermark_console.console import Console
from countermark_console.desk.entries import received_entry
from countermark_console.network import Network
from countermark_console.people.roles import Role
from support.console import PASSWORD, Browser, Clock

_TYPES = ("tracing-request", "lost-or-stolen-notice")
_MAKES = ("FN", "GLOCK", "BERETTA", "TAURUS", "ZASTAVA", "NORINCO", "CESKA ZBROJOVKA", "SMITH AND WESSON")


#: What `Cases.follow` would write, one by one, while they come.
_CASES = """
INSERT INTO desk_cases (conversation, type, direction, country, reference, headline, status, deadline, urgent, exercise,
    messages, opened_at, moved_at)
SELECT conversation, type, direction, country, reference, headline,
    CASE type WHEN 'tracing-request' THEN 'waiting_for_us' ELSE 'notice' END, log_time + 2592000000, urgent, exercise,
    1, log_time, log_time FROM desk_messages
"""


def entries(count: int):
    """Messages that differ as real ones do: cases, serials, makes, senders."""
    world = testing.world("ke.police.nairobi", "be.contact.federal")
    kenya, belgium = world.client("ke.police.nairobi"), world.client("be.contact.federal")
    kenya.send(_TYPES[0], testing.sample_request(), to=["be.contact.federal"])
    kenya.send(_TYPES[1], testing.sample_notice(), to=["be.contact.federal"])
    known = [received_entry(one) for one in belgium.inbox()]
    for number in range(count):
        model = known[number % len(known)]
        content = json.loads(json.dumps(model.content))
        content["nationalCaseRef"] = f"NBI/{2016 + number % 10}/{number:06d}"
        item = content["items"][0]
        item["make"] = {"text": _MAKES[number % len(_MAKES)]}
        item["calibre"] = {"text": "9x19"}
        item["marks"] = [
            {
                "kind": "SERIAL",
                "component": "FRAME",
                "text": f"T {number * 7919 % 10_000_000:07d}",
                "status": "LEGIBLE",
            }
        ]
        item.pop("noMarksReason", None)
        name = number.to_bytes(32, "big").hex()
        yield replace(
            model, hash=name, content=content, log_index=number, log_time=model.log_time + number * 1000
        )


def fill(console: Console, count: int) -> float:
    """Store the messages and their cases; seconds."""
    began = time.perf_counter()
    batch = []
    for entry in entries(count):
        batch.append(entry)
        if len(batch) == 1000:
            console.desk.shelf.add(batch)
            batch.clear()
    console.desk.shelf.add(batch)
    with console.database.write() as connection:
        connection.execute(text(_CASES))
    return time.perf_counter() - began


def measure(browser: Browser, path: str, times: int = 7) -> dict[str, float]:
    """Milliseconds of a page: the first, and the median of those after it."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        answer = browser.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        taken.append((time.perf_counter() - began) * 1000)
    return {"first_ms": round(taken[0], 1), "median_ms": round(statistics.median(taken[1:]), 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--database", default="")
    parser.add_argument("--home", help="keep the store in this directory, or use the one that is there")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.home or temporary
        clock = Clock()
        settings = Settings(home=Path(folder), database_url=asked.database)
        console = Console.open(settings, clock, Network())
        filled = fill(console, asked.messages) if console.desk.shelf.newest() == 0 else 0.0
        console.people.add("console", "otto", "Otto Official", {Role.DRAFTS}, password=PASSWORD)
        browser = Browser(console, clock)
        browser.sign_in("otto")
        last = console.desk.shelf.page(limit=50)
        far = f"{asked.messages // 2}.{asked.messages // 2}"
        pages = {
            "inbox": "/inbox",
            "inbox_of_a_type": "/inbox?type=lost-or-stolen-notice&only=unread",
            "page_in_the_middle": f"/inbox?after={far}",
            "search_of_a_serial": f"/inbox?text=T+{(asked.messages // 3) * 7919 % 10_000_000:07d}",
            "search_of_a_word_in_all": "/inbox?text=pistol",
            "cases": "/cases",
            "first_page": "/",
            "what_came": "/live/inbox?seen=0",
            "message": f"/messages/{last.messages[0].hash}",
        }
        result = {
            "messages": asked.messages,
            "database": console.database.dialect,
            "fill_s": round(filled, 1),
            "pages": {name: measure(browser, path) for name, path in pages.items()},
        }
        console.close()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
