"""A log founded by three governors through the command line, with a broker in memory."""

from __future__ import annotations

import json

from countermark_client import MemoryKeystore, Settings, make_key, testing
from countermark_client.cli.common import Environment
from countermark_client.statements import Drafts, sign_gathering
from countermark_protocol.gathering import finish_gathering
from countermark_protocol.keys import parse_key_json
from support.cli import Cli

ORIGIN, HOST, BROKER = "log.test/founding", "broker.test", "xo-test.broker.log"
URL = f"https://{HOST}"
POLICE, KAMPALA = "ke.police.nairobi", "ug.police.kampala"


def signer(use):
    return MemoryKeystore((make_key(use),)).signer(use)


class Founded:
    """Three governors (any two of them decide), a broker, and everybody's command line in one folder."""

    def __init__(self, folder):
        self.folder = folder
        self.clock = testing.MovableClock()
        self.cli = Cli(folder, Environment(clock=self.clock, sleep=self.clock.sleep))
        for name in ("g1", "g2", "g3"):
            alg = "ES256" if name == "g3" else "Ed25519"
            self.cli.run("key", "new", "--use", "governor", "--alg", alg, "--out", folder / f"{name}.key")
        self.trust = self._found()
        self.transport = testing.TestTransport(self.broker)
        self.cli.environment = Environment(
            transport=self.transport, clock=self.clock, sleep=self.clock.sleep, settings=Settings(attempts=1)
        )
        for name in ("g1", "g2", "g3"):
            self.cli.run(
                "principal",
                "init",
                "--broker",
                URL,
                "--trust",
                self.trust,
                "--key",
                folder / f"{name}.key",
                home=name,
            )

    def public(self, name):
        return parse_key_json(json.loads((self.folder / f"{name}.key.pub").read_text()))

    def _found(self):
        # What `countermark-broker init` does: its own keys, and a draft for the governors.
        log_key, node, administrator = signer("log"), signer("node"), signer("administrator")
        self.administrator = administrator
        draft = self.folder / "founding.draft"
        draft.write_bytes(
            Drafts(ORIGIN).founding(
                log_key=log_key.public_key,
                governors=[self.public(n) for n in ("g1", "g2", "g3")],
                quorum=2,
                broker=BROKER,
                broker_administrator=[administrator.public_key],
            )
        )
        # The governors sign the file one after the other.
        for number, name in enumerate(("g1", "g2", "g3"), 1):
            shown = self.cli.json("document", "show", draft)
            assert (shown["complete"], shown["principal"]["signed"]) == (False, number - 1)
            self.cli.run("document", "sign", draft, "--key", self.folder / f"{name}.key", "--yes")
        # What `countermark-broker found` does: possession by its own keys, and entry 0.
        founding = finish_gathering(sign_gathering(draft.read_bytes(), possession=[log_key, administrator]))
        self.broker = testing.TestBroker(
            founding=founding,
            log_key=log_key,
            node_key=node,
            clock=self.clock,
            authority=HOST,
            pass_time=self.clock.sleep,
        )
        nodes = Drafts(ORIGIN, self.broker.state.directory).keys(
            BROKER, signing=[(node.public_key, "node-1")], sealing=None, reads={}
        )
        self.broker.post_statement(sign_gathering(nodes, [administrator], [node]))
        trust = self.folder / "founding.trust"
        trust.write_bytes(founding)
        return trust

    def decide(self, *draft, possession=()):
        """Two governors draft, sign and publish a statement."""
        file = self.folder / f"{len(list(self.folder.iterdir()))}.draft"
        self.cli.run("draft", *draft, "-o", file, home="g1")
        self.cli.run("document", "sign", file, "--yes", home="g1")
        assert self.cli.json("document", "show", file, home="g2")["complete"] is False
        self.cli.run("document", "sign", file, "--yes", home="g3")
        for key in possession:
            self.cli.run("document", "sign", file, "--key", key, "--possession", "--yes")
        assert self.cli.json("document", "show", file, home="g2")["complete"] is True
        return self.cli.json("document", "publish", file, home="g2")

    def admit(self, code, *names, threshold=1):
        """Governors admit an authority with keys of its own."""
        keys = [self.folder / f"{name}.key" for name in names]
        for key in keys:
            self.cli.run("key", "new", "--use", "authority", "--out", key)
        publics = [arg for key in keys for arg in ("--key", f"{key}.pub")]
        self.decide(
            "authority", code, "--name", f"Authority {code}", *publics, "--threshold", threshold,
            "--role", "police", "--role", "contact", possession=keys,
        )  # fmt: skip
        for name, key in zip(names, keys, strict=True):
            self.cli.run("principal", "init", "--broker", URL, "--trust", self.trust, "--key", key, home=name)

    def init(self, address, home=None, **kwargs):
        return self.cli.json(
            "init",
            "--address",
            address,
            "--broker",
            URL,
            "--trust",
            self.trust,
            home=home or address,
            **kwargs,
        )

    def enrol(self, address, authority):
        made = self.init(address)
        self.cli.run("approve", made["request"], "--fingerprint", made["request_fingerprint"], home=authority)
        self.cli.run("enrol", home=address)
