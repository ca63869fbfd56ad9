"""What witnesses and mirrors say of a log counts by the log's own signature; what they say wrongly is told, not believed."""

import asyncio
import gzip

import httpx
import pytest

from countermark_broker.config import load_settings
from countermark_broker.errors import FatalError
from countermark_broker.parts import build_parts
from countermark_broker.services.elsewhere import Elsewhere, ask_elsewhere
from countermark_protocol.leaf import LEAF_BYTES
from countermark_protocol.mandates import Witness
from countermark_protocol.merkle import Frontier, leaf_hash
from countermark_protocol.tlog_witness import monitoring_path
from support.broker_fixtures import HttpBroker, keyring
from support.world import KAMPALA, NAIROBI

MIRROR = "https://mirror.example/mirror/x"
WITNESS = Witness("east", ("unused",), "https://witness.example/w")


class Others:
    """A mirror and a witness that show the log itself, spoilt where a test wants it."""

    def __init__(self, url):
        self._log = httpx.Client(base_url=f"{url}/v1/log/", trust_env=False, verify=False)
        self.spoil = lambda _path, answer: answer
        self.asked = []

    def __call__(self, request):
        self.asked.append(request.url.path)
        path = request.url.path.removeprefix("/mirror/x/")
        path = "checkpoint" if path.endswith("checkpoint") else path
        answer = self._log.get(path, headers={"Accept-Encoding": "identity"})
        data = httpx.Response(answer.status_code, stream=httpx.ByteStream(answer.content))
        return self.spoil(path, data)

    def close(self):
        self._log.close()


@pytest.fixture
def running(world, home):
    broker = HttpBroker(world, home).start()
    api = broker.client()
    for _ in range(3):
        assert api.post_message(world.message(NAIROBI, [KAMPALA])).status_code == 201
    leaves = api.request("GET", "/v1/log/leaves?from=0&limit=1000").content
    others = Others(f"http://127.0.0.1:{broker.port}")
    yield broker.broker.node, [leaves[i : i + LEAF_BYTES] for i in range(0, len(leaves), LEAF_BYTES)], others
    others.close()
    api.close()
    broker.stop()


def root_of(leaves):
    """Root of the first of them."""
    return lambda size: Frontier().extend([leaf_hash(leaf) for leaf in leaves[:size]]).root()


def elsewhere(node, others):
    return Elsewhere(node, node.holder.current, httpx.MockTransport(others))


def body(data):
    return httpx.Response(200, stream=httpx.ByteStream(data))


def test_leaves_of_a_mirror_from_an_index_on(running):
    node, leaves, others = running
    heard, read = elsewhere(node, others).mirror(MIRROR, 4, root_of(leaves))
    assert (heard.source, heard.checkpoint.size, heard.problem) == (f"mirror {MIRROR}", len(leaves), "")
    assert [read.leaf(i) for i in range(len(leaves))] == [None] * 4 + leaves[4:]
    assert read.leaf(len(leaves)) is None
    # Of one that holds no more than the database, none.
    _, read = elsewhere(node, others).mirror(MIRROR, len(leaves) + 7, root_of(leaves))
    assert [read.leaf(i) for i in range(len(leaves) + 8)] == [None] * (len(leaves) + 8)


def test_a_witness_is_asked_for_what_it_cosigned(running):
    node, leaves, others = running
    log = node.holder.current.log()
    object.__setattr__(log, "witnesses", (WITNESS, Witness("silent", ("unused",))))
    try:
        asked = ask_elsewhere(
            node, node.holder.current, (MIRROR, MIRROR), 4, root_of(leaves), httpx.MockTransport(others)
        )
    finally:
        object.__setattr__(log, "witnesses", ())
    assert [(h.source, h.checkpoint.size) for h in asked.heard] == [
        ("witness east", len(leaves)),
        (f"mirror {MIRROR}", len(leaves)),
    ]
    assert others.asked[0] == f"/w{monitoring_path(node.origin)}"
    assert len(asked.leaves) == 1


def flip(data):
    spoilt = bytearray(data)
    spoilt[-2] ^= 1
    return bytes(spoilt)


def flipped(answer):
    return body(flip(b"".join(answer.stream)))


#: Path, what becomes of its answer, whether the checkpoint stands all the same, and what is told.
SPOILT = (
    ("checkpoint", lambda _a: httpx.Response(404), False, "tile_not_served"),
    ("checkpoint", lambda _a: httpx.Response(500), False, "elsewhere_answer"),
    ("checkpoint", lambda _a: body(b"x" * 1_000_001), False, "elsewhere_answer"),
    ("checkpoint", lambda _a: body(b"no checkpoint"), False, "note_unsigned"),
    ("checkpoint", flipped, False, "["),
    (
        "tile/entries",
        lambda a: httpx.Response(
            200,
            stream=httpx.ByteStream(gzip.compress(b"".join(a.stream))),
            headers={"Content-Encoding": "gzip"},
        ),
        True,
        "elsewhere_answer",
    ),
    ("tile/entries", flipped, True, "tile_mismatch"),
    ("tile/0/", flipped, True, "tile_mismatch"),
    ("tile/entries", lambda _a: httpx.Response(410), True, "tile_not_served"),
)


def test_what_a_mirror_says_wrongly_is_told(running):
    node, leaves, others = running
    for spoilt, change, stands, says in SPOILT:
        others.spoil = lambda path, answer, at=spoilt, to=change: (
            to(answer) if path.startswith(at) else answer
        )
        heard, read = elsewhere(node, others).mirror(MIRROR, 4, root_of(leaves))
        assert read is None
        assert says in heard.problem
        # The log signed its checkpoint, whatever its leaves are.
        assert (heard.checkpoint is not None) is stands


def test_a_mirror_that_is_away(running):
    node, leaves, _ = running

    def away(request):
        raise httpx.ConnectError("no", request=request)

    heard, read = elsewhere(node, away).mirror(MIRROR, 4, root_of(leaves))
    assert (heard.checkpoint, read) == (None, None)
    assert heard.problem == "it does not answer (ConnectError) [elsewhere_away]"


def test_a_mirror_of_another_history_is_a_fork(running):
    node, leaves, others = running
    another = [*leaves[:2], flip(leaves[2]), *leaves[3:]]
    with pytest.raises(FatalError) as caught:
        elsewhere(node, others).mirror(MIRROR, 4, root_of(another))
    assert caught.value.code == "tail_of_fork"
    assert (
        f"of size {len(leaves)}, whose first 4 leaves are not those of this database" in caught.value.message
    )


def test_a_log_key_that_only_this_node_holds_counts(world, home, running):
    """What is lost may have named it: the directory at hand does not know it yet."""
    _, leaves, others = running
    node = build_parts(load_settings(home, {}), keyring(world)).node

    class Older:
        @staticmethod
        def log_key_for(_size):
            return world.node_key.public_key

    heard = Elsewhere(node, Older(), httpx.MockTransport(others)).mirror(MIRROR, 0, root_of(leaves))[0]
    assert heard.checkpoint.size == len(leaves)
    node.verifier.close()
    asyncio.run(node.database.close())
