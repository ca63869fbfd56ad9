"""What integrators test audits against: the broker in memory shows an auditor what a real one does, by the same rules."""

import pytest

from countermark_client import testing
from countermark_client.audit import (
    BrokerSource,
    Mirror,
    Signatures,
    look_up,
    mandate_of,
    synchronise,
    verify_mirror,
)
from countermark_protocol.acts import Scope
from countermark_protocol.boxes import Box
from countermark_protocol.comparing import compare
from countermark_protocol.errors import CountermarkError, NotFoundError
from countermark_protocol.holdings import parse_holdings
from support.cli import cli_for

POLICE, MOMBASA, BELGIUM = "ke.police.nairobi", "ke.police.mombasa", "be.contact.federal"
AUDITOR, PANEL = "ke.auditor.office", "xo-un.auditor.panel"
HOUR = 3_600_000


@pytest.fixture
def world():
    world = testing.world(POLICE, MOMBASA, BELGIUM)
    world.appoint_auditor(AUDITOR, Scope.NATIONAL)
    world.appoint_auditor(PANEL, Scope.OVERSIGHT)
    return world


def exchange(world):
    kenya, belgium = world.client(POLICE), world.client(BELGIUM)
    kenya.send("tracing-request", testing.sample_request(), to=[BELGIUM])
    for message in belgium.inbox():
        message.accept()
    kenya.notices()
    return kenya, belgium


def audited(world, who, scope, mirror):
    """Read as an auditor does; what the mirror took in."""
    client = world.client(who)
    client.sync()
    made = look_up(client, mirror, scope, "quarterly review", world.clock() + HOUR)
    source = BrokerSource(client, made.payload)
    with Signatures(0) as signatures:
        mandate = mandate_of(client.profile, scope)
        done = synchronise(mirror, source, mandate, clock=world.clock, signatures=signatures)
    return done, source


@pytest.mark.parametrize(("who", "scope"), [(AUDITOR, Scope.NATIONAL), (PANEL, Scope.OVERSIGHT)])
def test_an_auditor_brings_its_mirror_up_to_date(world, who, scope):
    exchange(world)
    mirror = Mirror(None)
    done, _ = audited(world, who, scope, mirror)
    assert (done.size, done.verified, done.open) == (world.broker.state.size,) * 2 + ((),)
    exchange(world)
    again, _ = audited(world, who, scope, mirror)
    assert again.open == ()
    assert again.size > done.size
    with Signatures(0) as signatures:
        fingerprint = world.client(who).profile.trust.fingerprint
        assert verify_mirror(mirror, fingerprint, clock=world.clock, signatures=signatures).found == ()


def test_what_an_auditor_holds_fits_what_an_owner_holds(world, tmp_path):
    """Both mandates, by commands, against an endpoint; each box from a mirror is the owner's."""
    world.profile(AUDITOR, folder=tmp_path / AUDITOR).close()
    world.profile(PANEL, folder=tmp_path / PANEL).close()
    cli = cli_for(world, tmp_path)
    exchange(world)
    kenya, _ = exchange(world)
    kenya.sync_sent()
    files = []
    for who, scope in ((AUDITOR, "national"), (PANEL, "oversight")):
        cli.run("audit", "look-up", "--scope", scope, "--ground", "review", home=who)
        cli.run("audit", "sync", "--processes", "0", home=who)
        out = tmp_path / f"{scope}.holdings"
        told = cli.json("audit", "holdings", "-o", out, "--endpoint", POLICE, home=who, passphrase="")
        assert (told["entries"], told["dropped"]) == (2 + 4, 0)  # sent, and receipts in notices
        files.append(out)
    done = cli.json("compare", *files, home="nobody", passphrase="")
    assert done["found"] == []
    sides = [kenya.holdings().holdings, *(parse_holdings(file.read_bytes()) for file in files)]
    own = {e.own.row.tail for e in sides[0].entries}
    assert all({e.own.row.tail for e in side.entries} == own for side in sides[1:])
    assert compare(sides).found == ()


@pytest.mark.parametrize(
    ("who", "scope", "other", "after", "code"),
    [
        (AUDITOR, Scope.NATIONAL, None, 2 * HOUR, "look_up_over"),
        (PANEL, Scope.OVERSIGHT, None, 2 * HOUR, "look_up_over"),
        (AUDITOR, Scope.NATIONAL, "entries", 0, "other_scope"),
        (PANEL, Scope.OVERSIGHT, "boxes", 0, "other_scope"),
        (AUDITOR, Scope.NATIONAL, "foreign", 0, "outside_mandate"),
    ],
)
def test_what_is_not_shown(world, who, scope, other, after, code):
    exchange(world)
    _, source = audited(world, who, scope, Mirror(None))
    world.clock.advance(seconds=after // 1000)
    box = ("be.contact.federal" if other == "foreign" else POLICE, Box.SENT, 0)
    wants_entries = other == "entries" or (other is None and scope is Scope.OVERSIGHT)
    with pytest.raises(CountermarkError) as caught:
        source.entries(0) if wants_entries else source.box(*box)
    assert caught.value.code == code


def test_nobody_reads_without_a_look_up_of_its_own(world):
    _, source = audited(world, PANEL, Scope.OVERSIGHT, Mirror(None))
    stolen = BrokerSource(world.client(AUDITOR), bytes.fromhex(source._prefix.rpartition("/")[2]))
    for one in (stolen, BrokerSource(world.client(PANEL), b"\x07" * 32)):
        with pytest.raises(NotFoundError) as caught:
            one.entries(0)
        assert caught.value.code == "no_such_look_up"


def test_a_series_of_witnessed_checkpoints(world):
    world.appoint_witnesses("north", "south", quorum=2)
    panel = world.client(PANEL)
    panel.sync()
    source = BrokerSource(panel, b"\x07" * 32)
    assert source.witnessed(0).items == ()
    world.cosign("north", "south")
    sizes = [world.broker.state.size]
    world.clock.advance(seconds=120)
    for _ in range(2):
        exchange(world)
        world.cosign("north", "south")
        world.cosign("north", "south")  # of one minute the newest
        sizes.append(world.broker.state.size)
        world.clock.advance(seconds=120)
    series = source.witnessed(0)
    assert [int(i.checkpoint.split(b"\n")[1]) for i in series.items] == sizes
    assert [i.minute for i in source.witnessed(series.items[1].minute).items] == [
        i.minute for i in series.items[1:]
    ]
    session = panel._core.session
    for wanted, size in ((1, sizes[0]), (sizes[0] + 1, sizes[1]), (sizes[2], sizes[2])):
        answer, _ = panel._run(session.call("GET", "/v1/log/witnessed", f"size={wanted}"))
        assert int(answer.body.split(b"\n")[1]) == size
    assert world.broker.cosigned == series.items[-1].checkpoint
    done, _ = audited(world, PANEL, Scope.OVERSIGHT, Mirror(None))
    assert done.open == ()
