"""Bridges: what crosses crosses once, both identifiers are kept, and nothing is lost when it is refused."""

import hashlib
import json

import pytest

from countermark_client import Attach, testing
from countermark_client.bridge import CrossingState, FolderAdapter, Ledger, Way, relay
from countermark_client.bridge._relay import withheld_because
from countermark_protocol.codes.tracing import ExternalSystem
from countermark_protocol.errors import TransportError
from countermark_protocol.handling import Classification, Handling, HandlingCode, Tlp, UsePurpose

KENYA, BELGIUM = "ke.police.nairobi", "be.contact.federal"


class Killed(Exception):
    """In the place of a kill."""


@pytest.fixture
def world():
    return testing.world(KENYA, BELGIUM)


@pytest.fixture
def ledger():
    ledger = Ledger(":memory:")
    yield ledger
    ledger.close()


def put(folder, name, **members):
    (folder / "in" / f"{name}.json").write_text(json.dumps(members), "utf-8")


def request(folder, name="KE-1", **more):
    content = testing.sample_request("KE-1")
    put(folder, name, type="tracing-request", to=[BELGIUM], content=content, **more)


def run(client, adapter, ledger):
    for _ in client.inbox():
        pass
    return relay(client, adapter, ledger, lambda: 1_800_000_000_000)


def read(path):
    return json.loads(path.read_text("utf-8"))


def test_a_case_crosses_two_bridges_with_both_identifiers(world, tmp_path, ledger):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    here = FolderAdapter(tmp_path / "ke", "siena", ExternalSystem.SIENA)
    there = FolderAdapter(tmp_path / "be", "as4")
    other = Ledger(":memory:")
    request(tmp_path / "ke", ref="SIENA-77")
    report = run(kenya, here, ledger)
    [(message, ref)] = report.sent
    assert ref == "SIENA-77"
    assert read(tmp_path / "ke/done/KE-1.receipt.json") == {"ref": "SIENA-77", "message": message}
    assert not list((tmp_path / "ke/in").iterdir())

    [(arrived, theirs)] = run(belgium, there, other).delivered
    assert arrived == message
    out = read(tmp_path / f"be/out/{message}.json")
    assert out["content"]["externalRefs"][-1] == {"system": "SIENA", "ref": "SIENA-77"}
    assert out["from"] == KENYA
    answer = testing.sample_acknowledgement(out["id"])
    put(
        tmp_path / "be",
        "A-1",
        type="tracing-acknowledgement",
        to=[KENYA],
        content=answer,
        inReplyToRef=theirs,
    )
    [(answered, _)] = run(belgium, there, other).sent
    run(kenya, here, ledger)
    back = read(tmp_path / f"ke/out/{answered}.json")
    assert back["inReplyTo"] == message
    assert back["inReplyToRef"] == "SIENA-77"
    crossings = {(c.way, c.message): (c.ref, c.state) for c in ledger.crossings()}
    assert crossings[Way.IN, message] == ("SIENA-77", CrossingState.CROSSED)
    assert crossings[Way.OUT, answered][1] is CrossingState.CROSSED
    other.close()


def test_the_other_system_is_told_of_files_that_no_bridge_carries(world, tmp_path, ledger):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    files = [Attach(b"x", name="a.txt", caption="c"), Attach(b"yy", name="b.txt")]
    sent = belgium.send("lost-or-stolen-notice", testing.sample_notice(), [KENYA], attachments=files)
    run(kenya, FolderAdapter(tmp_path), ledger)
    told = read(tmp_path / f"out/{sent.hash}.json")["attachments"]
    digests = [hashlib.sha256(data).hexdigest() for data in (b"x", b"yy")]
    assert told == [
        {"name": "a.txt", "mediaType": "text/plain", "size": 1, "sha256": digests[0], "caption": "c"},
        {"name": "b.txt", "mediaType": "text/plain", "size": 2, "sha256": digests[1]},
    ]
    assert kenya.fetch_attachment(sent, 1, tmp_path).path.read_bytes() == b"yy"


@pytest.mark.parametrize("where", ["record", "taken", "deliver"])
def test_a_bridge_killed_at_any_step_sends_and_delivers_once(world, tmp_path, ledger, where, monkeypatch):
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    sent = belgium.send("lost-or-stolen-notice", testing.sample_notice("BE-9"), [KENYA])
    adapter = FolderAdapter(tmp_path)
    request(tmp_path)
    target = ledger if where == "record" else adapter

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(target, where, killed)
        with pytest.raises(Killed):
            run(kenya, adapter, ledger)
    again = FolderAdapter(tmp_path)
    run(kenya, again, ledger)
    run(kenya, again, ledger)
    assert len(kenya.messages("out")) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"{sent.message.hex()}.json"]
    assert sorted(path.name for path in (tmp_path / "done").iterdir()) == ["KE-1.json", "KE-1.receipt.json"]
    assert len(ledger.crossings()) == 2


def test_what_is_wrong_is_refused_with_its_reason_and_the_rest_crosses(world, tmp_path, ledger):
    kenya = world.client(KENYA)
    adapter = FolderAdapter(tmp_path)
    (tmp_path / "in/a-garbage.json").write_bytes(b"\xff{")
    put(tmp_path, "b-no-content", type="tracing-request", to=[BELGIUM])
    put(tmp_path, "c-invalid", type="tracing-request", to=[BELGIUM], content={})
    put(
        tmp_path,
        "d-unknown",
        type="tracing-request",
        to=["xx.contact.none"],
        content=testing.sample_request("1"),
    )
    put(tmp_path, "e-no-such-ref", type="free-text", to=[BELGIUM], content={}, inReplyToRef="never seen")
    (tmp_path / "in/f-link.json").symlink_to(tmp_path / "in/a-garbage.json")
    (tmp_path / "in/.hidden.json").write_text("{}")
    (tmp_path / "in/half.json.part").write_text("{")
    request(tmp_path, "z-good")
    report = run(kenya, adapter, ledger)
    assert [ref for _, ref in report.sent] == ["z-good"]
    refused = {ref: error.code for ref, error in report.refused}
    assert set(refused) == {"a-garbage", "b-no-content", "c-invalid", "d-unknown", "e-no-such-ref", "f-link"}
    assert refused["c-invalid"] == "invalid_content"
    assert refused["e-no-such-ref"] == "unknown_reference"
    for ref, code in refused.items():
        assert read(tmp_path / f"refused/{ref}.error.json")["code"] == code
        assert (tmp_path / f"refused/{ref}.json").exists() or (tmp_path / f"refused/{ref}.json").is_symlink()
    assert {path.name for path in (tmp_path / "in").iterdir()} == {".hidden.json", "half.json.part"}
    # Mended under the same name, it crosses.
    request(tmp_path, "c-invalid")
    assert [ref for _, ref in run(kenya, adapter, ledger).sent] == ["c-invalid"]
    assert ledger.of_ref(Way.IN, "c-invalid").state is CrossingState.CROSSED


def test_one_identifier_with_two_contents_is_refused(world, tmp_path, ledger):
    kenya = world.client(KENYA)
    adapter = FolderAdapter(tmp_path)
    request(tmp_path, "one", ref="SAME")
    [(message, _)] = run(kenya, adapter, ledger).sent
    put(
        tmp_path,
        "two",
        ref="SAME",
        type="tracing-request",
        to=[BELGIUM],
        content=testing.sample_request("KE-2"),
    )
    report = run(kenya, adapter, ledger)
    assert [ref for ref, _ in report.refused] == ["SAME"]
    assert ledger.of_ref(Way.IN, "SAME").message == message
    assert len(kenya.messages("out")) == 1


def test_a_broker_that_is_away_refuses_nothing(world, tmp_path, ledger):
    kenya = world.client(KENYA)
    adapter = FolderAdapter(tmp_path)
    request(tmp_path)
    for _ in kenya.inbox():
        pass
    world.broker.offline = True
    with pytest.raises(TransportError):
        relay(kenya, adapter, ledger, lambda: 1)
    assert (tmp_path / "in/KE-1.json").exists()
    assert not ledger.crossings()
    world.broker.offline = False
    assert len(run(kenya, adapter, ledger).sent) == 1
    assert len(kenya.messages("out")) == 1


def handling(tlp=Tlp.AMBER, codes=(), originator_control=False):
    return Handling(
        tlp, Classification.OFFICIAL, codes, originator_control, UsePurpose.CRIMINAL_INVESTIGATION, 2**43
    )


@pytest.mark.parametrize(
    ("kept", "one"),
    [
        (True, handling(Tlp.RED)),
        (True, handling(Tlp.AMBER_STRICT)),
        (True, handling(codes=(HandlingCode.H2,))),
        (True, handling(originator_control=True)),
        (False, handling()),
        (False, handling(Tlp.GREEN, (HandlingCode.H0,))),
        (False, handling(codes=(HandlingCode.H1,))),
    ],
)
def test_what_must_stay_in_the_agency_is_withheld_from_a_system_that_others_read(
    world, tmp_path, ledger, kept, one
):
    assert (withheld_because(one) is not None) is kept
    kenya, belgium = world.client(KENYA), world.client(BELGIUM)
    one = Handling(
        **{**{n: getattr(one, n) for n in one.__slots__}, "retention_until": world.clock() + 10**10}
    )
    belgium.send("lost-or-stolen-notice", testing.sample_notice("BE-9"), [KENYA], handling=one)
    outside = FolderAdapter(tmp_path / "o", within_agency=False)
    report = run(kenya, outside, ledger)
    assert (len(report.withheld), len(report.delivered)) == ((1, 0) if kept else (0, 1))
    assert len(list((tmp_path / "o/out").iterdir())) == (0 if kept else 1)
    inside, second = FolderAdapter(tmp_path / "i"), Ledger(":memory:")
    assert len(run(kenya, inside, second).delivered) == 1
    second.close()
