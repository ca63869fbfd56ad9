"""`countermark send --bulk` and `countermark outbox`, against a broker in memory."""

import contextlib
import csv
import io
import json

import pytest

from countermark_client import Profile, testing
from countermark_client.cli import delivering
from support.cli import cli_for

POLICE, KAMPALA = "ke.police.nairobi", "ug.police.kampala"
COLUMNS = {
    "recordKind": "STOLEN_THEFT", "action": "ENTRY", "event.date": "2026-01-15", "event.place.country": "KE",
    "items.0.itemRef": "1", "items.0.category": "PISTOL", "items.0.originForm": "FACTORY",
    "items.0.make.text": "UNKNOWN", "items.0.calibre.text": "UNKNOWN", "items.0.noMarksReason": "NOT_RECORDED",
    "ownerCategory": "PRIVATE", "actionIfFound": "SEIZE", "reviewOn": "2026-12-31",
}  # fmt: skip


@pytest.fixture
def world():
    return testing.world(POLICE, KAMPALA)


@pytest.fixture
def cli(world, tmp_path):
    for address in (POLICE, KAMPALA):
        world.profile(address, folder=tmp_path / address).close()
    return cli_for(world, tmp_path)


def table(cli, refs, name="r.csv", **changes):
    """A register with one row for each reference; `changes` by reference."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [*COLUMNS, "nationalCaseRef"])
    writer.writeheader()
    for ref in refs:
        writer.writerow({**COLUMNS, "nationalCaseRef": ref, **changes.get(ref, {})})
    return cli.file(name, out.getvalue())


def bulk(cli, path, *args, code=0):
    return cli.json(
        "send",
        "lost-or-stolen-notice",
        "--to",
        KAMPALA,
        "--file",
        path,
        "--bulk",
        *args,
        home=POLICE,
        code=code,
    )


def cases(cli):
    return [m["content"]["nationalCaseRef"] for m in cli.json("inbox", home=KAMPALA)["messages"]]


def refs(count):
    return [f"R{i}" for i in range(count)]


def test_a_register_is_sent_and_reported_row_by_row(world, cli):
    told = bulk(cli, table(cli, refs(30)), "--report", cli.folder / "done.jsonl")
    assert (told["logged"], told["refused"], told["invalid"], told["sealed_before"]) == (30, 0, 0, 0)
    report = [json.loads(line) for line in (cli.folder / "done.jsonl").read_text().splitlines()]
    assert report == told["messages"]
    assert [(r["row"], r["line"], r["state"]) for r in report[:2]] == [(1, 2, "logged"), (2, 3, "logged")]
    assert [r["index"] for r in report] == sorted(r["index"] for r in report)
    assert len([r for r in world.broker.requests if r.path == "/v1/messages/bulk"]) == 1
    assert cases(cli) == refs(30)


def test_the_same_file_again_sends_nothing_and_under_another_name_once_more(world, cli):
    path = table(cli, ["A", "B", "B", "C"])  # two rows that are the same are two messages
    first = bulk(cli, path)
    size = world.broker.state.size
    again = bulk(cli, path)
    assert (again["logged"], again["sealed_before"]) == (4, 4)
    assert [m["message"] for m in again["messages"]] == [m["message"] for m in first["messages"]]
    assert world.broker.state.size == size
    # Said otherwise, it is another message.
    assert bulk(cli, path, "--tlp", "GREEN")["sealed_before"] == 0
    assert bulk(cli, path, "--run", "second")["sealed_before"] == 0
    assert bulk(cli, path, "--run", "second")["sealed_before"] == 4
    assert cases(cli) == ["A", "B", "B", "C"] * 3


@pytest.mark.parametrize("cuts", [["before"], ["", "after"], ["", 9000], ["", 15_000]])
def test_what_broke_off_goes_on_where_it_stopped(world, cli, cuts):
    cli.run("whoami", home=POLICE)
    path = table(cli, refs(300))
    world.transport.cut = list(cuts)
    told = bulk(cli, path, code=3)
    assert told["error"]["code"] in {"broker_unreachable", "unusable_answer"}
    assert told["logged"] + told["waiting"] == 256
    assert told["not_sealed"] == 44
    assert {m["row"] for m in told["messages"] if m["state"] == "not_sealed"} == set(range(257, 301))
    again = bulk(cli, path)
    assert (again["logged"], again["sealed_before"]) == (300, 256)
    assert len(world.broker._submissions) == 300
    assert cli.json("verify", home=POLICE)["boxes"]["sent"] == 300


def test_a_crash_in_the_middle_sends_nothing_twice(world, cli):
    path = table(cli, refs(10))

    class PowerCutError(BaseException):
        pass

    def die(exchange, answer):
        if exchange.path == "/v1/messages/bulk":
            raise PowerCutError
        return answer

    world.broker.intercept = die
    with pytest.raises(PowerCutError):
        bulk(cli, path)
    world.broker.intercept = None
    assert bulk(cli, path)["sealed_before"] == 10
    assert cases(cli) == refs(10)


def test_rows_that_are_not_valid_are_named_and_do_not_stop_the_others(cli):
    path = table(
        cli, refs(6), R1={"items.0.category": "TROMBONE"}, R3={"event.date": "soon"}, R4={"action": "NO"}
    )
    result = cli.run(
        "send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path, "--bulk", home=POLICE, code=1
    )
    assert "3 of 6 logged, 3 not valid" in result.stdout
    for expected in ("row 2 (line 3): not valid", "row 4 (line 5): not valid", "row 5 (line 6): not valid",
                     "/items/0/category: expected", "/event/date: expected", "/action: expected"):  # fmt: skip
        assert expected in result.stderr
    mended = table(cli, refs(6))
    told = bulk(cli, mended)
    assert (told["logged"], told["sealed_before"]) == (6, 3)
    assert sorted(cases(cli)) == refs(6)


def test_lines_of_a_cell_with_line_feeds_are_counted(cli):
    path = table(cli, ["A\nB\nC", "D", "E"], D={"action": "NO"}, **{"A\nB\nC": {"action": "NO"}})
    told = bulk(cli, path, code=1)
    assert [(m["row"], m["line"], m["state"]) for m in told["messages"]] == [
        (1, 2, "invalid"),
        (2, 5, "invalid"),
        (3, 6, "logged"),
    ]


def test_json_lines_and_what_the_rules_refuse(world, cli):
    good = testing.sample_notice("A")
    path = cli.file("n.jsonl", "\n".join([json.dumps(good), "", "{", json.dumps(testing.sample_notice("B"))]))
    told = bulk(cli, path, code=1)
    assert [(m["line"], m["state"]) for m in told["messages"]] == [
        (1, "logged"),
        (3, "invalid"),
        (4, "logged"),
    ]
    assert told["messages"][1]["error"]["code"] == "not_json"
    world.suspend(KAMPALA)
    world.clock.advance(minutes=2)
    told = bulk(cli, path, "--run", "again", code=1)
    assert (told["logged"], told["refused"]) == (0, 2)
    assert told["messages"][0]["error"]["code"] == "recipients_refused"


def test_checking_a_bulk_file(cli):
    path = table(cli, refs(2), R1={"action": "NO"})
    assert bulk(cli, path, "--check", code=1)["error"]["code"] == "invalid_content"


def send(cli, path, *args):
    args = ("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path, *args)
    return cli.run(*args, home=POLICE)


def test_rows_are_known_again_without_bulk_and_one_message_by_itself_is_not(cli):
    many, one = table(cli, ["A", "B"]), table(cli, ["C"], "one.csv")
    send(cli, many)
    again = send(cli, many)
    assert "2 of them sealed by an earlier run" in again.stdout
    assert "to send them once more, name this one with --run" in again.stderr
    send(cli, many, "--run", "x")
    send(cli, many, "--run", "x")
    send(cli, one)
    send(cli, one)
    send(cli, one, "--run", "x")
    send(cli, one, "--run", "x")
    assert cases(cli) == ["A", "B", "A", "B", "C", "C", "C"]


def test_a_report_does_not_write_over_what_it_is_of(cli):
    path = table(cli, refs(2))
    before = path.read_bytes()
    (cli.folder / "link").symlink_to(path)
    for report in (path, cli.folder / "link"):
        args = ("send", "x", "--to", KAMPALA, "--file", path, "--bulk", "--report", report)
        assert "would write over" in cli.run(*args, home=POLICE, code=2).stderr
    assert path.read_bytes() == before


def test_a_report_that_cannot_be_written_hides_nothing(cli):
    path = table(cli, refs(3))
    args = (
        "send",
        "lost-or-stolen-notice",
        "--to",
        KAMPALA,
        "--file",
        path,
        "--bulk",
        "--report",
        "/dev/full",
    )
    result = cli.run(*args, home=POLICE, code=1)
    assert "3 of 3 logged" in result.stdout
    assert "the report /dev/full is not complete: No space left on device" in result.stderr
    told = bulk(cli, path, "--report", "/dev/full", code=1)
    assert (told["logged"], "report_error" in told) == (3, True)
    assert cases(cli) == refs(3)


def test_the_progress_bar_knows_its_end_and_moves_with_the_verdicts(cli, monkeypatch):
    shown = []
    monkeypatch.setattr(
        delivering, "progress", lambda _what: contextlib.nullcontext(lambda *at: shown.append(at))
    )
    bulk(cli, table(cli, refs(200)))
    assert shown[:4] == [(0, 200), (64, 200), (128, 200), (192, 200)]
    assert shown[-1] == (200, 200)
    assert shown == sorted(shown)


# --- the outbox ---


def waiting(world, cli, ref="A"):
    cli.run("whoami", home=POLICE)
    world.transport.cut = ["before"]
    told = bulk(cli, table(cli, [ref]), code=3)
    return told["kept_in_outbox"][0]


def test_what_waits_is_shown_and_retried(world, cli):
    digest = waiting(world, cli)
    text = cli.run("outbox", home=POLICE).stdout
    assert "1 waiting" in text
    assert "lost-or-stolen-notice" in text
    assert cli.json("outbox", "list", home=POLICE) == cli.json("outbox", home=POLICE)
    shown = cli.run("outbox", "show", digest[:8], home=POLICE).stdout
    assert "tries        1" in shown
    assert KAMPALA in shown
    assert cli.json("outbox", "retry", digest[:8], home=POLICE)["state"] == "logged"
    assert cli.json("outbox", "retry", digest, home=POLICE, code=1)["error"]["code"] == "already_logged"
    assert "proven" in cli.run("outbox", "show", digest, home=POLICE).stdout
    assert cases(cli) == ["A"]


def test_giving_up_keeps_the_reason_and_renewing_is_an_act_of_its_own(world, cli):
    digest = waiting(world, cli)
    cli.run("outbox", "give-up", digest[:8], home=POLICE, code=2)
    cli.run("outbox", "give-up", digest[:8], "--reason", " ", home=POLICE, code=2)
    told = cli.json("outbox", "give-up", digest[:8], "--reason", "told them by telephone", home=POLICE)
    assert told["certain"] is True
    assert "reason       told them by telephone" in cli.run("outbox", "show", digest, home=POLICE).stdout
    assert cli.json("flush", home=POLICE)["logged"] == []
    assert cli.json("outbox", "retry", digest, home=POLICE, code=1)["error"]["code"] == "never_sent_again"
    assert cli.json("status", digest, home=POLICE)["stage"] == "given_up"
    # The same row again is the same message: given up stays given up.
    assert bulk(cli, table(cli, ["A"]), code=1)["messages"][0]["error"]["code"] == "given_up"
    renewed = cli.json("outbox", "renew", digest[:8], home=POLICE)["message"]
    assert renewed != digest
    assert f"made anew    {renewed}" in cli.run("outbox", "show", digest, home=POLICE).stdout
    assert f"made anew as {renewed[:16]}" in cli.run("outbox", home=POLICE).stdout
    # From then on the row is what it was made anew as.
    again = bulk(cli, table(cli, ["A"]))
    assert (again["logged"], again["messages"][0]["message"]) == (1, renewed)
    assert cases(cli) == ["A"]


def test_all_that_is_held_back_is_made_anew_by_one_command(world, cli):
    path = table(cli, ["A", "B"])
    cli.run("whoami", home=POLICE)
    world.broker.offline = True
    held = bulk(cli, path, code=3)["kept_in_outbox"]
    world.broker.offline = False
    profile = Profile.open(cli.folder / POLICE, testing.PASSPHRASE)
    profile.store._db.execute(
        "UPDATE outbox SET state = 'failed', code = 'sealing_key_changed', error = '-', tries = 0"
    )
    profile.close()
    for wrong in ([], [held[0], "--all-held-back"]):
        cli.run("outbox", "renew", *wrong, home=POLICE, code=2)
    renewed = cli.json("outbox", "renew", "--all-held-back", home=POLICE)["messages"]
    assert len(renewed) == 2
    assert cli.json("outbox", "renew", "--all-held-back", home=POLICE)["messages"] == []
    assert [m["message"] for m in bulk(cli, path)["messages"]] == [m["message"] for m in renewed]
    assert cases(cli) == ["A", "B"]


def test_giving_up_without_a_broker_says_that_it_is_not_certain(world, cli):
    digest = waiting(world, cli)
    world.broker.offline = True
    result = cli.run("outbox", "give-up", digest, "--reason", "closed", home=POLICE)
    assert "if it turns out to be in the log" in result.stderr


def test_flush_follows_until_the_broker_is_back(world, cli):
    digest = waiting(world, cli)
    world.transport.cut = ["before"] * 3
    began = world.clock()
    result = cli.run("flush", "--follow", home=POLICE)
    assert result.stderr.count("trying again in") == 3
    assert world.clock() - began >= 1000 * (5 + 10 + 20)
    assert "1 logged" in result.stdout
    assert cli.json("outbox", "show", digest, home=POLICE)["tries"] >= 2


def test_a_hash_that_is_not_there(cli):
    for command in ("show", "retry", "renew"):
        assert cli.json("outbox", command, "0" * 64, home=POLICE, code=1)["error"]["code"] in {
            "not_in_outbox",
            "unknown_message",
        }
        assert cli.json("outbox", command, "0" * 8, home=POLICE, code=1)["error"]["code"] == "unknown_message"


# --- superseded, withdrawn, late ---


def test_superseded_and_withdrawn_stand_where_people_look(world, cli):
    def send(content, *args):
        path = cli.file("one.json", content)
        args = ("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path, *args)
        return cli.json(*args, home=POLICE)["messages"][0]["message"]

    first = send(testing.sample_notice("A"))
    cli.run("inbox", "--accept", home=KAMPALA)
    second = send(testing.sample_notice("B"), "--supersedes", first)
    cli.run("verify", home=KAMPALA)  # read, not opened
    shown = cli.run("show", first, home=KAMPALA).stdout
    assert f"SUPERSEDED by {second[:16]}" in shown
    assert "not opened here yet" in shown
    assert f"SUPERSEDED by {second[:16]}" in cli.run("list", home=KAMPALA).stdout
    third = send({**testing.sample_notice("B"), "action": "CANCEL"}, "--supersedes", second)
    cli.run("inbox", home=KAMPALA)
    assert f"WITHDRAWN by {third[:16]}" in cli.run("inbox", home=KAMPALA).stdout
    assert f"WITHDRAWN by {third[:16]}" in cli.run("show", second, home=KAMPALA).stdout
    assert f"WITHDRAWN by {third[:16]}" in cli.run("status", second, home=POLICE).stdout
    assert f"WITHDRAWN by {third[:16]}" in cli.run("list", "--sent", home=POLICE).stdout
    assert cli.json("show", second, home=KAMPALA)["successor"]["withdraws"] is True


def test_a_correction_stands_where_people_look_and_the_message_reads_as_corrected(cli):
    def send(type_, content, *args):
        path = cli.file("one.json", content)
        args = ("send", type_, "--to", KAMPALA, "--file", path, *args)
        return cli.json(*args, home=POLICE)["messages"][0]["message"]

    first = send("lost-or-stolen-notice", testing.sample_notice("A"))
    cli.run("inbox", "--accept", home=KAMPALA)
    content = {
        "message": first,
        "ground": "CLERICAL_ERROR",
        "reason": "Read again",
        "changes": [{"path": "/nationalCaseRef", "text": "B"}],
        "followUp": ["UPDATE_RECORDS"],
        "language": "en",
    }
    correction = send("correction", content, "--supersedes", first)
    cli.run("verify", home=KAMPALA)  # read, not opened
    assert "not opened here yet" in cli.run("show", first, home=KAMPALA).stdout
    cli.run("inbox", home=KAMPALA)
    shown = cli.run("show", first, home=KAMPALA).stdout
    assert f"CORRECTED by {correction[:16]}" in shown
    assert '/nationalCaseRef should read "B"' in shown
    assert "content, as corrected" in shown
    assert "CORRECTED" in cli.run("list", home=KAMPALA).stdout
    told = cli.json("show", first, home=KAMPALA)
    assert told["content"]["nationalCaseRef"] == "A"
    assert told["as_corrected"]["nationalCaseRef"] == "B"
    assert told["corrections"][0]["content"]["reason"] == "Read again"
    assert told["successor"] is None


def test_late_and_undelivered_stand_in_the_status(world, cli):
    told = bulk(cli, table(cli, ["A"]), "--expires-in", "1")
    digest = told["messages"][0]["message"]
    world.clock.advance(days=1, minutes=5)
    world.broker.tick()
    world.clock.advance(hours=1)
    cli.run("inbox", "--accept", home=KAMPALA)
    text = cli.run("status", digest, home=POLICE).stdout
    assert "accepted (undelivered notice 2026-" in text
    assert "(late: signed for 2026-" in text
    [recipient] = cli.json("status", digest, home=POLICE)["recipients"]
    assert (recipient["late"], recipient["undelivered"]) == (True, True)
    assert "1 undelivered, 1 late" in cli.run("list", "--sent", home=POLICE).stdout
