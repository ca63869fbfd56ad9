"""Bulk submission over real HTTP: the same unit, one verdict a line, whatever is in the stream."""

import json
import socket

import pytest

from countermark_protocol.bulk import BulkReader, encode_frames
from countermark_protocol.encoding import parse_object
from support.world import BRUSSELS, KAMPALA, NAIROBI


def post(api, body):
    answer = api.http.post(
        "/v1/messages/bulk", content=body, headers={"Content-Type": "application/octet-stream"}
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/jsonl"
    return answer.content.splitlines()


def verdicts(lines, count):
    reader = BulkReader(count)
    return [v for v in map(reader.take, lines) if v is not None]


def test_one_verdict_each_in_order(world, api):
    messages = [world.message(NAIROBI, [KAMPALA, BRUSSELS]) for _ in range(300)]
    lines = post(api, encode_frames(m.data for m in messages))
    found = verdicts(lines, 300)
    assert [v.number for v in found] == list(range(300))
    assert {v.status for v in found} == {201}
    indexes = [v.accepted.inclusion.index for v in found]
    assert indexes == sorted(indexes)
    assert len(set(indexes)) == 300
    # One checkpoint a commit, and far fewer commits than messages.
    assert 1 <= sum(1 for line in lines if "checkpoint" in parse_object(line)) < 100
    again = verdicts(post(api, encode_frames(m.data for m in messages)), 300)
    assert {v.status for v in again} == {200}
    assert [v.accepted.inclusion.leaf for v in again] == [v.accepted.inclusion.leaf for v in found]


def test_a_single_one_sent_before_is_a_repeat_in_the_stream_and_the_other_way_round(world, api):
    first, second = world.message(NAIROBI, [KAMPALA]), world.message(NAIROBI, [KAMPALA])
    assert api.post_message(first).status_code == 201
    found = verdicts(post(api, encode_frames([first.data, second.data, second.data])), 3)
    assert [v.status for v in found] == [200, 201, 200]
    assert api.post_message(second).status_code == 200


def test_a_bad_line_refuses_itself_alone(world, api):
    good = [world.message(NAIROBI, [KAMPALA]) for _ in range(4)]
    forged = bytearray(world.message(NAIROBI, [KAMPALA]).data)
    forged[-10] ^= 1
    denied = world.message("xo-interpol.organisation.iarms", [KAMPALA])
    changed = world.message(NAIROBI, [KAMPALA], id=good[0].manifest.id)
    frames = [
        good[0].data,
        b"",
        good[1].data,
        bytes(forged),
        denied.data,
        good[2].data,
        changed.data,
        good[3].data,
    ]
    found = verdicts(post(api, encode_frames(frames)), len(frames))
    assert [v.status for v in found] == [201, 400, 201, 400, 403, 201, 409, 201]
    assert found[4].problem.account is not None
    assert found[6].problem.account is not None
    assert {found[n].problem.code for n in (1, 3)} == {"truncated", "content_mismatch"}


@pytest.mark.parametrize("spoil", ["truncated", "oversized"])
def test_a_stream_that_cannot_be_told_apart_ends_with_what_came_before_it(world, api, spoil):
    good = [world.message(NAIROBI, [KAMPALA]) for _ in range(3)]
    body = encode_frames(m.data for m in good)
    body += b"\x00\x00\x10\x00abc" if spoil == "truncated" else b"\xff\xff\xff\xffabc"
    lines = [json.loads(line) for line in post(api, body)]
    statuses = [line["status"] for line in lines if "status" in line]
    assert statuses == [201, 201, 201, 400 if spoil == "truncated" else 413]
    assert lines[-1]["number"] == 3


def test_an_empty_stream_has_an_empty_answer(api):
    assert post(api, b"") == []


def test_a_cut_connection_leaves_what_was_sent_re_sendable(world, api):
    """The request is cut within a submission, without reading any answer."""
    messages = [world.message(NAIROBI, [KAMPALA]) for _ in range(50)]
    body = encode_frames(m.data for m in messages)
    with socket.create_connection((api.http.base_url.host, api.http.base_url.port)) as connection:
        head = f"POST /v1/messages/bulk HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[: len(body) // 2])
    found = verdicts(post(api, body), 50)
    assert {v.status for v in found} <= {200, 201}
    assert len({v.accepted.inclusion.index for v in found}) == 50
    single = [api.post_message(m).status_code for m in messages]
    assert set(single) == {200}


@pytest.mark.parametrize(
    "database_kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)
def test_a_client_that_reads_nothing_before_it_has_sent_everything_gets_all(world, api):
    """4,000 verdicts are far more than the sockets' buffers hold."""
    sealed = [world.message(NAIROBI, [KAMPALA]) for _ in range(40)]
    body = encode_frames([m.data for m in sealed] * 100)
    found = verdicts(post(api, body), 4000)
    assert sorted({v.status for v in found}) == [200, 201]
    assert sum(1 for v in found if v.status == 201) == 40
