"""Keys lost or stolen, and quorums changed: the procedures of docs/operations/keys-lost-or-stolen.md, command by command.

Three governors, any two of whom decide; an authority with one key; an endpoint. The log's own key, which needs a broker's
home, is in tests/integration/test_log_key_lost.py.
"""

from datetime import UTC, datetime

import pytest

from countermark_client import testing
from countermark_client.testing._witnesses import describe, make_cosigner
from countermark_protocol.errors import SignatureError
from countermark_protocol.identifiers import Address, AuthorityCode
from support.founded import BROKER, POLICE, URL, Founded

KISUMU = Address("ke.police.kisumu")


class Procedures(Founded):
    """What people type, by who they are."""

    def key(self, name, use):
        """A new key file; its public half."""
        path = self.folder / f"{name}.key"
        self.cli.run("key", "new", "--use", use, "--out", path)
        return path

    def state(self, by, *args, signers=None, possession=(), code=0):
        """Draft, sign, publish; the error where it is refused."""
        draft = self.folder / f"{len(list(self.folder.iterdir()))}.draft"
        self.cli.run("draft", *args, "-o", draft, home=by)
        for home in signers or (by,):
            self.cli.run("document", "sign", draft, "--yes", home=home)
        for key in possession:
            self.cli.run("document", "sign", draft, "--key", key, "--possession", "--yes")
        done = self.cli.json("document", "publish", draft, home=by, code=code)
        return done["error"]["code"] if code else done["index"]

    def principal(self, name):
        self.cli.run(
            "principal",
            "init",
            "--broker",
            URL,
            "--trust",
            self.trust,
            "--key",
            self.folder / f"{name}.key",
            home=name,
        )

    @property
    def directory(self):
        return self.broker.state.directory

    @property
    def log(self):
        return self.directory.log()

    def ago(self, minutes):
        """A moment as people type it."""
        return datetime.fromtimestamp(self.clock() / 1000 - minutes * 60, UTC).isoformat()

    def history(self, subject, home="g1"):
        return self.cli.json("directory", subject, "--history", home=home)["statements"]

    def refused(self, *args, by, signers, possession=()):
        return self.state(by, *args, signers=signers, possession=possession, code=1)

    def can_send(self, home):
        return self.cli.json("whoami", home=home)["enrolled"]


@pytest.fixture
def founded(tmp_path):
    founded = Procedures(tmp_path)
    founded.decide("policy", "--default")
    founded.admit("ke", "kenya")
    founded.enrol(POLICE, "kenya")
    founded.clock.advance(minutes=60)
    return founded


# --- governance ----------------------------------------------------------------------------------------


def test_an_authority_is_suspended_and_taken_back_with_who_when_and_ground(founded):
    founded.state(
        "g1",
        "authority",
        "ke",
        "--suspend",
        "--because",
        "its key room was broken into",
        signers=("g1", "g2"),
    )
    assert founded.directory.authority(AuthorityCode("ke")) is None
    assert founded.can_send(POLICE) is False
    founded.clock.advance(minutes=5)
    founded.state("g2", "authority", "ke", "--resume", "--because", "inspected", signers=("g2", "g3"))
    assert founded.can_send(POLICE) is True
    admitted, suspended, resumed = founded.history("authority/ke")
    assert (admitted["ground"], suspended["ground"], resumed["ground"]) == (
        None,
        "its key room was broken into",
        "inspected",
    )
    assert resumed["time"] - suspended["time"] >= 5 * 60_000
    key_ids = {name: founded.public(name).key_id.hex() for name in ("g1", "g2", "g3")}
    assert set(suspended["signed_by"]) == {key_ids["g1"], key_ids["g2"]}
    assert set(resumed["signed_by"]) == {key_ids["g2"], key_ids["g3"]}
    told = founded.cli.run("directory", "authority/ke", "--history", home="g1").stdout
    assert "its key room was broken into" in told


def test_the_quorum_goes_up_and_down(founded):
    fourth = founded.key("g4", "governor")
    up = (
        "governance",
        "--add-governor",
        f"{fourth}.pub",
        "--quorum",
        "3",
        "--because",
        "a fourth State joins",
    )
    # It is decided by the quorum that stands, and by as many as that.
    assert founded.refused(*up, by="g1", signers=("g1",), possession=[fourth]) == "too_few_signatures"
    assert (
        founded.refused(*up, by="g1", signers=("g1", "g2", "g3"), possession=[fourth])
        == "too_many_signatures"
    )
    assert founded.refused(*up, by="g1", signers=("g1", "g2")) == "missing_possession"
    founded.state("g1", *up, signers=("g1", "g2"), possession=[fourth])
    founded.principal("g4")
    assert (len(founded.log.governors.keys), founded.log.governors.threshold) == (4, 3)
    suspend = ("authority", "ke", "--suspend")
    assert founded.refused(*suspend, by="g1", signers=("g1", "g2")) == "too_few_signatures"
    founded.state("g1", *suspend, signers=("g1", "g3", "g4"))
    founded.state("g1", "authority", "ke", "--resume", signers=("g1", "g2", "g4"))
    down = ("governance", "--remove-governor", f"{fourth}.pub", "--quorum", "2", "--because", "it leaves")
    assert founded.refused(*down, by="g1", signers=("g1", "g2")) == "too_few_signatures"
    founded.state("g1", *down, signers=("g1", "g2", "g3"))
    assert founded.refused(*suspend, by="g1", signers=("g1", "g4")) == "wrong_signer"
    founded.state("g1", *suspend, signers=("g1", "g2"))
    assert [s["ground"] for s in founded.history("log")] == [None, "a fourth State joins", "it leaves"]


def test_a_quorum_that_could_never_be_met_is_not_drafted(founded):
    out = founded.folder / "never.draft"
    error = founded.cli.json("draft", "governance", "--quorum", 4, "-o", out, home="g1", code=1)["error"]
    assert error["code"] == "bad_threshold"
    # Nor one that would leave too few, by taking away who is lost without adding anybody.
    gone = [arg for name in ("g2", "g3") for arg in ("--remove-governor", founded.folder / f"{name}.key.pub")]
    error = founded.cli.json("draft", "governance", *gone, "-o", out, home="g1", code=1)["error"]
    assert error["code"] == "bad_threshold"


# --- a governor's key ----------------------------------------------------------------------------------


def test_a_governors_key_is_lost(founded):
    new = founded.key("new", "governor")
    lost = founded.folder / "g3.key.pub"
    founded.state(
        "g1", "governance", "--remove-governor", lost, "--add-governor", f"{new}.pub",
        "--because", "the token of the third governor was destroyed", signers=("g1", "g2"), possession=[new],
    )  # fmt: skip
    founded.state("g1", "revocation", lost, "--ground", "loss", signers=("g1", "g2"))
    founded.principal("new")
    assert founded.refused("authority", "ke", "--suspend", by="g1", signers=("g1", "g3")) == "wrong_signer"
    founded.state("g1", "authority", "ke", "--suspend", signers=("g1", "new"))
    founded.state("g1", "authority", "ke", "--resume", signers=("g1", "new"))
    # What it signed before stands, and so does everybody below.
    assert founded.can_send(POLICE) is True


def test_a_governors_key_is_stolen(founded):
    """The thief and a second governor's negligence: what both signed after the theft stands no more."""
    stolen_at = founded.ago(30)
    founded.decide("authority", "ke", "--name", "Kenya, by the thief")  # signed by g1 and the stolen g3
    new = founded.key("new", "governor")
    stolen = founded.folder / "g3.key.pub"
    # First the revocation, so that the key counts for nothing from this entry on; then another governor.
    founded.state(
        "g1",
        "revocation",
        stolen,
        "--ground",
        "compromise",
        "--compromised-at",
        stolen_at,
        signers=("g1", "g2"),
    )
    assert founded.refused("authority", "ke", "--suspend", by="g1", signers=("g1", "g3")) == "wrong_signer"
    founded.state(
        "g1", "governance", "--remove-governor", stolen, "--add-governor", f"{new}.pub",
        "--because", "theft of 12 May", signers=("g1", "g2"), possession=[new],
    )  # fmt: skip
    # The authority's record bears a signature of after the theft: until it is stated anew, it and all below stand no more.
    assert founded.directory.authority(AuthorityCode("ke")) is None
    assert founded.can_send(POLICE) is False
    listed = founded.cli.json("directory", "authority/", home="g1")["records"]
    assert [r["subject"] for r in listed if not r["stands"]] == ["authority/ke"]
    founded.principal("new")
    founded.state(
        "g1", "authority", "ke", "--name", "Kenya", "--because", "stated anew", signers=("g1", "new")
    )
    assert founded.can_send(POLICE) is True
    assert founded.directory.authority(AuthorityCode("ke")).name == "Kenya"


def test_a_thief_of_one_key_of_a_quorum_can_end_that_key_and_do_nothing_else(founded):
    for args in (
        ("authority", "ke", "--suspend"),
        ("governance", "--quorum", "1"),
        ("revocation", founded.folder / "g1.key.pub", "--ground", "loss"),
    ):
        assert founded.refused(*args, by="g3", signers=("g3",)) in {"too_few_signatures", "wrong_signer"}
    founded.state("g3", "revocation", founded.folder / "g3.key.pub", "--ground", "loss")
    assert founded.directory.revocation(founded.public("g3").key_id) is not None


# --- an authority's key --------------------------------------------------------------------------------


def test_an_authoritys_key_is_lost(founded):
    new = founded.key("kenya-2", "authority")
    founded.state(
        "g1", "authority", "ke", "--key", f"{new}.pub", "--remove-key", founded.folder / "kenya.key.pub",
        "--because", "passphrase forgotten", signers=("g1", "g2"), possession=[new],
    )  # fmt: skip
    founded.state(
        "g1", "revocation", founded.folder / "kenya.key.pub", "--ground", "loss", signers=("g1", "g2")
    )
    founded.principal("kenya-2")
    # Whom it had enrolled stays enrolled; the new key enrols, the old one does not.
    assert founded.can_send(POLICE) is True
    founded.enrol(KISUMU, "kenya-2")
    assert founded.can_send(KISUMU) is True
    made = founded.init("ke.contact.nairobi")
    error = founded.cli.json("approve", made["request"], "--yes", home="kenya", code=1)["error"]
    assert error["code"] in {"wrong_signer", "unknown_key", "key_not_standing"}


def test_an_authoritys_key_is_stolen(founded):
    """The thief enrolled an endpoint of its own, and suspended a true one."""
    stolen_at = founded.ago(30)
    founded.enrol(KISUMU, "kenya")
    founded.state("kenya", "endpoint", POLICE, "--suspend")
    assert (founded.can_send(KISUMU), founded.can_send(POLICE)) == (True, False)
    new = founded.key("kenya-2", "authority")
    # Its holder, or the governors, revoke it at once.
    founded.state(
        "kenya",
        "revocation",
        founded.folder / "kenya.key.pub",
        "--ground",
        "compromise",
        "--compromised-at",
        stolen_at,
    )
    founded.state(
        "g1", "authority", "ke", "--key", f"{new}.pub", "--remove-key", founded.folder / "kenya.key.pub",
        "--because", "theft", signers=("g1", "g2"), possession=[new],
    )  # fmt: skip
    founded.principal("kenya-2")
    # The false endpoint stands no more, since only the thief vouched for it.
    assert founded.directory.endpoint(KISUMU) is None
    assert founded.can_send(KISUMU) is False
    # The true one is stated anew, as it was.
    founded.state("kenya-2", "endpoint", POLICE, "--resume", "--because", "stated anew after the theft")
    assert founded.can_send(POLICE) is True


def test_an_authority_of_two_keys_goes_on_with_the_other_until_the_governors_act(founded):
    founded.admit("tz", "first", "second", threshold=2)
    third = founded.key("third", "authority")
    founded.state(
        "g1", "authority", "tz", "--key", f"{third}.pub", "--remove-key", founded.folder / "second.key.pub",
        signers=("g1", "g2"), possession=[third],
    )  # fmt: skip
    founded.principal("third")
    made = founded.init("tz.police.arusha")
    founded.cli.run("approve", made["request"], "--yes", home="first")
    error = founded.cli.json("approve", made["request"], "--yes", home="second", code=1)["error"]
    assert error["code"] in {"wrong_signer", "too_few_signatures", "unknown_key", "key_not_standing"}


# --- an administrator's key ----------------------------------------------------------------------------


def test_an_administrators_key_is_lost(founded):
    old = founded.directory.endpoint(Address(POLICE)).administrator.keys[0].key_id.hex()
    new = founded.key("admin-2", "administrator")
    founded.state(
        "kenya", "endpoint", POLICE, "--key", f"{new}.pub", "--remove-key", old,
        "--because", "the safe's key is lost", possession=[new],
    )  # fmt: skip
    founded.state("kenya", "revocation", old, "--ground", "loss")
    # Its instances go on; the new administrator certifies another one.
    assert founded.can_send(POLICE) is True
    desk = founded.key("desk", "instance")
    draft = founded.folder / "keys.draft"
    founded.cli.run("key", "add", new, home=POLICE)
    founded.cli.run(
        "draft",
        "keys",
        POLICE,
        "--add-instance",
        f"{desk}.pub",
        "--holder",
        "desk-2",
        "-o",
        draft,
        home=POLICE,
    )
    founded.cli.run("document", "sign", draft, "--key", new, "--yes", home=POLICE)
    founded.cli.run("document", "sign", draft, "--key", desk, "--possession", "--yes", home=POLICE)
    founded.cli.run("document", "publish", draft, home=POLICE)
    assert [k.holder for k in founded.directory.keys(Address(POLICE)).signing].count("desk-2") == 1


def test_an_administrators_key_is_stolen(founded):
    """The thief added an instance of its own: the keys it certified stand no more, until they are stated anew."""
    stolen_at = founded.ago(30)
    thiefs, draft = founded.key("thief", "instance"), founded.folder / "thief.draft"
    founded.cli.run("draft", "keys", POLICE, "--add-instance", f"{thiefs}.pub", "-o", draft, home=POLICE)
    founded.cli.run("document", "sign", draft, "--use", "administrator", "--yes", home=POLICE)
    founded.cli.run("document", "sign", draft, "--key", thiefs, "--possession", "--yes", home=POLICE)
    founded.cli.run("document", "publish", draft, home=POLICE)
    old = founded.directory.endpoint(Address(POLICE)).administrator.keys[0].key_id.hex()
    new = founded.key("admin-2", "administrator")
    founded.state(
        "kenya",
        "endpoint",
        POLICE,
        "--key",
        f"{new}.pub",
        "--remove-key",
        old,
        "--because",
        "theft",
        possession=[new],
    )
    founded.state("kenya", "revocation", old, "--ground", "compromise", "--compromised-at", stolen_at)
    thief_id = founded.public("thief").key_id.hex()
    founded.state("kenya", "revocation", thief_id, "--ground", "compromise", "--compromised-at", stolen_at)
    assert founded.directory.keys(Address(POLICE)) is None
    assert founded.can_send(POLICE) is False
    # The new administrator states the true instance and the sealing key anew.
    restated = founded.folder / "restated.draft"
    founded.cli.run("draft", "keys", POLICE, "--remove-instance", thief_id, "-o", restated, home="kenya")
    founded.cli.run("document", "sign", restated, "--key", new, "--yes", home="kenya")
    founded.cli.run("document", "publish", restated, home="kenya")
    assert founded.can_send(POLICE) is True


def test_the_brokers_administrators_key_is_stolen(founded):
    """The next one states the node keys anew, and only then is the old one revoked: the broker is never without keys."""
    old = founded.administrator.public_key.key_id.hex()
    new = founded.key("broker-admin-2", "administrator")
    founded.state(
        "g1", "governance", "--add-administrator", f"{new}.pub", "--remove-administrator", old,
        "--because", "theft", signers=("g1", "g2"), possession=[new],
    )  # fmt: skip
    draft = founded.folder / "nodes.draft"
    founded.cli.run("draft", "keys", BROKER, "--restate", "--because", "stated anew", "-o", draft, home="g1")
    founded.cli.run("document", "sign", draft, "--key", new, "--yes", home="g1")
    founded.cli.run("document", "publish", draft, home="g1")
    founded.state(
        "g1",
        "revocation",
        old,
        "--ground",
        "compromise",
        "--compromised-at",
        founded.ago(600),
        signers=("g1", "g2"),
    )
    first, second = founded.directory.history(f"keys/{BROKER}")
    assert founded.directory.keys(Address(BROKER)) == second.record == first.record
    assert second.ground == "stated anew"
    # What only the stolen key had vouched for stood no more at this date.
    assert first.signers == {founded.administrator.public_key.key_id}
    # Accounts are believed: an end of box is one.
    founded.cli.run("notices", home=POLICE)


# --- a witness's key -----------------------------------------------------------------------------------


def named(witness):
    return f"{witness.name}={','.join(witness.vkeys)}"


def test_a_witness_loses_its_keys(founded):
    first, second, third = (describe(name, make_cosigner(name)) for name in ("east", "west", "north"))
    founded.state(
        "g1", "governance", *(arg for w in (first, second, third) for arg in ("--witness", named(w))),
        "--witness-quorum", "2", signers=("g1", "g2"),
    )  # fmt: skip
    # It makes a new witness, with keys and a store of its own; the governors name that in its place.
    fresh = describe("east", make_cosigner("east-2"))
    assert fresh.vkeys != first.vkeys
    founded.state(
        "g1",
        "governance",
        "--witness",
        named(fresh),
        "--because",
        "its machine burnt down",
        signers=("g1", "g2"),
    )
    assert {w.name: w.vkeys for w in founded.log.witnesses} == {
        "east": fresh.vkeys,
        "west": second.vkeys,
        "north": third.vkeys,
    }
    assert founded.log.witness_quorum == 2
    # Until then, two others made the quorum; one that is stolen is taken off, the quorum with it where need be.
    founded.state(
        "g1", "governance", "--remove-witness", "east", "--witness-quorum", "2", "--because", "stolen",
        signers=("g1", "g2"),
    )  # fmt: skip
    assert [w.name for w in founded.log.witnesses] == ["west", "north"]


def test_cosignatures_of_a_replaced_witness_count_no_more():
    world = testing.world(POLICE, "be.contact.federal")
    world.appoint_witnesses("east", "west", quorum=2)
    client = world.client(POLICE)
    world.cosign("east", "west")
    client.sync()
    world.appoint_witnesses("east-2", "west", quorum=2)
    world.cosign("east", "west")
    with pytest.raises(SignatureError) as caught:
        client.sync()
    assert caught.value.code == "quorum_not_met"
    world.cosign("east-2", "west")
    client.sync()
    assert client.halted is None
