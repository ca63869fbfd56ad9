"""The demo's world: a log founded by three governors, four States, an organisation, and their endpoints.

Nothing here is a shortcut: the broker is the real one in a process of its own, every statement gathers its
signatures and is published to it, and every endpoint has a profile on disk with keys of its own.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from countermark_client import Client, MemoryKeystore, Profile, Settings, fetch_invitation, make_key
from countermark_client.statements import Drafts, sign_gathering
from countermark_protocol.default_policy import DEFAULT_POLICY
from countermark_protocol.encoding import encode_json
from countermark_protocol.identifiers import parse_address
from countermark_protocol.invitations import show_code
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Signer
from countermark_protocol.signers import load_signer
from demo.ports import free_port

ORIGIN = "log.example.org/countermark/demo"
GROUP = "xo-interpol/firearms-desks"

#: Sees every statement of the log, and no content.
AUDITOR = "xo-interpol.auditor.panel"

#: One endpoint of every role at least; who plays what is made up.
#: What a cast is: authority → (name, endpoint → name for people).
Cast = Mapping[str, tuple[str, Mapping[str, str]]]

CAST: Cast = {
    "us": (
        "United States (exercise)",
        {
            "us.police.delaware": "Firearms desk, Delaware",
            "us.police.bloomington": "Property crimes, Bloomington",
            "us.customs.newark": "Seaport of Newark",
            "us.contact.national": "National point of contact",
        },
    ),
    "br": (
        "Brazil (exercise)",
        {
            "br.contact.national": "National point of contact",
            "br.intelligence.arms": "Arms trafficking analysis",
            "br.military.controlled-goods": "Controlled goods",
        },
    ),
    "be": (
        "Belgium (exercise)",
        {
            "be.contact.national": "National point of contact",
            "be.licensing.federal": "Federal licensing",
            "be.judicial.central": "Central authority for legal assistance",
            "be.donor.cooperation": "Development cooperation",
            "be.auditor.national": "National auditor",
        },
    ),
    "ke": (
        "Kenya (exercise)",
        {
            "ke.contact.national": "National focal point",
            "ke.ncb.nairobi": "National central bureau",
            "ke.border.malaba": "Border post Malaba",
        },
    ),
    "xo-interpol": (
        "International organisation (exercise)",
        {
            "xo-interpol.organisation.firearms": "Firearms registry",
            "xo-interpol.secretariat.general": "General secretariat",
            AUDITOR: "Oversight panel",
        },
    ),
}
#: Who may not hold operational messages is not in the group.
GROUP_MEMBERS = tuple(
    address
    for _, endpoints in CAST.values()
    for address in endpoints
    if address.split(".")[1] not in {"donor", "auditor", "secretariat"}
)


def fresh_key(use: str) -> tuple[StoredKey, Signer]:
    """A fresh private key, and what signs with it."""
    key = make_key(use)
    return key, load_signer(key.algorithm, key.private)


def fresh_keystore() -> MemoryKeystore:
    """The keys that an endpoint makes for itself."""
    return MemoryKeystore(tuple(make_key(use) for use in ("administrator", "instance", "sealing")))


@dataclass(slots=True)
class World:
    """Where everything lies, and the clients of all endpoints.

    Attributes:
        root: the demo's folder, made anew at each run.
        url: of the broker.
        passphrase: of all profiles of the demo; in ``passphrase.txt``.
        governors: their keys.
        clients: by address.
        enrolled: by address, the code of the invitation and the fingerprint that was compared.
    """

    root: Path
    url: str
    passphrase: str
    governors: list[Signer] = field(default_factory=list)
    clients: dict[str, Client] = field(default_factory=dict)
    enrolled: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def broker_home(self) -> Path:
        """Home of the broker."""
        return self.root / "broker"

    @property
    def trust(self) -> bytes:
        """The trust file."""
        return (self.broker_home / "founding.trust").read_bytes()

    def close(self) -> None:
        """Close all clients."""
        for client in self.clients.values():
            client.close()
            client.profile.close()


def run_broker(*arguments: str) -> str:
    """Run one `countermark-broker` command to its end; what it printed.

    Raises:
        RuntimeError: it failed; with what it said.
    """
    command = [sys.executable, "-m", "countermark_broker.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"countermark-broker {arguments[0]} failed:\n{done.stdout}{done.stderr}"
        raise RuntimeError(msg)
    return done.stdout


def found(root: Path, database_url: str = "") -> World:
    """Make keys, gather the governors' signatures, and found the log; on SQLite unless told otherwise."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(mode=0o700)
    port = free_port()
    world = World(root, f"http://127.0.0.1:{port}", secrets.token_urlsafe(18))
    passphrase_file = root / "passphrase.txt"
    passphrase_file.touch(mode=0o600)
    passphrase_file.write_text(world.passphrase + "\n", encoding="utf-8")
    arguments: list[str] = []
    for number in range(1, 4):
        _, signer = fresh_key("governor")
        world.governors.append(signer)
        public = root / f"governor-{number}.pub"
        public.write_bytes(encode_json(signer.public_key.to_json()))
        arguments += ["--governor", str(public)]
    home = str(world.broker_home)
    run_broker(
        "init",
        *("--home", home, "--origin", ORIGIN, "--broker-address", "xo-countermark.broker.main"),
        *("--authority-host", f"127.0.0.1:{port}", "--quorum", "2", *arguments),
        *("--passphrase-file", str(passphrase_file)),
    )
    with (world.broker_home / "broker.toml").open("a", encoding="utf-8") as settings:
        settings.write(f"port = {port}\n")
        # Limits for one network address: everybody sits at one machine here.
        settings.write("invitation_lookups = 0\n")
        if database_url:
            settings.write(f'database_url = "{database_url}"\n')
    draft = world.broker_home / "founding.draft"
    draft.write_bytes(sign_gathering(draft.read_bytes(), world.governors))
    run_broker("found", "--home", home, "--founding", str(draft))
    return world


@contextmanager
def serving(world: World) -> Iterator[None]:
    """The broker in a process of its own, stopped at the end whatever happens."""
    command = [
        sys.executable,
        "-m",
        "countermark_broker.cli",
        "serve",
        "--home",
        str(world.broker_home),
        "--json-lines",
    ]
    log = (world.root / "broker.log").open("w", encoding="utf-8")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=dict(os.environ))
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line or "listening" not in json.loads(line):
            msg = f"the broker did not start; see {log.name}"
            raise RuntimeError(msg)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
        log.close()


def fresh_client(
    world: World,
    folder: str,
    address: str | None,
    keys: list[StoredKey],
    trust: bytes | None = None,
    holder: str = "worker-1",
) -> Client:
    """A client over a new profile in a folder of the demo's."""
    profile = Profile.create(
        world.root / folder,
        address=address,
        broker_url=world.url,
        trust=trust or world.trust,
        passphrase=world.passphrase,
        holder=holder,
        keys=keys,
    )
    return Client(profile, settings=Settings(page_size=500))


def govern(world: World, cast: Cast | None = None) -> None:
    """The governors' quorum admits the authorities, each with its mandate, and adopts the default policy."""
    quorum = world.governors[:2]
    drafts = Drafts(ORIGIN)
    first = True
    for code, (name, endpoints) in (CAST if cast is None else cast).items():
        key, signer = fresh_key("authority")
        draft = drafts.authority(
            code,
            name=name,
            keys=[signer.public_key],
            roles=sorted({address.split(".")[1] for address in endpoints}),
        )
        # An authority's key stands in the directory from here on, so its client can publish and read.
        authority = fresh_client(world, f"authorities/{code}", None, [key])
        authority.publish_statement(sign_gathering(draft, quorum, [signer]))
        if first:
            authority.publish_statement(sign_gathering(drafts.policy(DEFAULT_POLICY), quorum))
            first = False
        authority.sync()
        _enrol(world, authority, endpoints)
        if GROUP.startswith(f"{code}/"):
            group = authority.drafts.group(GROUP, title="Firearms desks", members=GROUP_MEMBERS)
            authority.publish_statement(sign_gathering(group, [signer]))
        authority.close()
        authority.profile.close()
    for client in world.clients.values():
        client.sync()


def _enrol(world: World, authority: Client, endpoints: Mapping[str, str]) -> None:
    """Enrol endpoints by the three steps of docs/howto/enrol-an-agency.md, each side with what it has at hand."""
    for address, name in endpoints.items():
        # 1. The authority invites, and gives its applicant the code.
        code = show_code(authority.invite(address, days=1).code)
        # 2. The applicant makes its keys, hands in its request, and reads out the fingerprint.
        invitation, trust = fetch_invitation(code, world.url)
        keys = list(fresh_keystore().stored)
        client = fresh_client(world, f"agencies/{address}", invitation.address, keys, trust.document.data)
        told = client.request_enrolment(code, name)
        # 3. The authority compares it, and approves.
        [waiting] = authority.invitations().waiting
        authority.approve_enrolment(waiting, told)
        if not client.wait_enrolled(timedelta(seconds=30)):
            msg = f"{address} was approved and is not enrolled"
            raise RuntimeError(msg)
        world.clients[address] = client
        world.enrolled[address] = code, told


@contextmanager
def second_person(world: World, address: str) -> Iterator[Client]:
    """A client of another person at an endpoint: a signing key of its own beside the first, certified like it."""
    first = world.clients[address]
    keystore = first.profile.keystore
    assert isinstance(keystore, MemoryKeystore)  # of a file, not of a token
    stored = {key.use: key for key in keystore.stored}
    fresh, signer = fresh_key("instance")
    first.sync()
    record = first.directory.keys(parse_address(address))
    assert record is not None
    draft = first.drafts.keys(
        address,
        signing=[*((each.key, each.holder) for each in record.signing), (signer.public_key, "officer-2")],
        sealing=record.sealing,
        reads=record.reads,
    )
    administrator = keystore.signer("administrator")
    first.publish_statement(sign_gathering(draft, [administrator], [signer]))
    folder = f"agencies/{address}-officer-2"
    second = fresh_client(world, folder, address, [fresh, stored["sealing"]], holder="officer-2")
    second.sync()
    first.sync()
    try:
        yield second
    finally:
        second.close()
        second.profile.close()
