"""Before an alert to many is sent: everybody's every problem is named at once, and nobody is dropped unawares."""

import json
from dataclasses import replace

import pytest

from countermark_client import Draft, default_handling, testing
from countermark_client._keystore import ADMINISTRATOR, SEALING, MemoryKeystore, make_key
from countermark_client._quotas import Left, lane_of, parse_quotas
from countermark_client.statements import sign_gathering
from countermark_protocol.errors import ConflictError, MalformedError, PolicyError
from countermark_protocol.identifiers import AuthorityCode
from countermark_protocol.manifest import Urgency
from message_examples import example
from support.cli import cli_for

SENDER = "ke.customs.mombasa"
MANY = tuple(f"xo-un.customs.n{number:03}" for number in range(200))
SUSPENDED, REVOKED, ENDED, WAITING, KEYLESS, OLD = MANY[7], MANY[20], MANY[55], MANY[90], MANY[130], MANY[199]
AUDITOR, STRANGER = "xo-un.auditor.panel", "xo-un.customs.never-enrolled"
ALERT = "trade-route-alert"


def keyless(world, address):
    """Enrolled, and nothing of its keys published."""
    keys = MemoryKeystore((make_key(ADMINISTRATOR),))
    administrator = keys.signer(ADMINISTRATOR)
    draft = world.drafts.endpoint(address, name="No keys yet", administrator=[administrator.public_key])
    world.broker.post_statement(sign_gathering(draft, [world.authority("xo-un")], [administrator]))


def spoil(world):
    """Several of the two hundred become bad, each in a way of its own."""
    world.suspend(SUSPENDED)
    keys = world.keystore(REVOKED)
    sealing = keys.sealing_key().public_key.key_id
    world.broker.post_statement(world.revoke(sealing, keys.signer(ADMINISTRATOR)))
    world.change_keys(ENDED, sealing_until=world.clock() + 60_000)
    fresh = MemoryKeystore((make_key(SEALING),)).sealing_key().public_key
    world.change_keys(WAITING, sealing=fresh, sealing_from=world.clock() + 86_400_000)
    keyless(world, KEYLESS)
    world.enrol(OLD, reads={"lost-or-stolen-notice": (1,)})
    world.clock.advance(minutes=2)


@pytest.fixture(scope="module")
def world():
    built = testing.world(SENDER, AUDITOR, *(a for a in MANY if a not in {KEYLESS, OLD}))
    spoil(built)
    return built


@pytest.fixture(scope="module")
def sender(world):
    client = world.client(SENDER)
    client.sync()
    return client


def alert(**changes):
    return example(ALERT) | changes


def by_recipient(problems):
    out = {}
    for one in problems:
        out.setdefault(one["recipient"], []).append(one)
    return out


BAD = {
    SUSPENDED: ("unknown_recipient", "is suspended by its authority"),
    REVOKED: ("sealing_key_not_accepted", "revoked"),
    ENDED: ("sealing_key_not_accepted", "ended"),
    WAITING: ("sealing_key_not_accepted", "counts from"),
    KEYLESS: ("unknown_recipient", "has published no keys yet"),
    OLD: ("version_not_read", "reads no versions"),
    AUDITOR: ("policy_denied", "no rule of the policy"),
    STRANGER: ("unknown_recipient", "misspelt, or never enrolled"),
}


def test_everybodys_problem_is_named_at_once_and_nothing_is_sent(world, sender):
    size = world.broker.state.size
    with pytest.raises(PolicyError) as caught:
        sender.send(ALERT, alert(), [*MANY, AUDITOR, STRANGER])
    error = caught.value
    assert error.code == "recipients_refused"
    found = by_recipient(error.facts["problems"])
    assert {who: (one[0]["code"]) for who, one in found.items()} == {
        who: code for who, (code, _) in BAD.items()
    }
    for who, (_, words) in BAD.items():
        assert words in found[who][0]["message"]
        assert found[who][0]["remedy"]
    # Nobody's second problem hides behind the first.
    both = sender.resolve(
        Draft(
            type=ALERT, content=alert(), to=[REVOKED, AUDITOR],
            handling=replace(default_handling(world.clock()), releasable_to=(AuthorityCode("ke"),)),
        )
    )  # fmt: skip
    assert [(p.recipient, p.code) for p in both.problems] == [
        (AUDITOR, "policy_denied"),
        (AUDITOR, "not_releasable"),
        (REVOKED, "sealing_key_not_accepted"),
        (REVOKED, "not_releasable"),
    ]
    assert (error.facts["others"], error.facts["leave_out"]) == (194, sorted(BAD))
    assert world.broker.state.size == size
    assert sender.outbox() == []


def test_whom_the_sender_leaves_out_by_name_stands_in_the_record_and_the_others_get_it(world, sender):
    sent = sender.send(ALERT, alert(), [*MANY, AUDITOR, STRANGER], leave_out=[*BAD, MANY[3]])
    assert set(sent.recipients) == set(MANY) - set(BAD) - {MANY[3]}
    told = {one.address: one for one in sent.left_out}
    assert {who: told[who].code for who in BAD} == {who: code for who, (code, _) in BAD.items()}
    assert (told[MANY[3]].code, told[MANY[3]].by) == ("left_out", MANY[3])
    assert sender.sent(sent) == sent
    assert {d.recipient for d in sender.profile.store.deliveries(sent.message)} == set(sent.recipients)


def test_a_selector_leaves_out_by_rule_and_never_for_a_fault(world, sender):
    # Who may not have it is no part of what a selector names; who should have it and cannot is.
    found = sender.resolve(Draft(type=ALERT, content=alert(), to=["xo-un.*.*"]))
    assert {one.address for one in found.left_out} == {AUDITOR, OLD}
    assert {p.recipient for p in found.problems} == {REVOKED, ENDED, WAITING, KEYLESS}
    with pytest.raises(PolicyError) as caught:
        sender.send(ALERT, alert(), ["xo-un.*.*"])
    assert caught.value.facts["leave_out"] == sorted({REVOKED, ENDED, WAITING, KEYLESS})
    sent = sender.send(ALERT, alert(), ["xo-un.*.*"], leave_out=caught.value.facts["leave_out"])
    assert {one.address for one in sent.left_out} == {AUDITOR, OLD, REVOKED, ENDED, WAITING, KEYLESS}
    assert len(sent.recipients) == 194


def test_members_of_a_group_are_left_out_by_name_alone(world, sender):
    world.group("xo-un/three", [MANY[0], MANY[1], REVOKED])
    sender.sync()
    with pytest.raises(PolicyError) as caught:
        sender.send(ALERT, alert(), ["group:xo-un/three"])
    assert [p["recipient"] for p in caught.value.facts["problems"]] == [REVOKED]
    sent = sender.send(ALERT, alert(), ["group:xo-un/three"], leave_out=[REVOKED])
    assert (sent.recipients, [one.by for one in sent.left_out]) == (MANY[:2], ["group:xo-un/three"])


def test_what_cannot_be_left_out(sender):
    for leave_out, code in (
        ([STRANGER], "not_addressed"),
        (MANY[:1], "nobody_left"),
        (["all"], "not_an_address"),
    ):
        with pytest.raises(MalformedError) as caught:
            sender.send(ALERT, alert(), [MANY[0]], leave_out=leave_out)
        assert caught.value.code == code


def test_who_is_left_out_of_the_rest_of_a_run_makes_nothing_be_sent_again(world, sender, tmp_path):
    first = sender.send(ALERT, alert(), MANY[:3], reference="once")
    assert sender.send(ALERT, alert(), MANY[:3], leave_out=[MANY[0]], reference="once") == first
    with pytest.raises(ConflictError):
        sender.send(ALERT, alert(), MANY[1:3], reference="once")
    # So on the command line: a file that broke off because somebody could not be reached any more goes on.
    world.profile(SENDER, folder=tmp_path / SENDER, keystore=world.add_instance(SENDER, "run")).close()
    cli = cli_for(world, tmp_path)
    rows = [json.dumps(alert(alertRef=f"ROUTE-{n}")) for n in range(3)]
    to = [word for address in MANY[:3] for word in ("--to", address)]
    begun = cli.file("begun.jsonl", "\n".join(rows[:2]))
    before = cli.json("send", ALERT, *to, "--file", begun, home=SENDER)["messages"]
    whole = cli.file("whole.jsonl", "\n".join(rows))
    after = cli.json("send", ALERT, *to, "--leave-out", MANY[0], "--file", whole, home=SENDER)["messages"]
    assert [m["message"] for m in after[:2]] == [m["message"] for m in before]
    assert [len(m["recipients"]) for m in after] == [3, 3, 2]


# --- quotas --------------------------------------------------------------------------------------------


def quotas(**left):
    return {name.replace("_", "-"): {"per_minute": 600, "left": n} for name, n in left.items()}


def test_a_quota_that_does_not_suffice_is_named_before(world, sender):
    good = [a for a in MANY if a not in BAD]
    try:
        world.broker.quotas = quotas(recipients=100, messages=9)
        with pytest.raises(PolicyError) as caught:
            sender.send(ALERT, alert(), [*good, REVOKED])
        # Beside whatever else stands against it.
        mine, revoked = caught.value.facts["problems"][::-1]
        mine, revoked = (mine, revoked) if mine["recipient"] == SENDER else (revoked, mine)
        assert (mine["code"], mine["quota"], mine["left"], mine["retry_after"]) == (
            "quota_exceeded",
            "recipients",
            100,
            10,
        )
        assert revoked["recipient"] == REVOKED
        # An urgent one is counted in another lane, and few recipients are not asked about.
        sender.send(ALERT, alert(), good, urgency="flash")
        sender.send(ALERT, alert(), good[:5])
        world.broker.quotas = {"recipients": "many"}
        sender.send(ALERT, alert(), good)
    finally:
        world.broker.quotas = {}


@pytest.mark.parametrize(
    ("left", "short"),
    [
        (Left({}), None),
        (Left({"recipients": (100, 100)}), None),  # larger than a whole quota: taken from a full one
        (Left({"recipients": (100, 99)}), ("recipients", 1)),
        (Left({"messages": (60, 0), "recipients": (6000, 200)}), ("messages", 1)),
        (Left({"bytes": (60_000_000, 100_000)}), ("bytes", 1)),
        (Left({"urgent-recipients": (100, 0)}), None),
        (Left({"uploads": (60_000, 3_000)}), ("uploads", 2)),
    ],
)
def test_which_quota_is_short(left, short):
    found = left.short_of("", recipients=200, content=2_000, uploads=5_000)
    assert (found if found is None else (found[2]["quota"], found[2]["retry_after"])) == short
    assert lane_of(Urgency.URGENT, exercise=True) == "exercise-urgent-"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"quotas":[]}',
        b'{"quotas":{"a":1}}',
        b'{"quotas":{"a":{"per_minute":0,"left":1}}}',
    ],
)
def test_what_is_no_answer_about_quotas(data):
    with pytest.raises(MalformedError):
        parse_quotas(data)


# --- the command line ----------------------------------------------------------------------------------


def test_the_command_line_names_all_and_sends_to_the_others_when_told(world, sender, tmp_path):
    world.profile(SENDER, folder=tmp_path / SENDER, keystore=world.add_instance(SENDER, "desk")).close()
    cli = cli_for(world, tmp_path)
    file = cli.file("alert.json", alert())
    to = [word for address in [*MANY, AUDITOR] for word in ("--to", address)]
    refused = cli.run("send", ALERT, *to, "--file", file, home=SENDER, code=1)
    bad = sorted(set(BAD) - {STRANGER})
    for who in bad:
        assert refused.stderr.count(f"  {who}: ") == 1
    suggested = refused.stderr.partition("to send it to the other 194 all the same: ")[2].splitlines()[0]
    assert suggested == " ".join(f"--leave-out {who}" for who in bad)
    done = cli.json("send", ALERT, *to, "--file", file, *suggested.split(), home=SENDER)
    [row] = done["messages"]
    assert (len(row["recipients"]), [one["address"] for one in row["left_out"]]) == (194, bad)
    # A selector: what it leaves out is shown before, and stands in the record as well.
    leave = [word for who in (REVOKED, ENDED, WAITING, KEYLESS) for word in ("--leave-out", who)]
    told = cli.run("send", ALERT, "--to", "xo-un.*.*", "--file", file, *leave, home=SENDER)
    assert f"  {REVOKED}: " in told.stderr
    assert "to 194 recipients (6 left out, as recorded)" in told.stdout
