"""Files before they are sealed: what is read of them, and what is refused."""

import hashlib
import io
import os

import pytest

from countermark_client import attaching
from countermark_client._io import Sleep
from countermark_client.attaching import Attach, prepare, prepare_all
from countermark_protocol.errors import ConflictError, CountermarkError, MalformedError
from unit.client.test_images import _saved


def done(flow):
    """What a flow comes to that waits for nothing."""
    try:
        while True:
            assert next(flow) == Sleep(0)
    except StopIteration as stop:
        return stop.value


def _bytes(prepared):
    return b"".join(prepared.blocks())


def test_path_bytes_and_file_object_give_the_same(tmp_path):
    data = os.urandom(3_000_000)
    path = tmp_path / "report.bin"
    path.write_bytes(data)
    with path.open("rb") as file:
        for source in (path, str(path), data, file):
            made = done(prepare(Attach(source, caption="a report")))
            assert (made.size, made.sha256) == (len(data), hashlib.sha256(data).hexdigest())
            assert _bytes(made) == data
            assert _bytes(made) == data  # as often as it is asked for
            assert made.name == ("attachment" if source is data else "report.bin")
            assert made.original_sha256 == made.sha256
            assert done(prepare(made)) is made
    stream = io.BytesIO(b"head" + data)
    stream.seek(4)
    assert _bytes(done(prepare(Attach(stream)))) == data  # from where it stands


def test_a_picture_is_sealed_without_what_it_tells_and_as_it_is_if_said_so():
    given = _saved("image/jpeg", 6)
    stripped, as_it_is = (done(prepare(Attach(given, as_is=as_is))) for as_is in (False, True))
    assert b"CANON-7781" in _bytes(as_it_is)
    assert b"CANON-7781" not in _bytes(stripped)
    assert stripped.sha256 == hashlib.sha256(_bytes(stripped)).hexdigest() != stripped.original_sha256
    assert as_it_is.sha256 == as_it_is.original_sha256 == stripped.original_sha256
    assert stripped.thumbnail.width == as_it_is.thumbnail.width == 32
    assert stripped.warnings == as_it_is.warnings == ()


def test_the_sender_is_told_of_what_cannot_be_stripped():
    for data in (b"%PDF-1.7 a report", b"\x00\x00\x00\x18ftypheic" + b"\x00" * 100):
        [text] = done(prepare(Attach(data, name="a"))).warnings
        assert "sent as it is" in text
    assert done(prepare(Attach(b"%PDF-1.7 a report", as_is=True))).warnings == ()
    assert done(prepare(Attach(b"a;b\n1;2\n", media_type="text/csv"))).warnings == ()


class _Named(io.BytesIO):
    def __init__(self, name):
        super().__init__(b"x")
        self.name = name


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("/home/grace.kamau/case 7/left side.jpg", "left side.jpg"),
        ("../../etc/passwd", "passwd"),
        ("a\x00b\n\u202e.txt", "ab.txt"),
        ("at 10:31 <left>.jpg", "at 10_31 _left_.jpg"),
        ("." + "é" * 200 + ".jpg", "é" * 116 + ".jpg"),
        ("con.jpg", "attachment"),
        ("/", "attachment"),
        (7, "attachment"),
    ],
)
def test_a_name_tells_nothing_of_the_senders_machine_and_is_one_everywhere(given, name):
    assert done(prepare(Attach(_Named(given)))).name == name


class _Pipe(io.BytesIO):
    def seekable(self):
        return False


class _Large(io.BytesIO):
    def seek(self, offset, whence=0):
        return 2**31 + 1 if whence == 2 else super().seek(offset, whence)


@pytest.mark.parametrize(
    ("attach", "code"),
    [
        (Attach(b""), "empty_attachment"),
        (Attach(_Pipe(b"x")), "not_seekable"),
        (Attach(_Large(b"x")), "attachment_too_large"),
        (Attach("/nowhere/at/all"), "file_not_readable"),
        (Attach(b"%PDF-1.7", media_type="image/jpeg"), "media_type_mismatch"),
        (Attach(b"\xff\xd8\xff and no more"), "image_unreadable"),
        (Attach(b"x", name="../x"), "bad_file_name"),
        (Attach(b"x", name=""), "bad_file_name"),
        (Attach(b"x", caption=""), "bad_member"),
    ],
)
def test_what_cannot_be_sent(attach, code):
    with pytest.raises(CountermarkError) as caught:
        done(prepare(attach))
    assert caught.value.code == code


def test_a_picture_that_does_not_decode_goes_as_it_is_if_said_so():
    assert done(prepare(Attach(b"\xff\xd8\xff and no more", as_is=True))).thumbnail is None


def test_misuse(tmp_path):
    for source in (io.StringIO("text"), 7):
        with pytest.raises(TypeError):
            done(prepare(Attach(source)))
    with pytest.raises(MalformedError) as caught:
        done(prepare_all([Attach(b"x")] * (attaching.MAX_ATTACHMENTS + 1)))
    assert caught.value.code == "too_many_attachments"


def test_a_file_that_changes_under_way_is_not_sent(tmp_path):
    path = tmp_path / "a"
    for after in (b"y" * 10, b"x" * 9, b"x" * 11):
        path.write_bytes(b"x" * 10)
        made = done(prepare(Attach(path)))
        path.write_bytes(after)
        with pytest.raises(ConflictError) as caught:
            list(made.blocks())
        assert caught.value.code == "file_changed"
