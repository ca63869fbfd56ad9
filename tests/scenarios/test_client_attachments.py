"""Files that go with messages, between clients of a broker in memory: sent, fetched, broken off, lied about."""

import asyncio
import io
import os

import pytest

from countermark_client import Attach, Draft, Settings, testing
from countermark_client._images import strip_image
from countermark_protocol.attachments import PIECE_BYTES
from countermark_protocol.errors import (
    ConflictError,
    CountermarkError,
    NotFoundError,
    SealError,
    TransportError,
)
from unit.client.test_images import SECRETS, _saved

KENYA, BELGIUM, TANZANIA = "ke.police.nairobi", "be.contact.federal", "tz.contact.dar"
#: Two pieces.
REPORT = os.urandom(PIECE_BYTES + 100_000)


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM, TANZANIA)


@pytest.fixture
def kenya(world):
    return world.client(KENYA)


@pytest.fixture
def belgium(world):
    return world.client(BELGIUM)


def _send(client, *attachments, to=(BELGIUM,), **more):
    return client.send(
        "tracing-request", testing.sample_request(), to=list(to), attachments=attachments, **more
    )


def _calls(world, part):
    return [(r.method, r.path) for r in world.broker.requests if part in r.path]


def _sealed(world, sent):
    [pieces] = world.broker._submissions[sent.message].pieces
    return [world.broker._pieces[digest] for digest in pieces]


# --- the way there and back -----------------------------------------------------------------------------


def test_files_arrive_as_they_were_sent_and_pictures_without_what_they_tell(world, kenya, belgium, tmp_path):
    picture = _saved("image/jpeg", 6)
    assert any(secret in picture for secret in SECRETS)
    (tmp_path / "left side.jpg").write_bytes(picture)
    sent = _send(
        kenya,
        Attach(tmp_path / "left side.jpg", caption="left side, serial"),
        Attach(REPORT, name="report.bin"),
        Attach(io.BytesIO(b"row;1\n"), name="report.bin", media_type="text/csv"),
    )
    [received] = belgium.inbox()
    photo, report, table = received.attachments
    assert (photo.name, photo.caption, photo.media_type) == (
        "left side.jpg",
        "left side, serial",
        "image/jpeg",
    )
    assert (photo.thumbnail.width, photo.thumbnail.height) == (32, 64)
    assert (report.size, table.media_type, report.held) == (len(REPORT), "text/csv", False)
    box = tmp_path / "box"
    box.mkdir()
    fetched = belgium.fetch_attachments(received, box)
    assert [one.path.name for one in fetched] == ["left side.jpg", "report.bin", "report (2).bin"]
    assert sorted(os.listdir(box)) == ["left side.jpg", "report (2).bin", "report.bin"]
    assert all(one.attachment.held for one in fetched)
    assert (box / "report.bin").read_bytes() == REPORT
    assert (box / "report.bin").stat().st_mode & 0o777 == 0o600
    seen = (box / "left side.jpg").read_bytes()
    assert seen == strip_image(io.BytesIO(picture), "image/jpeg")[0]
    assert not any(secret in seen for secret in SECRETS)
    # The sender opens its own, out of its own pieces.
    asked = len(world.broker.requests)
    out = io.BytesIO()
    kenya.fetch_attachment(sent, 1, out)
    assert out.getvalue() == REPORT
    assert not [r for r in world.broker.requests[asked:] if "pieces" in r.path]
    assert [a.name for m in kenya.messages() for a in m.attachments] == [
        "left side.jpg",
        "report.bin",
        "report.bin",
    ]


def test_equal_files_give_unrelated_ciphertexts(world, kenya):
    first, second = [_send(kenya, Attach(REPORT, name="a")) for _ in range(2)]
    one, two = _sealed(world, first), _sealed(world, second)
    assert [len(p) for p in one] == [len(p) for p in two]
    assert not set(one) & set(two)
    assert REPORT[:16] not in b"".join(one)


def test_from_an_event_loop(world, tmp_path):
    async def play():
        kenya, belgium = world.async_client(KENYA), world.async_client(BELGIUM)
        prepared = await kenya.prepare_attachment(Attach(REPORT, name="a"))
        await kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM], attachments=[prepared])
        received = await anext(belgium.inbox())
        await belgium.hold_attachment(received, 0)
        return await belgium.fetch_attachment(received, 0, tmp_path)

    fetched = asyncio.run(play())
    assert fetched.path.read_bytes() == REPORT


# --- broken lines ---------------------------------------------------------------------------------------


def test_an_upload_goes_on_where_it_broke_off(world, belgium):
    kenya = world.client(KENYA, settings=Settings(attempts=1))
    kenya.sync()
    world.transport.cut = ["", "", "before"]  # what is missing, the first piece; then the line is cut
    with pytest.raises(TransportError):
        _send(kenya, Attach(REPORT, name="a"))
    [item] = kenya.outbox()
    assert (item.state, item.tries) == ("waiting", 0)
    before = len(_calls(world, "/v1/pieces/"))
    seen = []
    kenya.watch.transferred = lambda t: seen.append((t.direction, t.done, t.total))
    assert len(kenya.flush().logged) == 1
    assert [m for m, _ in _calls(world, "/v1/pieces/")[before:]] == ["POST", "PUT"]
    assert seen == [("up", n * PIECE_BYTES, 2 * PIECE_BYTES) for n in (1, 2)]
    assert len(list(belgium.inbox())) == 1


def test_what_the_broker_has_forgotten_is_uploaded_again(world, belgium):
    kenya = world.client(KENYA, settings=Settings(attempts=1))
    kenya.sync()
    world.transport.cut = ["", "", "", "before"]  # all pieces are up, the message is not
    with pytest.raises(TransportError):
        _send(kenya, Attach(REPORT, name="a"))
    assert world.broker.drop_unclaimed() == 2
    forgetful = iter([True])

    def forget(request, answer):
        # Once more, between the last piece and the message.
        if request.path == "/v1/pieces/missing" and next(forgetful, False):
            world.broker.drop_unclaimed()
            return answer[0], answer[1], b""
        return answer

    world.broker.intercept = forget
    kenya = world.client(kenya.profile)
    assert len(kenya.flush().logged) == 1
    [received] = belgium.inbox()
    assert received.attachments[0].size == len(REPORT)


def test_a_broker_that_always_lacks_pieces_is_taken_for_one_that_is_away(world, kenya):
    def lack(request, answer):
        if request.path != "/v1/messages":
            return answer
        return world.broker._problem(409, ConflictError("pieces_missing", "upload them"))

    world.broker.intercept = lack
    with pytest.raises(TransportError) as caught:
        _send(kenya, Attach(b"x", name="a"))
    assert caught.value.code == "broker_unavailable"
    assert "pieces_missing" in caught.value.message
    assert kenya.outbox()[0].state == "waiting"
    world.broker.intercept = None
    assert len(kenya.flush().logged) == 1


def test_a_download_goes_on_where_it_broke_off(world, kenya, tmp_path):
    belgium = world.client(BELGIUM, settings=Settings(attempts=1))
    _send(kenya, Attach(REPORT, name="a"))
    [received] = belgium.inbox()
    world.transport.cut = ["", "", 1_000]  # the list, the first piece, and a part of the second
    with pytest.raises(TransportError):
        belgium.fetch_attachment(received, 0, tmp_path)
    assert os.listdir(tmp_path) == []
    before = len(_calls(world, "/attachments/"))
    assert belgium.fetch_attachment(received, 0, tmp_path).path.read_bytes() == REPORT
    assert [p[-8:] for _, p in _calls(world, "/attachments/")[before:]] == ["pieces/1"]


def test_receipts_and_small_messages_do_not_wait_for_an_upload(world, kenya, belgium):
    belgium.send("lost-or-stolen-notice", testing.sample_notice(), to=[KENYA])
    kenya.sync()
    world.broker.offline = True
    impatient = world.client(kenya.profile, settings=Settings(attempts=1))
    for attachments in ([Attach(REPORT, name="a")], []):
        with pytest.raises(TransportError):
            _send(impatient, *attachments)
    world.broker.offline = False
    asked = len(world.broker.requests)
    small = _send(kenya)
    assert not _calls_after(world, asked, "/v1/pieces")  # what waits without attachments went, and this went
    assert [i.state for i in kenya.outbox()] == ["waiting", "logged", "logged"]
    [received] = kenya.inbox()  # all that waits goes, receipts before the upload
    received.accept()
    assert {i.state for i in kenya.outbox()} == {"logged"}
    assert small.index < kenya.outbox()[0].index


def _calls_after(world, count, part):
    return [r.path for r in world.broker.requests[count:] if part in r.path]


# --- a broker that lies ---------------------------------------------------------------------------------


def _swap(pieces):
    return lambda body, path: pieces[1] if path.endswith("/0") else body


LIES = {
    "swapped": ("piece_swapped", lambda own, other: lambda body, path: other[0]),
    "reordered": (
        "piece_swapped",
        lambda own, other: lambda body, path: own[1 - int(path[-1])] if path[-1] in "01" else body,
    ),
    "truncated": ("piece_swapped", lambda own, other: lambda body, path: body[:-1]),
    "altered": ("piece_swapped", lambda own, other: lambda body, path: body[:-1] + bytes([body[-1] ^ 1])),
    "empty": ("piece_swapped", lambda own, other: lambda body, path: b""),
}


@pytest.mark.parametrize("to", ["path", "object"])
@pytest.mark.parametrize(("code", "lie"), LIES.values(), ids=LIES)
def test_no_byte_of_a_lie_reaches_the_reader(world, kenya, belgium, tmp_path, code, lie, to):
    sent, other = _send(kenya, Attach(REPORT, name="a")), _send(kenya, Attach(REPORT, name="a"))
    received = next(m for m in belgium.inbox() if m.message == sent.message)
    change = lie(_sealed(world, sent), _sealed(world, other))

    def intercept(request, answer):
        status, headers, body = answer
        return (status, headers, change(body, request.path)) if "/pieces/" in request.path else answer

    world.broker.intercept = intercept
    out = io.BytesIO()
    with pytest.raises(SealError) as caught:
        belgium.fetch_attachment(received, 0, tmp_path if to == "path" else out)
    assert caught.value.code == code
    assert out.getvalue() == b""
    assert os.listdir(tmp_path) == []
    world.broker.intercept = None  # the twin: an honest one is believed, after all that
    belgium.fetch_attachment(received, 0, tmp_path if to == "path" else out)
    assert ((tmp_path / "a").read_bytes() if to == "path" else out.getvalue()) == REPORT


@pytest.mark.parametrize(
    "change",
    [
        lambda own, other: b"".join(other),
        lambda own, other: b"".join(reversed(own)),
        lambda own, other: b"".join(own[:-1]),
        lambda own, other: b"".join([*own, own[0]]),
        lambda own, other: b"".join(own)[:-1],
        lambda own, other: b"",
    ],
    ids=["of another message", "reordered", "truncated", "too many", "cut", "none"],
)
def test_a_list_of_other_pieces_is_refused_before_one_is_asked_for(world, kenya, belgium, tmp_path, change):
    sent, other = _send(kenya, Attach(REPORT, name="a")), _send(kenya, Attach(REPORT, name="a"))
    received = next(m for m in belgium.inbox() if m.message == sent.message)
    lists = [world.broker._submissions[m.message].pieces[0] for m in (sent, other)]

    def intercept(request, answer):
        if request.path.endswith("/attachments/0"):
            return answer[0], answer[1], change(*lists)
        return answer

    world.broker.intercept = intercept
    with pytest.raises(SealError) as caught:
        belgium.fetch_attachment(received, 0, tmp_path)
    assert caught.value.code == "attachment_swapped"
    assert not _calls(world, f"/v1/messages/{sent.message.hex()}/attachments/0/pieces/")
    assert os.listdir(tmp_path) == []
    world.broker.intercept = None
    assert belgium.fetch_attachment(received, 0, tmp_path).path.read_bytes() == REPORT


def test_a_withheld_piece_is_an_error_with_a_signed_account_or_none_at_all(world, kenya, belgium, tmp_path):
    _send(kenya, Attach(REPORT, name="a"))
    [received] = belgium.inbox()

    def withhold(request, answer):
        if "/pieces/" not in request.path:
            return answer
        return world.broker._problem(404, NotFoundError("not_held", "no such piece"))

    world.broker.intercept = withhold
    with pytest.raises(CountermarkError) as caught:
        belgium.fetch_attachment(received, 0, tmp_path)
    assert caught.value.code == "refusal_unproven"
    assert os.listdir(tmp_path) == []


# --- a sender that lies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["path", "object"])
def test_a_file_that_is_not_the_one_described_is_refused_and_can_be_rejected(
    world, kenya, belgium, tmp_path, to, monkeypatch
):
    described = kenya.prepare_attachment(Attach(b"the file that is described", name="a"))
    monkeypatch.setattr(type(described), "blocks", lambda _: iter([b"another file of that size!"]))
    _send(kenya, described)
    [received] = belgium.inbox()
    out = io.BytesIO()
    with pytest.raises(SealError) as caught:
        belgium.fetch_attachment(received, 0, tmp_path if to == "path" else out)
    assert caught.value.code == "attachment_unopenable"
    assert (caught.value.facts["reason"], caught.value.facts["reject_as"]) == (
        "file_mismatch",
        "commitment_mismatch",
    )
    assert (os.listdir(tmp_path), out.getvalue()) == ([], b"")
    received.reject(caught.value.facts["reject_as"], "attachment 0 does not open")
    [notice] = [n for n in kenya.notices() if n.statement.stage == "rejected"]
    assert notice.statement.items[0].reason == "commitment_mismatch"


# --- what is refused, and what goes ------------------------------------------------------------------------


def test_a_file_that_is_there_is_not_written_over_unless_it_is_said(kenya, belgium, tmp_path):
    _send(kenya, Attach(b"new", name="a.txt"))
    [received] = belgium.inbox()
    (tmp_path / "a.txt").write_bytes(b"old")
    for to in (tmp_path, tmp_path / "a.txt"):
        with pytest.raises(ConflictError) as caught:
            belgium.fetch_attachment(received, 0, to)
        assert caught.value.code == "file_exists"
    assert (tmp_path / "a.txt").read_bytes() == b"old"
    belgium.fetch_attachment(received, 0, tmp_path, overwrite=True)
    assert (tmp_path / "a.txt").read_bytes() == b"new"
    (tmp_path / "b").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConflictError):
        belgium.fetch_attachment(received, 0, tmp_path / "b")


def test_named_errors(world, kenya, belgium, tmp_path):
    sent = _send(kenya, Attach(b"x", name="a"), to=[BELGIUM, TANZANIA])
    with pytest.raises(NotFoundError) as caught:
        belgium.fetch_attachment(sent, 0, tmp_path)
    assert caught.value.code == "unknown_message"
    [received] = belgium.inbox()
    for index in (-1, 1):
        with pytest.raises(NotFoundError) as caught:
            belgium.fetch_attachment(received, index, tmp_path)
        assert caught.value.code == "no_such_attachment"
    kenya.withdraw(sent)
    with pytest.raises(NotFoundError) as caught:
        belgium.fetch_attachment(received, 0, tmp_path)
    assert caught.value.code == "purged"
    assert "withdrawn" in caught.value.message


def test_one_reference_is_one_message_and_a_changed_file_another(world, kenya, belgium):
    first = _send(kenya, Attach(b"x", name="a"), reference="case-7")
    assert _send(kenya, Attach(b"x", name="a"), reference="case-7").message == first.message
    for other in (Attach(b"y", name="a"), Attach(b"x", name="b"), Attach(b"x", name="a", caption="c")):
        with pytest.raises(ConflictError) as caught:
            _send(kenya, other, reference="case-7")
        assert caught.value.code == "reference_reused"
    with pytest.raises(ConflictError):
        _send(kenya, reference="case-7")
    assert len(list(belgium.inbox())) == 1


def test_a_message_that_is_given_up_is_made_anew_with_its_files(world, kenya, belgium, tmp_path):
    kenya.sync()
    world.broker.offline = True
    with pytest.raises(TransportError):
        _send(kenya, Attach(REPORT, name="a", caption="c"))
    [item] = kenya.outbox()
    world.broker.offline = False
    kenya.give_up(item.payload, "another wording")
    kenya.renew(item.payload)
    [received] = belgium.inbox()
    assert received.attachments[0].caption == "c"
    assert belgium.fetch_attachment(received, 0, tmp_path).path.read_bytes() == REPORT


def test_a_draft_that_is_refused_leaves_no_piece(world, kenya):
    with pytest.raises(CountermarkError):
        kenya.send(
            "tracing-request", testing.sample_request(), to=["be.nobody.here"], attachments=[Attach(b"x")]
        )
    assert kenya.profile.pieces._folder is None  # nothing was sealed
    kenya.sync()
    with pytest.raises(CountermarkError) as caught:
        _send(kenya, *[Attach(b"x")] * 257)
    assert caught.value.code == "too_many_attachments"


def test_bulk(world, kenya, belgium, tmp_path):
    drafts = [
        Draft(
            type="tracing-request",
            content=testing.sample_request(),
            to=[BELGIUM],
            attachments=[Attach(bytes([i]) * 9, name="a")] if i % 2 else [],
        )
        for i in range(7)
    ]
    outcomes = list(kenya.send_bulk(drafts))
    assert [o.error for o in outcomes] == [None] * 7
    found = {m.message: m for m in belgium.inbox()}
    for i, outcome in enumerate(outcomes):
        assert len(found[outcome.message].attachments) == i % 2
        if i % 2:
            out = io.BytesIO()
            belgium.fetch_attachment(outcome.message, 0, out)
            assert out.getvalue() == bytes([i]) * 9
