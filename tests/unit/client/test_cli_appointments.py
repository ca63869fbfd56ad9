"""Witnesses and auditors appointed by command line: drafted, shown in words, signed, published, withdrawn."""

import pytest

from countermark_client import Profile, testing
from countermark_protocol.cosignature import encode_cosigner_vkey, parse_cosigner_key
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm
from support.cli import PASSPHRASE, cli_for
from support.witnesses import LOG_KEY

NAIROBI, OFFICE = "ke.police.nairobi", "ke.auditor.office"
ONE, TWO = (encode_cosigner_vkey(parse_cosigner_key(f"w.example/{n}", 4, LOG_KEY)) for n in "12")


@pytest.fixture
def world():
    return testing.world(NAIROBI, OFFICE)


@pytest.fixture
def cli(world, tmp_path):
    return cli_for(world, tmp_path)


@pytest.fixture
def decide(world, cli):
    """Drafts, shows, signs and publishes as a principal; what was shown."""

    def run(home, signer, *draft):
        if not (cli.folder / home).exists():
            Profile.create(
                cli.folder / home,
                address=None,
                broker_url=world.url,
                trust=world.trust,
                passphrase=PASSPHRASE,
                keys=[StoredKey(home, Algorithm.ED25519, signer._private.private_bytes_raw())],
            ).close()
        file = cli.folder / f"{len(list(cli.folder.iterdir()))}.draft"
        cli.run("draft", *draft, "-o", file, home=home)
        shown = cli.run("document", "show", file, home=home).stdout
        cli.run("document", "sign", file, "--yes", home=home)
        cli.run("document", "publish", file, home=home)
        return shown

    return run


def test_witnesses_are_named_and_withdrawn(world, decide):
    def govern(*options):
        return decide("governor", world._governor, "governance", *options)

    shown = govern(
        "--witness", f"first={ONE}@https://w1.example", "--witness", f"second={TWO}", "--witness-quorum", "2"
    )
    assert "witnesses    2 of 2 make a checkpoint witnessed" in shown
    assert "  first, asked at https://w1.example" in shown
    log = world.broker.state.directory.log()
    assert [(w.name, w.url) for w in log.witnesses] == [("first", "https://w1.example"), ("second", None)]
    assert (log.witness_quorum, log.auditors) == (2, ())
    shown = govern("--remove-witness", "first", "--witness-quorum", "1")
    assert "witnesses    1 of 1 make a checkpoint witnessed" in shown
    assert [w.name for w in world.broker.state.directory.log().witnesses] == ["second"]
    assert "witnesses    none" in govern("--remove-witness", "second")
    assert world.broker.state.directory.log().witness_quorum == 0


def test_an_oversight_auditor_is_appointed_and_withdrawn_and_all_else_stays(world, decide):
    def govern(*options):
        return decide("governor", world._governor, "governance", *options)

    govern("--witness", f"first={ONE}", "--witness-quorum", "1")
    shown = govern("--auditor", OFFICE, "--since", "2026-12-01", "--until", "2027-12-01")
    assert f"  {OFFICE}, from 2026-12-01 00:00:00Z until 2027-12-01 00:00:00Z" in shown
    log = world.broker.state.directory.log()
    assert ([a.address for a in log.auditors], log.witness_quorum) == ([OFFICE], 1)
    assert "auditors     none with oversight" in govern("--remove-auditor", OFFICE)
    assert world.broker.state.directory.log().auditors == ()


def test_a_national_auditors_term_is_set_kept_and_withdrawn(world, decide):
    def change(*options):
        decide("authority", world.authority("ke"), "endpoint", OFFICE, *options)
        return world.broker.state.directory.held(f"endpoint/{OFFICE}").record

    assert change("--audits-since", "2026-12-01", "--audits-until", "2027-12-01").audits is not None
    assert change("--suspend").audits is not None
    assert change("--resume", "--withdraw-audits").audits is None


def test_a_term_is_shown_in_words(world, decide):
    options = ("--audits-since", "2026-12-01", "--audits-until", "2027-12-01")
    shown = decide("authority", world.authority("ke"), "endpoint", OFFICE, *options)
    assert "audits       from 2026-12-01 00:00:00Z until 2027-12-01 00:00:00Z" in shown


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("governance", "--auditor", OFFICE), 2, "--auditor, --since and --until go together"),
        (("governance", "--since", "2026-12-01"), 2, "--auditor, --since and --until go together"),
        (("governance", "--witness", "w=x", "--witness-quorum", "1"), 1, "error:"),
        (("governance", "--witness", f"w={ONE}"), 1, "bad_witness_quorum"),
        (("governance", "--remove-witness", "w"), 1, "unknown_witness"),
        (("governance", "--remove-auditor", OFFICE), 1, "unknown_auditor"),
        (("endpoint", OFFICE, "--audits-since", "2026-12-01"), 2, "go together"),
        (
            ("endpoint", NAIROBI, "--audits-since", "2026-12-01", "--audits-until", "2027-12-01"),
            1,
            "role 'auditor'",
        ),
    ],
)
def test_what_is_not_said_well(world, cli, options, code, told):
    Profile.create(
        cli.folder / "one",
        address=None,
        broker_url=world.url,
        trust=world.trust,
        passphrase=PASSPHRASE,
        keys=[StoredKey("governor", Algorithm.ED25519, world._governor._private.private_bytes_raw())],
    ).close()
    assert told in cli.run("draft", *options, "-o", cli.folder / "x.draft", home="one", code=code).stderr
