"""The log by tiles: every path of C2SP tlog-tiles, byte for byte, and nothing that is not published."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from countermark_client.audit._tiles import HttpTiles
from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.merkle import leaf_hash, root_of
from countermark_protocol.tile_reader import VerifiedTiles
from countermark_protocol.tiles import (
    TILE_WIDTH,
    Bundle,
    Tile,
    bundles_for_growth,
    encode_bundle,
    encode_tile,
    tiles_for_growth,
)
from support.broker_fixtures import HttpBroker, found, write_home
from support.database import sql
from support.tlog_tiles import root_by_tiles
from support.world import KAMPALA, NAIROBI, World

MESSAGES = 620
FOR_GOOD = "public, max-age=31536000, immutable"


@pytest.fixture(scope="module")
def big_log(real_database, tmp_path_factory):
    """A broker whose log has more than 600 entries, over real HTTP."""
    world, home = World(), tmp_path_factory.mktemp("big") / "home"
    settings = {"database_url": real_database} if real_database else {}
    asyncio.run(found(world, write_home(world, home, **settings)))
    broker = HttpBroker(world, home).start()
    api = broker.client()
    submissions = [world.message(NAIROBI, [KAMPALA]).data for _ in range(MESSAGES)]
    body = b"".join(len(data).to_bytes(4, "big") + data for data in submissions)
    answer = api.request("POST", "/v1/messages/bulk", body)
    assert answer.text.count('"status":201') == MESSAGES, answer.text[:500]
    yield broker
    api.close()
    broker.stop()


@pytest.fixture
def api(big_log):
    client = big_log.client()
    yield client
    client.close()


@pytest.fixture
def leaves(api):
    """All leaves, by the other call that serves them."""
    data = api.request("GET", "/v1/log/leaves?from=0&limit=10000").content
    return [data[i : i + 115] for i in range(0, len(data), 115)]


@pytest.fixture
def publish(big_log, monkeypatch):
    """Let the node know of no more than some size as published."""
    publisher = big_log.broker.node.publisher
    newest = publisher.published

    def set_size(size):
        shown = replace(newest, size=size)

        async def advance():
            return shown

        # Not its own member: the node goes on polling, and a poll under way would set that.
        monkeypatch.setattr(type(publisher), "published", property(lambda _: shown))
        monkeypatch.setattr(publisher, "advance", advance)

    return set_size


def get(api, path):
    return api.request("GET", f"/v1/log/{path}")


def served(api, path):
    answer = get(api, path)
    assert answer.status_code == 200, (path, answer.text)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["cache-control"] == FOR_GOOD
    return answer.content


def refused(api, path, code="tile_not_published", status=404):
    answer = get(api, path)
    problem = api.problem(answer, code)
    assert problem.status == status, path
    assert answer.headers["cache-control"] == "no-store"


def tile_of(leaves, tile):
    """A tile's bytes by the protocol's own definition of it."""
    span = TILE_WIDTH**tile.level
    first = tile.index * TILE_WIDTH * span
    hashes = [leaf_hash(leaf) for leaf in leaves[first : first + tile.width * span]]
    return encode_tile([root_of(hashes[i : i + span]) for i in range(0, len(hashes), span)])


# --- what is served ----------------------------------------------------------------------------------


def test_every_tile_and_bundle_of_the_log(api, leaves):
    size = parse_checkpoint(get(api, "checkpoint").content).size
    assert size == len(leaves) > 600
    tiles, bundles = tiles_for_growth(0, size), bundles_for_growth(0, size)
    assert {t.level for t in tiles} == {0, 1}
    for tile in tiles:
        assert served(api, tile.path()) == tile_of(leaves, tile)
    for bundle in bundles:
        part = leaves[bundle.index * TILE_WIDTH :][: bundle.width]
        assert served(api, bundle.path()) == encode_bundle(part)


def test_the_checkpoint_is_not_to_be_used_from_a_cache_unasked(api):
    answer = get(api, "checkpoint")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"


def test_a_partial_tile_stays_when_it_has_grown(api, leaves):
    """Whoever has an older checkpoint reads the tree of its size."""
    for old in (1, 2, 255, 257, 511, 600):
        for tile in tiles_for_growth(0, old):
            assert served(api, tile.path()) == tile_of(leaves[:old], tile)
        for bundle in bundles_for_growth(0, old):
            part = leaves[:old][bundle.index * TILE_WIDTH :][: bundle.width]
            assert served(api, bundle.path()) == encode_bundle(part)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 512, 600])
def test_nothing_beyond_the_published_size_is_served(api, leaves, publish, size):
    publish(size)
    has = {t.path() for t in tiles_for_growth(0, size)} | {b.path() for b in bundles_for_growth(0, size)}
    for path in has:
        served(api, path)
    # The tree of one leaf more is committed already, and so are wider and later tiles.
    more = {t.path() for t in tiles_for_growth(size, size + 1)}
    more |= {b.path() for b in bundles_for_growth(size, size + 1)}
    more |= {Tile(0, size // 256).path(), Bundle(size // 256).path(), Tile(0, size // 256 + 1, 1).path()}
    more |= {Tile(1, 0, size // 256 + 1).path(), Tile(1, 0).path(), Tile(2, 0, 1).path()}
    for path in more - has:
        refused(api, path)
    assert len(more - has) >= 6


def test_empty_tiles_are_not_served(api, publish):
    publish(512)
    for path in ("tile/0/002", "tile/0/002.p/1", "tile/entries/002.p/1", "tile/2/000.p/1"):
        refused(api, path)


@pytest.mark.parametrize("kind", ["0", "1", "7", "63", "entries"])
@pytest.mark.parametrize("index", ["999", "x001/000", "x009/x223/x372/x036/x854/x775/807"])
def test_huge_numbers_are_told_from_arithmetic_alone(api, kind, index):
    refused(api, f"tile/{kind}/{index}")
    refused(api, f"tile/{kind}/{index}.p/255")


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/000/",
        "tile/0/x000/000",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/1000",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/0/-01",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/X001/000",
        "tile/0/%D9%A0%D9%A0%D9%A0",
        "tile/0/000%0A",
        "tile/0/x009/x223/x372/x036/x854/x775/808",
        "tile/0/x001/x000/x000/x000/x000/x000/x000/000",
        "tile/entries/0",
        "tile/entries/000.p/256",
        "tile/entries/x000/001",
        "tile/entries/",
        "tile/data/000",
        "tile/8/000/x",
        "tile/",
    ],
)
def test_a_path_has_one_spelling(api, path):
    refused(api, path, "bad_tile_path", 400)


def test_damaged_leaves_are_not_handed_out_for_a_year(world, home):
    broker = HttpBroker(world, home).start()
    try:
        client = broker.client()
        size = parse_checkpoint(get(client, "checkpoint").content).size
        served(client, f"tile/entries/000.p/{size}")
        sql(home, "UPDATE entries SET leaf = zeroblob(115) WHERE entry = 3")
        served(client, "tile/entries/000.p/3")
        answer = get(client, f"tile/entries/000.p/{size}")
        assert (answer.status_code, answer.headers["cache-control"]) == (503, "no-store")
        assert broker.broker.node.health.fatal.code == "entry_differs"
        client.close()
    finally:
        broker.stop()


# --- a reader that knows nothing but the text of C2SP tlog-tiles ---------------------------------------


def test_a_reader_made_from_the_specification_alone_gets_the_signed_root(api, leaves):
    size, signed, root, entries = root_by_tiles(lambda path: get(api, path).content)
    assert (size, root) == (len(leaves), signed)
    assert entries == leaves


def test_bundles_are_compressed_for_who_takes_that(big_log, leaves):
    size = len(leaves)
    with httpx.Client(
        base_url=f"http://127.0.0.1:{big_log.port}/v1/log/", trust_env=False, verify=False
    ) as http:
        for path, width in (
            ("tile/entries/000", 256),
            (f"tile/entries/{size // 256:03}.p/{size % 256}", size % 256),
        ):
            first = int(path[13:16]) * 256
            plain = http.get(path, headers={"Accept-Encoding": "gzip;q=0"})
            coded = http.get(path, headers={"Accept-Encoding": "br, gzip"})
            assert "content-encoding" not in plain.headers
            assert coded.headers["content-encoding"] == "gzip"
            assert int(coded.headers["content-length"]) < 0.75 * len(plain.content)
            assert plain.content == coded.content == encode_bundle(leaves[first : first + width])
            for answer in (plain, coded):
                assert answer.headers["vary"] == "Accept-Encoding"
                assert answer.headers["cache-control"] == FOR_GOOD
        assert "content-encoding" not in http.get("tile/0/000", headers={"Accept-Encoding": "gzip"}).headers


def test_the_clients_reader_gets_every_leaf_under_the_signed_root(big_log, api, leaves):
    api.refresh()
    with HttpTiles(f"{api.url}/v1/log") as source:
        checkpoint = api.checkpoint_of(source.checkpoint())
        tiles = VerifiedTiles(source.fetch, checkpoint)
        assert list(tiles.leaves()) == list(enumerate(leaves))
        assert [i for i, _ in tiles.leaves(300)] == list(range(300, len(leaves)))
