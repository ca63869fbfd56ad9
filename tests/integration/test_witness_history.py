"""The series of witnessed checkpoints over HTTP: the oldest that bounds an entry, and all of them by pages."""

import httpx
import pytest

from countermark_broker.services import witnessing
from countermark_broker.store.cosigned import CosignedRow, write_cosigned
from countermark_protocol.encoding import parse_object
from countermark_protocol.witness_history import parse_witness_history
from support.broker_fixtures import AUTHORITY

SERIES = [(100, 4), (101, 4), (103, 9), (200, 12)]


@pytest.fixture
async def served(broker):
    for minute, size in SERIES:
        await broker.node.database.write(write_cosigned, CosignedRow(minute, size, note(minute)))
    transport = httpx.ASGITransport(app=broker.api)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{AUTHORITY}") as client:
        yield client


def note(minute):
    return b"note of minute %d\n" % minute


async def get(served, query):
    return await served.get(f"/v1/log/witnessed{query}")


async def page(served, query):
    answer = await get(served, f"/history{query}")
    assert answer.status_code == 200, answer.text
    parsed = parse_witness_history(answer.content)
    assert all(item.checkpoint == note(item.minute) for item in parsed.items)
    return [item.minute for item in parsed.items], parsed.complete


async def test_the_oldest_that_holds_an_entry(served):
    for size, minute in ((0, 100), (4, 100), (5, 103), (9, 103), (10, 200), (12, 200)):
        answer = await get(served, f"?size={size}")
        assert answer.content == note(minute)
        assert answer.headers["cache-control"] == "no-cache"
    assert (await get(served, "")).content == note(200)


async def test_a_tree_that_nobody_cosigned(served):
    answer = await get(served, "?size=13")
    assert (answer.status_code, parse_object(answer.content)["code"]) == (404, "not_witnessed")
    assert (await get(served, "?size=-1")).status_code == 400


async def test_the_series_by_pages(served):
    assert await page(served, "") == ([100, 101, 103, 200], True)
    assert await page(served, "?limit=2") == ([100, 101], False)
    assert await page(served, "?from=102&limit=2") == ([103, 200], False)
    assert await page(served, "?from=201") == ([], True)


@pytest.mark.parametrize("query", ["?limit=0", "?limit=201", "?from=-1", "?from=x"])
async def test_bounds_of_a_page(served, query):
    assert (await get(served, f"/history{query}")).status_code == 400


async def test_large_notes_make_small_pages(served, monkeypatch):
    monkeypatch.setattr(witnessing, "_PAGE_BYTES", 2 * len(note(100)))
    assert await page(served, "") == ([100, 101], False)
    monkeypatch.setattr(witnessing, "_PAGE_BYTES", 1)
    assert await page(served, "?from=200") == ([200], True)
