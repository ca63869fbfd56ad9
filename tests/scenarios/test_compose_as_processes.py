"""docker/compose.yaml without containers: the same commands, settings and balancer as plain processes.

Three `serve` nodes over one PostgreSQL, the checkpoint store on a second server, HAProxy with docker/haproxy.cfg
(TLS included) before them. A little load; one node is stopped and comes back in the middle; then one history.
"""

import json
import re
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from demo.ports import free_port  # noqa: E402

from countermark_broker.config import PREFIX  # noqa: E402
from countermark_protocol.answers import parse_accepted  # noqa: E402
from countermark_protocol.boxes import Box  # noqa: E402
from support.api_client import ApiClient  # noqa: E402
from support.broker_fixtures import AUTHORITY, PASSPHRASE, found, write_home  # noqa: E402
from support.broker_process import environment  # noqa: E402
from support.postgresql import PostgresServer, memory_directory  # noqa: E402
from support.tools import tool  # noqa: E402
from support.world import KAMPALA, NAIROBI, World  # noqa: E402

DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
NODES = [name for name in COMPOSE["services"] if name.startswith("node-")]
SENDERS = 3
EACH = 12


def make_certificate(folder):
    """A certificate for AUTHORITY and its key in one file, as HAProxy wants them; and the certificate alone."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(AUTHORITY), x509.DNSName("localhost")]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "tls.pem").write_bytes(certificate + private)
    (folder / "ca.pem").write_bytes(certificate)


def make_role(server):
    """What docker/database.sh makes: a role without privileges that owns one database."""
    server._admin("CREATE ROLE countermark LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
    server._admin("CREATE DATABASE countermark OWNER countermark ENCODING 'UTF8' TEMPLATE template0")


class Stack:
    """The services of compose.yaml as processes."""

    def __init__(self, world, folder):
        self.world, self.folder = world, folder
        self.home = folder / "home"
        self.ports = {name: free_port() for name in NODES}
        self.public = free_port()
        self.processes = {}
        self.logs = {}
        self.servers = {name: PostgresServer(memory_directory()) for name in ("database", "checkpoints")}

    def settings(self, name):
        """The environment of a service, with names of the compose network made ours."""
        out = {}
        for variable, given in COMPOSE["services"][name]["environment"].items():
            value = given
            for host, server in self.servers.items():
                value = re.sub(
                    rf"//countermark@{host}:5432/countermark\?passfile=\S+",
                    f"//countermark@/countermark?host={server.directory}",
                    value,
                )
            out[variable] = value.replace("/run/secrets/", f"{self.folder}/").replace(
                "172.31.84.0/24", "127.0.0.0/8"
            )
        return environment() | out | {f"{PREFIX}HOME": str(self.home)}

    def command(self, name):
        """The command line of a service."""
        words = list(COMPOSE["services"][name]["command"])
        if "--port" in words:
            words[words.index("--port") + 1] = str(self.ports[name])
            words[words.index("--host") + 1] = "127.0.0.1"
        return [sys.executable, "-m", "countermark_broker.cli", *words]

    def start(self, name):
        log = self.logs[name] = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            self.command(name), env=self.settings(name), stdout=log, stderr=log, cwd=self.folder
        )

    def start_balancer(self):
        text = (DOCKER / "haproxy.cfg").read_text("utf-8").replace("/run/secrets/", f"{self.folder}/")
        for name, port in self.ports.items():
            text = text.replace(f"{name}:8470", f"127.0.0.1:{port}")
        # A limit on open files that a container may raise, and this machine perhaps not.
        text = text.replace("maxconn 20000", "maxconn 500")
        (self.folder / "haproxy.cfg").write_text(text.replace("bind :8443", f"bind 127.0.0.1:{self.public}"))
        log = self.logs["balancer"] = (self.folder / "balancer.log").open("ab")
        self.processes["balancer"] = subprocess.Popen(
            [tool("haproxy", "Debian package haproxy"), "-W", "-f", self.folder / "haproxy.cfg"],
            stdout=log,
            stderr=log,
        )

    def stop(self, name):
        process = self.processes.pop(name)
        process.terminate()
        code = process.wait(60)
        self.logs.pop(name).close()
        return code

    def client(self):
        context = ssl.create_default_context(cafile=self.folder / "ca.pem")
        return ApiClient(
            self.world,
            f"https://localhost:{self.public}",
            AUTHORITY,
            transport=httpx.HTTPTransport(verify=context),
        )

    def wait_until_ready(self, nodes=NODES):
        """Wait until every node of `nodes` says that it is ready."""
        for name in nodes:
            while True:
                assert self.processes[name].poll() is None, (self.folder / f"{name}.log").read_text()
                try:
                    answer = httpx.get(f"http://127.0.0.1:{self.ports[name]}/v1/ready", trust_env=False)
                except httpx.TransportError:
                    pass
                else:
                    if answer.status_code == 200:
                        break
                time.sleep(0.05)

    def close(self):
        for name in reversed(list(self.processes)):
            self.stop(name)
        for server in self.servers.values():
            server.remove()


@pytest.fixture
def stack(tmp_path, key_file_template, monkeypatch):
    tool("haproxy", "Debian package haproxy")
    world = World()
    stack = Stack(world, tmp_path)
    try:
        for server in stack.servers.values():
            server.start()
            make_role(server)
        for name in (n for n in stack.settings("node-1") if n.startswith(PREFIX)):
            monkeypatch.setenv(name, stack.settings("node-1")[name])
        make_certificate(tmp_path)
        (tmp_path / "passphrase").write_text(PASSPHRASE)
        (tmp_path / "passphrase").chmod(0o600)
        write_home(world, stack.home)
        yield stack
    finally:
        stack.close()


async def test_three_nodes_behind_the_balancer_keep_one_history(stack, key_file_template):
    world = stack.world
    await found(world, stack.home)
    (stack.home / "keys").mkdir(mode=0o700)
    (stack.home / "keys" / "broker.keys").write_bytes(key_file_template.read_bytes())
    (stack.home / "keys" / "broker.keys").chmod(0o600)
    stack.start("migrate")
    assert stack.processes["migrate"].wait(60) == 0
    for name in NODES:
        stack.start(name)
    stack.wait_until_ready()
    stack.start_balancer()

    sent, failures = [], []

    def send():
        client = stack.client()
        try:
            for _ in range(EACH):
                message = world.message(NAIROBI, [KAMPALA])
                # A sender repeats the same bytes until it has an answer, as the client's outbox does.
                for _ in range(100):
                    try:
                        answer = client.post_message(message)
                    except httpx.TransportError:
                        time.sleep(0.1)
                        continue
                    if answer.status_code in {200, 201}:
                        sent.append((message, parse_accepted(answer.content).inclusion.index))
                        break
                    assert answer.status_code in {429, 503}, answer.text
                    time.sleep(0.1)
                else:
                    failures.append(message)
        finally:
            client.close()

    threads = [threading.Thread(target=send) for _ in range(SENDERS)]
    for thread in threads:
        thread.start()
    while len(sent) < EACH and any(thread.is_alive() for thread in threads):
        time.sleep(0.01)
    assert stack.stop("node-2") == 0
    stack.start("node-2")
    for thread in threads:
        thread.join()
    assert failures == []
    stack.wait_until_ready()

    client = stack.client()
    client.refresh()
    entries, _state, _ = client.verified_box(KAMPALA, Box.ROUTINE)
    assert len(entries) == len(sent) == EACH * SENDERS
    assert len({index for _, index in sent}) == len(sent)
    # Figures are not the world's; the request line's query is in no log.
    assert client.http.get("/metrics").status_code == 404
    assert client.http.get("/v1/log/leaves?from=0&limit=7").status_code == 200
    client.close()

    checkpoints = set()
    for name in NODES:
        answer = httpx.get(f"http://127.0.0.1:{stack.ports[name]}/v1/log/checkpoint", trust_env=False)
        checkpoints.add(answer.content)
    assert len(checkpoints) == 1
    for name in [n for n in NODES if n in stack.processes]:
        assert stack.stop(name) == 0
    for command in (["fsck"], ["rebuild", "--check"], ["doctor"]):
        done = subprocess.run(
            [sys.executable, "-m", "countermark_broker.cli", *command, "--json"],
            env=stack.settings("operator"),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    served = {}
    for name in NODES:
        lines = [
            json.loads(line)
            for line in (stack.folder / f"{name}.log").read_text().splitlines()
            if line[0] == "{"
        ]
        served[name] = sum(line.get("path", "").startswith("/v1/messages") for line in lines)
    assert all(served.values()), served
    logged = (stack.folder / "balancer.log").read_text()
    assert "/v1/log/leaves" in logged
    assert "limit=7" not in logged
