"""`countermark send`, `inbox` and all that follows, against a broker in memory."""

import json

import pytest

from countermark_client import Client, Profile, testing
from countermark_client.cli.output import safe
from message_examples import example
from support.cli import PASSPHRASE, cli_for

POLICE, BELGIUM, KAMPALA = "ke.police.nairobi", "be.contact.federal", "ug.police.kampala"


@pytest.fixture
def world():
    world = testing.world(POLICE, BELGIUM, KAMPALA)
    world.group("xo-eac/police", [POLICE, KAMPALA])
    return world


@pytest.fixture
def cli(world, tmp_path):
    for address in (POLICE, BELGIUM, KAMPALA):
        world.profile(address, folder=tmp_path / address).close()
    return cli_for(world, tmp_path)


def notice(cli, name="n.json", case="KE-1"):
    return cli.file(name, testing.sample_notice(case))


def send(cli, *args, to=KAMPALA, home=POLICE, **kwargs):
    return cli.json(
        "send", "lost-or-stolen-notice", "--to", to, "--file", notice(cli), *args, home=home, **kwargs
    )


# --- the main way ---


def test_a_notice_is_sent_read_accepted_and_its_sender_knows(cli):
    sent = send(cli)
    [message] = sent["messages"]
    assert (sent["logged"], sent["refused"], message["recipients"]) == (1, 0, [KAMPALA])
    open_status = cli.json("status", message["message"], home=POLICE)
    assert [r["stage"] for r in open_status["recipients"]] == ["open"]
    read = cli.json("inbox", home=KAMPALA)
    [received] = read["messages"]
    assert received["message"] == message["message"]
    assert received["content"] == testing.sample_notice("KE-1")
    assert cli.json("accept", message["message"], home=KAMPALA)["accepted"] == 1
    assert cli.json("accept", message["message"], home=KAMPALA)["accepted"] == 0
    told = cli.json("notices", home=POLICE)["notices"]
    assert [n["statement"]["stage"] for n in told] == ["delivered", "accepted"]
    assert cli.json("notices", home=POLICE)["notices"] == []
    status = cli.json("status", message["message"][:8], home=POLICE)
    assert [(r["recipient"], r["stage"]) for r in status["recipients"]] == [(KAMPALA, "accepted")]
    assert cli.json("inbox", home=KAMPALA)["messages"] == []


def test_what_people_see_of_it(cli):
    text = cli.run(
        "send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", notice(cli), "--exercise", home=POLICE
    ).stdout
    assert "logged as entry" in text
    digest = text.split()[-1]
    inbox = cli.run("inbox", home=KAMPALA).stdout
    assert digest[:16] in inbox
    assert "EXERCISE" in inbox
    shown = cli.run("show", digest[:10], home=KAMPALA).stdout
    for expected in (
        digest,
        "lost-or-stolen-notice version 1",
        POLICE,
        "TLP:AMBER",
        '"STOLEN_THEFT"',
        "drill",
    ):
        assert expected in shown
    own = cli.run("show", digest[:10], home=POLICE).stdout
    assert '"STOLEN_THEFT"' in own
    assert "RECIPIENT" in cli.run("status", digest[:10], home=POLICE).stdout
    assert "nothing new" in cli.run("notices", home=POLICE).stdout
    assert "delivered" in cli.run("notices", "--all", home=POLICE).stdout
    assert "accepted: 1" in cli.run("accept", digest[:10], home=KAMPALA).stdout
    assert "(1 were already)" in cli.run("accept", digest[:10], home=KAMPALA).stdout
    assert "->" in cli.run("list", "--sent", home=POLICE).stdout
    assert "<-" in cli.run("list", "--received", home=KAMPALA).stdout
    assert "no messages" in cli.run("list", "--sent", home=KAMPALA).stdout


def test_a_trace_is_answered_and_the_conversation_shows_it(cli):
    request = cli.file("r.json", testing.sample_request("KE-9") | {"urgencyJustification": "A court date."})
    sent = cli.json(
        "send", "tracing-request", "--to", BELGIUM, "--file", request, "--tlp", "RED",
        "--code", "H1", "--code", "H2", "--purpose", "PROSECUTION", "--originator-control",
        "--releasable-to", "ke", "--releasable-to", "be", "--reply-by", "2026-03-09", "--expires-in", "10", "--urgency", "flash",
        home=POLICE,
    )  # fmt: skip
    first = sent["messages"][0]["message"]
    [received] = cli.json("inbox", "--accept", "--box", "urgent", home=BELGIUM)["messages"]
    handling = received["manifest"]["handling"]
    assert (handling["tlp"], handling["codes"], handling["purpose"]) == ("RED", ["H1", "H2"], "PROSECUTION")
    assert (handling["originator_control"], handling["releasable_to"]) == (True, ["ke", "be"])
    assert received["manifest"]["reply_by"] == 1_773_014_400_000
    assert received["box"] == "urgent"
    answer = cli.file("a.json", example("tracing-acknowledgement"))
    told = cli.json("answer", first[:12], "tracing-acknowledgement", "--file", answer, home=BELGIUM)
    assert told["messages"][0]["recipients"] == [POLICE]
    cli.run("inbox", home=POLICE)
    talk = cli.json("conversation", first[:12], home=POLICE)["messages"]
    assert [(m["direction"], m["manifest"]["type"]) for m in talk] == [
        ("out", "tracing-request"),
        ("in", "tracing-acknowledgement"),
    ]
    # An answer carries on how what it answers may be handled.
    assert talk[1]["manifest"]["handling"]["codes"] == ["H1", "H2"]
    assert "tracing-acknowledgement" in cli.run("conversation", first, home=POLICE).stdout


def test_a_rejection_reaches_its_sender_with_the_details(cli):
    digest = send(cli)["messages"][0]["message"]
    cli.run("inbox", home=KAMPALA)
    cli.run("reject", digest, "--reason", "not_for_us", "--details", "ask the bureau", home=KAMPALA)
    [recipient] = cli.json("status", digest, home=POLICE)["recipients"]
    assert (recipient["stage"], recipient["reason"]) == ("rejected", "not_for_us")
    assert recipient["details"] == {"message": "ask the bureau"}
    assert "ask the bureau" in cli.run("status", digest, "--offline", home=POLICE).stdout


def test_a_group_is_resolved(cli):
    sent = send(cli, to="group:xo-eac/police")
    assert sent["messages"][0]["recipients"] == [KAMPALA]
    group = cli.json("group", "group:xo-eac/police", home=POLICE)
    assert [m["address"] for m in group["members"]] == [POLICE, KAMPALA]
    assert group["stands"] is True
    assert KAMPALA in cli.run("group", "xo-eac/police", home=POLICE).stdout
    assert cli.json("group", "xo-eac/nobody", home=POLICE, code=1)["error"]["code"] == "unknown_group"


def test_superseding_and_replying(cli):
    first = send(cli)["messages"][0]["message"]
    second = send(cli, "--supersedes", first[:10])["messages"][0]["message"]
    assert cli.json("show", second, home=POLICE)["manifest"]["supersedes"] == first
    cli.run("inbox", home=KAMPALA)
    third = send(cli, "--reply-to", first, to=POLICE, home=KAMPALA)["messages"][0]
    assert third["conversation"] == first


# --- many at once ---


def test_lines_and_rows_are_all_checked_before_one_is_sent(world, cli):
    good, bad = testing.sample_notice("A"), {**testing.sample_notice("B"), "action": "NO"}
    path = cli.file("n.jsonl", "\n".join(map(json.dumps, [good, bad, good])))
    before = world.broker.state.size
    result = cli.run("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path, home=POLICE, code=1)
    assert "1 of 3 contents are not valid" in result.stderr
    assert "row 2" in result.stderr
    assert "/action: expected" in result.stderr
    error = cli.json("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path, home=POLICE, code=1)[
        "error"
    ]
    assert [r["row"] for r in error["facts"]["rows"]] == [2]
    assert world.broker.state.size == before


def test_many_are_sent_in_order_and_accepted_together(cli):
    path = cli.file("n.jsonl", "\n".join(json.dumps(testing.sample_notice(f"C-{i}")) for i in range(30)))
    result = cli.run("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path, home=POLICE)
    assert "30 of 30 logged, 0 refused" in result.stdout
    assert "and 10 more" in result.stdout
    first = cli.json("inbox", "--limit", "12", home=KAMPALA)["messages"]
    assert [m["content"]["nationalCaseRef"] for m in first] == [f"C-{i}" for i in range(12)]
    assert cli.json("inbox", "--accept", home=KAMPALA)["accepted"] == 30
    assert "no messages" in cli.run("inbox", home=KAMPALA).stdout


def test_standard_input(cli):
    text = json.dumps(testing.sample_notice("STDIN"))
    args = ("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", "-")
    assert "say --format" in cli.run(*args, home=POLICE, stdin=text, code=2).stderr
    assert "logged" in cli.run(*args, "--format", "json", home=POLICE, stdin=text).stdout


def test_what_a_person_should_know_of_a_content_is_said_and_sent_all_the_same(cli):
    content = testing.sample_notice("KE-1")
    content["items"][0]["yearOfManufacture"] = 1931
    content["items"][0].pop("noMarksReason", None)
    content["items"][0]["marks"] = [
        {"kind": "SERIAL", "component": part, "text": text, "status": "LEGIBLE"}
        for part, text in (("FRAME", "AB1234"), ("BARREL", "XY9876"))
    ]
    path = cli.file("old.json", content)
    result = cli.run("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path, home=POLICE)
    assert "warning: /items/0/marks" in result.stderr
    assert "different serials" in result.stderr
    told = cli.json("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path, home=POLICE)
    assert {"serials_differ"} <= {each["rule"] for each in told["warnings"]}
    assert told["logged"] == 1
    assert "warnings" not in send(cli)


def test_checking_sends_nothing_and_needs_no_profile(world, cli):
    before = world.broker.state.size
    args = ("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", notice(cli), "--check")
    assert cli.json(*args, home="nobody") == {"type": "lost-or-stolen-notice", "valid": 1}
    assert world.broker.state.size == before


# --- when something is wrong ---


def lines_of(cli, count, name="n.jsonl"):
    return cli.file(name, "\n".join(json.dumps(testing.sample_notice(f"C-{i}")) for i in range(count)))


def cases(cli):
    return [m["content"]["nationalCaseRef"] for m in cli.json("inbox", home=KAMPALA)["messages"]]


def test_a_broker_away_keeps_the_messages_and_flush_sends_them(world, cli):
    cli.run("whoami", home=POLICE)
    world.transport.cut = ["before"]
    told = cli.json(
        "send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", lines_of(cli, 3), home=POLICE, code=3
    )
    assert told["error"]["code"] == "broker_unreachable"
    assert ([m["state"] for m in told["messages"]], told["waiting"]) == (["waiting"] * 3, 3)
    waiting = cli.json("outbox", home=POLICE)
    assert [i["statement"] for i in waiting["items"]] == told["kept_in_outbox"]
    assert "3 waiting" in cli.run("outbox", home=POLICE).stdout
    assert [i["statement"] for i in cli.json("flush", home=POLICE)["logged"]] == told["kept_in_outbox"]
    assert cases(cli) == ["C-0", "C-1", "C-2"]
    assert cli.json("outbox", home=POLICE)["items"] == []
    assert len(cli.json("outbox", "--all", home=POLICE)["items"]) == 3


def test_an_answer_lost_on_its_way_is_not_a_second_message(world, cli):
    cli.run("whoami", home=POLICE)
    world.transport.cut = ["after"]
    told = send(cli, code=3)
    size = world.broker.state.size
    assert cli.json("flush", home=POLICE)["logged"][0]["statement"] == told["kept_in_outbox"][0]
    assert world.broker.state.size == size


def test_people_are_told_how_to_go_on_after_an_interruption(world, cli):
    cli.run("whoami", home=POLICE)
    world.transport.cut = ["before"]
    path = lines_of(cli, 300)
    args = ("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path)
    stderr = cli.run(*args, home=POLICE, code=3).stderr
    assert "kept in the outbox" in stderr
    assert "from row 257 on nothing is sealed yet; the same command goes on where it stopped" in stderr
    told = cli.json(*args, home=POLICE)
    assert (told["logged"], told["sealed_before"]) == (300, 256)
    assert sorted(cases(cli)) == sorted(f"C-{i}" for i in range(300))


def test_an_interruption_by_the_user_says_what_is_sealed(world, cli):
    def interrupt(exchange, answer):
        if exchange.path == "/v1/messages/bulk":
            raise KeyboardInterrupt
        return answer

    world.broker.intercept = interrupt
    args = ("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", lines_of(cli, 4))
    told = cli.json(*args, home=POLICE, code=1)
    assert (told["error"]["code"], told["logged"], told["waiting"]) == ("interrupted", 0, 4)
    world.broker.intercept = None
    assert [i["statement"] for i in cli.json("flush", home=POLICE)["logged"]] == told["kept_in_outbox"]
    assert cases(cli) == ["C-0", "C-1", "C-2", "C-3"]


def test_with_a_stale_directory_and_no_broker_nothing_is_sealed(world, cli):
    cli.run("whoami", home=POLICE)
    world.clock.advance(hours=1)
    world.broker.offline = True
    told = send(cli, code=3)
    assert (told["error"]["code"], told["kept_in_outbox"]) == ("stale_checkpoint", [])
    assert (told["not_sealed"], told["messages"][0]["state"]) == (1, "not_sealed")
    assert cli.json("outbox", home=POLICE)["items"] == []


def test_what_policy_forbids_is_refused_with_every_reason(cli):
    path = cli.file("r.json", testing.sample_request())
    args = ("send", "tracing-request", "--to", KAMPALA, "--to", "be.police.nowhere", "--file", path)
    told = cli.json(*args, home=POLICE, code=1)
    error = told["messages"][0]["error"]
    assert error["code"] == "recipients_refused"
    assert {p["recipient"] for p in error["facts"]["problems"]} == {KAMPALA, "be.police.nowhere"}
    text = cli.run(*args, home=POLICE, code=1).stderr
    assert "error: nothing was sent" in text
    assert f"  {KAMPALA}: " in text
    assert "hint: " in text


def test_a_broker_that_forks_its_log_is_evidence(world, cli):
    send(cli)
    world.broker.intercept = _other_tree
    result = cli.run("verify", home=POLICE, code=4)
    assert "error:" in result.stderr
    assert "keep the evidence" in result.stderr
    world.broker.intercept = None
    assert "halted" in cli.run("whoami", home=POLICE).stdout.lower()
    refused = send(cli, code=4)
    assert refused["error"]["code"] == "halted"
    told = cli.json("evidence", home=POLICE, code=4)
    assert told["halted"]
    [kept] = told["evidence"]
    assert kept["pieces"] >= 1
    assert "HALTED" in cli.run("evidence", home=POLICE, code=4).stdout
    cli.run("evidence", "--resume", home=POLICE, stdin="n\n", code=2)
    assert cli.json("evidence", "--resume", "--yes", home=POLICE)["halted"] is None
    assert len(cli.json("evidence", home=POLICE)["evidence"]) == 1
    assert send(cli)["logged"] == 1


def _other_tree(exchange, answer):
    """Leaves that do not give the signed root."""
    if exchange.path != "/v1/log/leaves":
        return answer
    body = bytearray(answer[2])
    body[-1] ^= 1
    return answer[0], answer[1], bytes(body)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("abcdefab", "unknown_message"),
        ("abc", "not_hex"),
        ("z" * 10, "not_hex"),
        ("0" * 64, "unknown_message"),
    ],
)
def test_naming_a_message_that_is_not_there(cli, text, code):
    assert cli.json("show", text, home=POLICE, code=1)["error"]["code"] == code


def test_accepting_what_was_not_read(cli):
    assert cli.json("accept", "0" * 64, home=POLICE, code=1)["error"]["code"] == "unknown_message"
    digest = send(cli)["messages"][0]["message"]
    assert cli.json("accept", digest, home=KAMPALA, code=1)["error"]["code"] == "unknown_message"


def test_the_wrong_use_of_a_command(cli):
    for args in (
        ["send"],
        ["send", "x"],
        ["nonsense"],
        ["reject", "0" * 64, "--reason", "because"],
        ["show"],
    ):
        result = cli.run(*args, home=POLICE, code=2)
        assert result.stderr.startswith("error: ")
        assert "hint: see `countermark" in result.stderr
        assert cli.json(*args, home=POLICE, code=2)["error"]["code"] == "usage"


def test_without_a_profile(cli):
    result = cli.run("inbox", home="nobody", code=1)
    assert "hint: make one with `countermark init`" in result.stderr


def test_a_damaged_store_is_an_error_not_a_crash(cli):
    (cli.folder / POLICE / "state.db").write_bytes(b"not a database, but long enough to look at" * 50)
    assert cli.json("outbox", home=POLICE, code=1)["error"]["code"] == "storage_failed"


def test_files_that_are_not_there_or_not_json(cli):
    cli.run("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", "nowhere.json", home=POLICE, code=2)
    for text in ("", "[]", "{", "3", '{"a": 1.5}', "\x00"):
        path = cli.file("x.json", text)
        cli.run("send", "lost-or-stolen-notice", "--to", KAMPALA, "--file", path, home=POLICE, code=1)
    assert (
        cli.json("send", "nonsense", "--to", KAMPALA, "--file", notice(cli), home=POLICE, code=1)["error"][
            "code"
        ]
        == "unknown_type"
    )


@pytest.mark.parametrize("wrong", [["--reply-by", "soon"], ["--expires-in", "0"], ["--tlp", "PURPLE"]])
def test_wrong_options(cli, wrong):
    send(cli, *wrong, code=2)


# --- following, and what may not reach a terminal ---


def test_following_accepts_as_it_goes_and_survives_an_outage(world, cli):
    for _ in range(3):
        send(cli)
    world.transport.cut = ["before"]
    result = cli.run("inbox", "--follow", "--accept", "--limit", "3", "--json", home=KAMPALA)
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [m["from"] for m in told] == [POLICE] * 3
    assert "trying again" in result.stderr
    assert cli.json("inbox", home=KAMPALA)["messages"] == []


def test_following_without_accepting_tells_each_once(world, cli):
    for _ in range(2):
        send(cli)
    result = cli.run("inbox", "--follow", "--limit", "2", home=KAMPALA)
    assert result.stdout.count("lost-or-stolen-notice") == 2
    assert len(cli.json("inbox", home=KAMPALA)["messages"]) == 2


def test_control_characters_of_others_never_reach_a_terminal(cli):
    evil = "KE\x1b[2J\u202e\u009b31m\u2028x"
    content = {**testing.sample_notice("X"), "nationalCaseRef": "KE-1"}
    content["items"][0]["make"]["text"] = "FN"
    assert safe(evil) == "KE\\u001b[2J\\u202e\\u009b31m\\u2028x"
    assert safe("a\nb", lines=True) == "a\nb"
    assert safe("a\nb") == "a\\u000ab"
    assert safe("\U000e0001") == "\\U000e0001"
    digest = send(cli)["messages"][0]["message"]
    cli.run("inbox", home=KAMPALA)
    cli.run("reject", digest, "--reason", "not_for_us", "--details", evil, home=KAMPALA)
    for text in (
        cli.run("status", digest, home=POLICE).stdout,
        cli.run("status", digest, "--json", home=POLICE).stdout,
    ):
        assert not set(evil) & set(text) & set("\x1b\u202e\u009b\u2028")
        assert "2J" in text


# --- looking around ---


def test_whoami(world, cli):
    told = cli.json("whoami", home=POLICE)
    assert (told["address"], told["enrolled"], told["halted"]) == (POLICE, True, None)
    assert {k["use"]: k["standing"] for k in told["keys"]} == {
        "administrator": "in force",
        "instance": "in force",
        "sealing": "in force",
    }
    assert "can send    yes" in cli.run("whoami", home=POLICE).stdout
    world.revoke_instance(POLICE)
    assert cli.json("whoami", home=POLICE)["enrolled"] is False
    world.broker.offline = True
    result = cli.run("whoami", home=POLICE)
    assert "warning: the broker is away" in result.stderr
    assert "revoked" in result.stdout


def test_directory(world, cli):
    told = cli.json("directory", home=POLICE)
    subjects = [r["subject"] for r in told["records"]]
    assert {"log", "policy", "authority/ke", f"endpoint/{POLICE}", "group/xo-eac/police"} <= set(subjects)
    assert [r["subject"] for r in cli.json("directory", "ug.", home=POLICE)["records"]] == [
        f"endpoint/{KAMPALA}"
    ]
    assert len(cli.json("directory", "keys/", home=POLICE)["records"]) == 4
    world.suspend(KAMPALA)
    [record] = cli.json("directory", f"endpoint/{KAMPALA}", home=POLICE)["records"]
    assert (record["stands"], record["record"]["state"]) == (False, "suspended")
    text = cli.run("directory", home=POLICE).stdout
    assert "SUBJECT" in text
    assert "Authority ke" in text
    world.broker.offline = True
    away = cli.run("directory", "ug.", home=POLICE)
    assert "warning:" in away.stderr
    assert KAMPALA in away.stdout
    assert "nothing there" in cli.run("directory", "zz.", "--offline", home=POLICE).stdout


def test_verify(world, cli):
    send(cli)
    cli.run("inbox", "--accept", home=KAMPALA)
    told = cli.json("verify", home=KAMPALA)
    assert told["size"] == world.broker.state.size
    assert told["root"] == world.broker.state.frontier.root().hex()
    assert told["boxes"] == {"sent": 2, "urgent": 0, "routine": 1, "notices": 0}
    assert told["kinds"]["receipt"] == 2
    assert told["own_entries"] == 3
    text = cli.run("verify", home=POLICE).stdout
    assert "verified" in text
    assert "continues the tree" in text
    # Verifying signs for nothing.
    digest = send(cli)["messages"][0]["message"]
    cli.run("verify", home=KAMPALA)
    assert [r["stage"] for r in cli.json("status", digest, home=POLICE)["recipients"]] == ["open"]


def test_types(cli):
    types = {t["type"]: t for t in cli.json("types")["types"]}
    assert types["tracing-response"]["is_answer"] is True
    assert "tracing-request" in cli.run("types").stdout
    schema = json.loads(cli.run("type", "tracing-request", "--schema").stdout)
    assert schema["$id"] == "urn:countermark:message:tracing-request:2"
    assert cli.json("type", "tracing-request", "--schema") == schema
    members = {m["path"]: m for m in cli.json("type", "lost-or-stolen-notice")["members"]}
    assert members["items.0.make.text"]["needed"] is True
    assert members["items.0.yearOfManufacture"]["type"] == "integer"
    assert "items.0.make.text" in cli.run("type", "lost-or-stolen-notice").stdout
    assert cli.json("type", "nonsense", code=1)["error"]["code"] == "unknown_type"
    assert cli.json("type", "tracing-request", "--version", "9", code=1)["error"]["code"] == "unknown_type"


def test_help_everywhere(cli):
    top = cli.run("--help").stdout
    for expected in ("Exit codes:", "3  broker unreachable", "4  evidence", "send", "COUNTERMARK_PASSPHRASE"):
        assert expected in top
    names = [
        line.split()[0] for line in top.splitlines() if line.startswith("  ") and line.split()[0].isalpha()
    ]
    assert "send" in names
    for args in (
        ["send"],
        ["draft", "keys"],
        ["document", "sign"],
        ["key", "new"],
        ["enrol"],
        ["approve"],
        ["invite"],
        ["init"],
    ):
        text = cli.run(*args, "--help").stdout
        assert "Example" in text
        assert "\n  countermark " in text or "\n    countermark " in text
    assert cli.run("--version").stdout.startswith("countermark")


def test_a_client_of_the_library_and_the_command_line_share_a_profile(world, cli):
    digest = send(cli)["messages"][0]["message"]
    with Client(
        Profile.open(cli.folder / POLICE, PASSPHRASE),
        transport=world.transport,
        clock=world.clock,
        sleep=world.clock.sleep,
    ) as client:
        assert client.status(digest).stage == "logged"
