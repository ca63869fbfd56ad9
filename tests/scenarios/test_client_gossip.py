"""What others have seen of the log is compared with what this client has verified of it."""

import pytest

from countermark_client import Settings, testing
from countermark_client._gossip import Gossip, Heard
from countermark_protocol.boxes import Box
from countermark_protocol.checkpoint import parse_checkpoint
from countermark_protocol.claims import Seen
from countermark_protocol.documents import parse_document
from countermark_protocol.encoding import encode_json, parse_object
from countermark_protocol.errors import InconsistentLogError, UncheckableError
from countermark_protocol.identifiers import KeyId

KENYA, BELGIUM, TANZANIA = "ke.police.nairobi", "be.contact.federal", "tz.police.dar"
OTHER_ROOT = b"\x01" * 32


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM, TANZANIA)


@pytest.fixture
def blind(monkeypatch):
    """A broker that takes any `seen`: it serves another log to whoever signed it."""
    monkeypatch.setattr("countermark_protocol.decision._check_seen", lambda *_: None)


def _send(client):
    return client.send("tracing-request", testing.sample_request(), to=[BELGIUM])


def _sees(monkeypatch, client, size, root):
    """Let a client live on another log, of which it has verified this much."""
    seen = property(lambda view: Seen(size, root) if view is client._core.log else real.fget(view))
    real = type(client._core.log).seen
    monkeypatch.setattr(type(client._core.log), "seen", seen)


def _asked(world, path="/v1/log/consistency"):
    return [r.query for r in world.broker.requests if r.path == path]


def test_a_message_whose_sender_is_shown_another_log(world, blind, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    belgium.sync()
    size = world.broker.state.size - 2
    with monkeypatch.context() as patch:
        _sees(patch, kenya, size, OTHER_ROOT)
        _send(kenya)
    with pytest.raises(InconsistentLogError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "seen_fork"
    document, note, proof, path = caught.value.evidence
    assert parse_document(document).claims["seen"] == Seen(size, OTHER_ROOT).to_json()
    assert parse_checkpoint(note).size > size
    assert belgium.profile.evidence[-1].pieces == (document, note, proof, path)
    assert belgium.messages("in") == []  # nothing of the page is kept
    with pytest.raises(UncheckableError) as halted:
        belgium.send("tracing-request", testing.sample_request(), to=[KENYA])
    assert halted.value.code == "halted"


def test_a_receipt_whose_author_is_shown_another_log(world, blind, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    _send(kenya)
    with monkeypatch.context() as patch:
        _sees(patch, belgium, 3, OTHER_ROOT)
        list(belgium.inbox())
    with pytest.raises(InconsistentLogError) as caught:
        kenya.notices()
    assert caught.value.code == "seen_fork"
    assert parse_document(caught.value.evidence[0]).claims["kind"] == "receipt"


def test_an_undelivered_notice_about_another_log(world, blind, monkeypatch):
    kenya = world.client(KENYA)
    _send(kenya)
    world.clock.advance(days=31)
    monkeypatch.setattr(world.broker, "_seen", lambda: Seen(4, OTHER_ROOT))
    world.broker.tick()
    with pytest.raises(InconsistentLogError) as caught:
        kenya.notices()
    assert caught.value.code == "seen_fork"


def test_nothing_has_one_root(world, blind, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    with monkeypatch.context() as patch:
        _sees(patch, kenya, 0, OTHER_ROOT)
        _send(kenya)
    with pytest.raises(InconsistentLogError) as caught:
        list(belgium.inbox())
    assert caught.value.code == "seen_fork"
    assert not _asked(world)


def test_one_request_for_each_signer_of_a_page_and_none_for_what_is_known(world):
    kenya, tanzania, belgium = (world.client(a) for a in (KENYA, TANZANIA, BELGIUM))
    kenya.sync()
    tanzania.sync()
    for _ in range(3):
        _send(kenya)
        tanzania.send("tracing-request", testing.sample_request() | _found("TZ"), to=[BELGIUM])
    belgium.sync()
    world.broker.requests.clear()
    belgium._run(belgium._core.boxes.read_all(Box.ROUTINE))
    before = _asked(world)
    assert len(before) == 2
    largest = [e.document.claims["seen"]["size"] for e in world.broker.entries[-2:]]
    assert sorted(int(q.split("&")[0].removeprefix("from=")) for q in before) == sorted(largest)
    for size in largest:
        assert belgium.profile.store.known_root(size) == world.broker.state.roots[size]


def _found(country):
    return {"recovery": {**testing.sample_request()["recovery"], "place": {"country": country}}}


def test_pages_that_name_known_trees_ask_nothing(world):
    kenya = world.client(KENYA)
    belgium = world.client(BELGIUM, settings=Settings(page_size=1))
    kenya.sync()
    belgium.sync()
    _send(kenya)
    world.broker.requests.clear()
    belgium._run(belgium._core.boxes.read_all(Box.ROUTINE))
    # The sender had seen what the reader has: nothing to ask.
    assert not _asked(world)


def test_two_roots_of_one_size_in_one_page(world):
    belgium = world.client(BELGIUM)
    belgium.sync()
    gossip = Gossip(belgium._core.session, belgium._core.log)
    good = Seen(3, world.broker.state.roots[3])
    heard = [Heard(KeyId(b"k" * 32), s, b"document %d" % s.root[0]) for s in (good, Seen(3, OTHER_ROOT))]
    with pytest.raises(InconsistentLogError) as caught:
        belgium._run(gossip.compare(heard))
    assert caught.value.evidence == (heard[1].document, belgium.checkpoint.raw)


def test_a_path_spoilt_once_convicts_nobody(world):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    kenya.sync()
    world.enrol("tz.police.other")
    world.enrol("tz.police.another")
    belgium.sync()
    _send(kenya)
    seen = world.broker.entries[-1].document.claims["seen"]["size"]
    spoilt = []

    def intercept(request, answer):
        status, headers, body = answer
        if not request.query.startswith(f"from={seen}&") or spoilt:
            return answer
        spoilt.append(request)
        value = parse_object(body)
        value["path"][0] = "00" * 32
        return status, headers, encode_json(value)

    world.broker.intercept = intercept
    assert len(list(belgium.inbox())) == 1
    assert spoilt
    assert belgium.halted is None
