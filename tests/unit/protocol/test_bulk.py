"""The frames of a bulk request and the lines of its answer."""

import json

import pytest

from countermark_client import Draft, testing
from countermark_protocol import bulk
from countermark_protocol.bulk import (
    BulkReader,
    BulkVerdict,
    FrameReader,
    encode_bulk_checkpoint,
    encode_frames,
)
from countermark_protocol.errors import MalformedError


def _code(function, *args):
    with pytest.raises(MalformedError) as caught:
        function(*args)
    return caught.value.code


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 7, 1000])
def test_frames_come_back_however_the_bytes_arrive(step):
    submissions = [b"one", b"", b"\x00" * 300, b"four"]
    data = encode_frames(submissions)
    reader, out = FrameReader(), []
    for start in range(0, len(data), step):
        out += reader.feed(data[start : start + step])
    reader.end()
    assert out == submissions


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_body_that_ends_within_a_frame_is_told_after_the_whole_ones(cut):
    reader = FrameReader()
    assert reader.feed(encode_frames([b"whole", b"frame"])[:-cut]) == [b"whole"]
    assert _code(reader.end) == "truncated"


def test_a_frame_beyond_the_limit_is_told_after_those_before_it(monkeypatch):
    monkeypatch.setattr(bulk, "MAX_SUBMISSION_BYTES", 5)
    reader = FrameReader()
    assert reader.feed(encode_frames([b"fits", b"fits", b"does not", b"fits"])) == [b"fits", b"fits"]
    assert _code(reader.feed, b"") == "oversized_body"
    assert _code(reader.end) == "oversized_body"


def test_too_many_frames_and_too_many_bytes(monkeypatch):
    monkeypatch.setattr(bulk, "MAX_BULK_SUBMISSIONS", 2)
    reader = FrameReader()
    assert reader.feed(encode_frames([b"a", b"b", b"c"])) == [b"a", b"b"]
    assert _code(reader.end) == "oversized_body"
    monkeypatch.setattr(bulk, "MAX_BULK_BYTES", 8)
    assert _code(FrameReader().feed, b"\x00" * 9) == "oversized_body"


@pytest.fixture(scope="module")
def answer():
    """Lines of a real answer: two checkpoints, three proofs, one refusal."""
    world = testing.world("ke.police.nairobi", "be.contact.federal")
    world.broker.bulk_commit = 2
    kenya = world.client("ke.police.nairobi")
    kenya.sync()
    lines = []

    def keep(exchange, answer):
        if exchange.path == "/v1/messages/bulk":
            lines.extend(answer[2].splitlines())
        return answer

    world.broker.intercept = keep
    list(
        kenya.send_bulk(
            Draft(type="tracing-request", content=testing.sample_request(str(i)), to=["be.contact.federal"])
            for i in range(3)
        )
    )
    problem = {"status": 403, "code": "policy_denied", "detail": "no", "hint": "ask"}
    return [*lines, json.dumps({"number": 3, "status": 403, "problem": problem}).encode()]


def test_lines_are_read_in_order_and_each_proof_stands_under_the_last_checkpoint(answer):
    reader = BulkReader(4)
    verdicts = []
    checkpoint = None
    for line in answer:
        verdict = reader.take(line)
        if verdict is None:
            checkpoint = json.loads(line)["checkpoint"].encode()
            assert encode_bulk_checkpoint(checkpoint) == line
            continue
        verdicts.append(verdict)
        if verdict.accepted is not None:
            assert verdict.accepted.checkpoint == checkpoint
            assert verdict.encode() == line
    assert reader.complete
    assert [(v.number, v.status) for v in verdicts] == [(0, 201), (1, 201), (2, 201), (3, 403)]
    assert verdicts[3].problem.code == "policy_denied"
    assert json.loads(BulkVerdict(3, 403, problem=verdicts[3].problem).encode())["number"] == 3
    assert _code(reader.take, answer[-1]) == "bad_member"  # more verdicts than submissions


def _changed(line, **members):
    return json.dumps({**json.loads(line), **members}).encode()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda a: [a[1]],  # a proof before any checkpoint
        lambda a: [a[0], a[2]],  # out of order
        lambda a: [a[0], _changed(a[1], number=-1)],
        lambda a: [a[0], _changed(a[1], status=403)],
        lambda a: [a[0], _changed(a[1], status=True)],
        lambda a: [a[0], _changed(a[1], more=1)],
        lambda a: [a[0], _changed(a[1], accepted=3)],
        lambda a: [a[0], _changed(a[1], checkpoint=1)],
        lambda a: [_changed(a[0], checkpoint=7)],
        lambda a: [_changed(a[-1], number=0, status=200)],
        lambda a: [_changed(a[-1], number=0, status=404)],
        lambda _: [b"[]"],
        lambda _: [b""],
        lambda _: [b'{"number": 0, "status": 201}'],
    ],
)
def test_other_lines_are_not_of_the_language(answer, spoil):
    reader = BulkReader(4)
    *before, last = spoil(answer)
    for line in before:
        reader.take(line)
    with pytest.raises(MalformedError):
        reader.take(last)


def test_a_proof_with_a_checkpoint_of_its_own_is_refused(answer):
    members = json.loads(answer[1])
    members["accepted"]["checkpoint"] = json.loads(answer[0])["checkpoint"]
    reader = BulkReader(4)
    reader.take(answer[0])
    assert _code(reader.take, json.dumps(members).encode()) == "bad_member"
