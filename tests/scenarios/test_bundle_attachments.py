"""Files in bundles: out with their message, back piece by piece over as many round trips as needed."""

import dataclasses
import io
import os

import pytest

from countermark_client import Attach, _bundle_carrier, _bundle_post, testing
from countermark_client._bundle_files import bytes_out
from countermark_protocol import bundle as bundles
from countermark_protocol.attachments import PIECE_BYTES
from countermark_protocol.documents import sign_document
from countermark_protocol.encoding import encode_json
from countermark_protocol.errors import CountermarkError, MalformedError, TransportError
from scenarios.test_client_bundles import BELGIUM, KENYA, Post

#: Three pieces.
FILM = os.urandom(2 * PIECE_BYTES + 1000)
NOTE = b"left side"


@pytest.fixture
def post():
    return Post()


def read(client, message, number=0):
    out = io.BytesIO()
    client.fetch_attachment(message, number, out)
    return out.getvalue()


def written(post, *files):
    """A message that waits at the post without a line."""
    with pytest.raises(TransportError):
        post.hill.send("tracing-request", testing.sample_request(), to=[BELGIUM], attachments=files)
    return post.hill.outbox()[-1].payload


def test_files_go_out_with_their_message(post, monkeypatch):
    film = written(post, Attach(FILM, name="film.bin"), Attach(NOTE, name="note"))
    small = written(post, Attach(NOTE, name="note"))
    plain = post.write()
    # Where one bundle does not hold all of it, what has no files goes first, and a message goes whole or not at all.
    first, last = map(post.hill_profile.store.outbox_item, (film, plain))
    monkeypatch.setattr(_bundle_post, "MAX_BUNDLE_BYTES", bytes_out(first) + len(last.body) + 1000)
    out = post.hill.export_bundle()
    assert (out.messages, out.left, out.by_line) == (2, 1, 0)
    targets = [item.target.split("/")[2] for item in bundles.parse_bundle(out.data).items]
    assert targets == ["messages"] + ["pieces"] * 4 + ["messages"]
    assert NOTE not in out.data
    took = post.hill.import_bundle(post.town.carry_bundle(out.data).data)
    assert (took.logged, took.refused) == (2, 0)
    assert post.round().logged == 1
    received = {one.message: one for one in post.belgium.inbox()}
    assert set(received) == {film, small, plain}
    assert read(post.belgium, received[film]) == FILM
    assert read(post.belgium, received[small]) == NOTE


def test_what_no_bundle_holds_is_told_and_keeps_nothing_back(post, monkeypatch):
    film, lost, small = (written(post, Attach(data, name="f")) for data in (FILM, NOTE, NOTE))
    [digest] = _pieces(post, lost)
    post.hill_profile.pieces.remove([digest])
    monkeypatch.setattr(_bundle_post, "MAX_BUNDLE_BYTES", PIECE_BYTES)
    out = post.hill.export_bundle()
    assert (out.messages, out.left, out.by_line) == (1, 0, 2)
    took = post.hill.import_bundle(post.town.carry_bundle(out.data).data)
    assert took.logged == 1
    assert [m.message for m in post.belgium.inbox()] == [small]
    waiting = [item.payload for item in post.hill.outbox() if item.state == "waiting"]
    assert waiting == [film, lost]


def _pieces(post, payload):
    store = post.hill_profile.store
    return [row[0] for row in store._db.execute("SELECT digest FROM pieces WHERE payload = ?", (payload,))]


def test_a_broker_that_does_not_take_the_files_now_gets_all_of_it_again(post, monkeypatch):
    message = written(post, Attach(NOTE, name="note"))
    out = post.hill.export_bundle()
    with monkeypatch.context() as patched:
        patched.setattr(_bundle_carrier, "upload", _refused)
        back = post.town.carry_bundle(out.data)
    assert back.not_taken == ("no room",)
    took = post.hill.import_bundle(back.data)
    assert (took.logged, took.refused) == (0, 0)
    assert [(i.payload, i.state) for i in post.hill.outbox()] == [(message, "waiting")]
    post.world.clock.advance(minutes=1)
    assert post.round().logged == 1
    [received] = post.belgium.inbox()
    assert read(post.belgium, received) == NOTE


def _refused(*_):
    return "no room"
    yield


def test_received_files_come_back_over_several_round_trips(post, monkeypatch):
    sent = post.belgium.send(
        "lost-or-stolen-notice",
        testing.sample_notice(),
        to=[KENYA],
        attachments=[Attach(FILM, name="film.bin"), Attach(NOTE, name="note")],
    )
    # Room for one piece a bundle.
    monkeypatch.setattr(_bundle_carrier, "MAX_BUNDLE_BYTES", _bundle_carrier._ROOM + PIECE_BYTES + 100_000)
    carried = []
    for _ in range(3):
        out = post.hill.export_bundle()
        back = post.town.carry_bundle(out.data)
        took = post.hill.import_bundle(back.data)
        carried.append((out.files, back.pieces, back.files_left, took.files))
    # The first piece with the content; then what is lacking, and nothing twice.
    assert carried == [(0, 1, 2, 0), (2, 1, 2, 0), (2, 2, 0, 2)]
    [received] = post.hill.inbox()
    assert received.message == sent.message
    assert [a.held for a in received.attachments] == [True, True]
    assert (read(post.hill, received), read(post.hill, received, 1)) == (FILM, NOTE)
    assert post.hill.export_bundle().files == 0


def test_pieces_that_are_none_or_of_nothing_are_refused_before_anything_is_posted(post):
    written(post, Attach(NOTE, name="note"))
    out = bundles.parse_bundle(post.hill.export_bundle().data)
    piece, message = out.items
    size = post.world.broker.state.size
    for items, code in (
        ([dataclasses.replace(piece, body=piece.body[:-1]), message], "piece_mismatch"),
        ([piece], "bundle_foreign_item"),
        ([dataclasses.replace(piece, target="/v1/pieces/missing"), message], "bundle_target"),
        (
            [dataclasses.replace(piece, target="/v1/messages/" + "0" * 64 + "/attachments/0")],
            "bad_digest_list",
        ),
    ):
        framed = bundles.encode_items(items)
        manifest = dataclasses.replace(
            out.manifest, items=len(items), size=len(framed), digest=bundles.items_digest(framed)
        )
        signer = post.hill_profile.keystore.signer("instance")
        data = bundles.encode_bundle(sign_document(encode_json(manifest.to_json()), [signer]), framed)
        with pytest.raises(CountermarkError) as caught:
            post.town.carry_bundle(data)
        assert (type(caught.value), caught.value.code) == (MalformedError, code)
    assert post.world.broker.state.size == size
