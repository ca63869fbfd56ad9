"""HAProxy with docker/haproxy.cfg, and with the lines of docs/operations/mutual-tls.md: who gets through, and how."""

import re
import ssl
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from countermark_client import client_tls, testing
from countermark_client._http import tls
from countermark_client.statements import sign_gathering
from countermark_protocol.errors import UncheckableError
from support.broker_fixtures import HttpBroker
from support.cli import cli_for
from support.tools import tool
from support.tsa import certify, make_key, pem

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from demo.ports import free_port  # noqa: E402

PAGE = ROOT / "docs" / "operations" / "mutual-tls.md"
NAME = "localhost"


def private(key, passphrase=None):
    protection = (
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    )
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The front's certificate, the authority of agencies' certificates, one of theirs and one of somebody else's."""
    folder = tmp_path_factory.mktemp("tls")
    front_key, front_authority_key = make_key(), make_key()
    front_authority = certify("Authority of the front", front_authority_key, authority=True)
    named = x509.SubjectAlternativeName([x509.DNSName(NAME)])
    front = certify(
        NAME,
        front_key,
        (front_authority, front_authority_key),
        usages=(ExtendedKeyUsageOID.SERVER_AUTH,),
        critical=False,
        extensions=((named, False),),
    )
    (folder / "tls.pem").write_bytes(pem(front) + private(front_key))
    (folder / "ca.pem").write_bytes(pem(front_authority))
    agencies_key = make_key()
    agencies = certify("Authority of agencies", agencies_key, authority=True)
    (folder / "agencies.pem").write_bytes(pem(agencies))
    strangers_key = make_key()
    strangers = certify("Authority of strangers", strangers_key, authority=True)
    for name, issuer in (("agency", (agencies, agencies_key)), ("stranger", (strangers, strangers_key))):
        key = make_key()
        one = certify(name, key, issuer, usages=(ExtendedKeyUsageOID.CLIENT_AUTH,), critical=False)
        (folder / f"{name}.pem").write_bytes(pem(one) + private(key))
        (folder / f"{name}-locked.pem").write_bytes(pem(one) + private(key, b"opens it"))
    return folder


def documented():
    """The bind line that the page gives."""
    [line] = re.findall(r"^ *(bind :8443 .* verify required)$", PAGE.read_text("utf-8"), re.MULTILINE)
    return line


class Front:
    """HAProxy before one node."""

    def __init__(self, folder, files, port, *, mutual):
        self.port = free_port()
        text = (ROOT / "docker" / "haproxy.cfg").read_text("utf-8")
        if mutual:
            text = re.sub(r"^    bind .*$", f"    {documented()}", text, flags=re.MULTILINE)
        text = text.replace("bind :8443", f"bind 127.0.0.1:{self.port}").replace("/run/secrets/", f"{files}/")
        text = text.replace("node-1:8470", f"127.0.0.1:{port}").replace("maxconn 20000", "maxconn 200")
        text = re.sub(r"^    server node-[23] .*\n", "", text, flags=re.MULTILINE)
        (folder / "haproxy.cfg").write_text(text)
        self.log = (folder / "haproxy.log").open("wb")
        self.process = subprocess.Popen(
            [tool("haproxy", "Debian package haproxy"), "-f", folder / "haproxy.cfg"],
            stdout=self.log,
            stderr=self.log,
        )
        self.url = f"https://{NAME}:{self.port}"

    def get(self, context, path="/v1/health"):
        with httpx.Client(verify=context, trust_env=False) as client:
            for _ in range(400):
                assert self.process.poll() is None
                try:
                    answer = client.get(self.url + path)
                except httpx.ConnectError as error:
                    if "refused" not in str(error):
                        raise
                else:
                    if answer.status_code != 503:
                        return answer
                time.sleep(0.05)
        raise AssertionError("the front never had a node")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


@pytest.fixture
def front(tmp_path, files, home, world):
    tool("haproxy", "Debian package haproxy")
    broker = HttpBroker(world, home).start()
    fronts = []

    def make(*, mutual):
        fronts.append(Front(tmp_path, files, broker.port, mutual=mutual))
        return fronts[-1]

    try:
        yield make
    finally:
        for one in fronts:
            one.stop()
        broker.stop()


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_only_who_shows_a_certificate_gets_through(front, files, tmp_path, monkeypatch):
    mutual = front(mutual=True)
    authorities = str(files / "ca.pem")
    known = client_tls(str(files / "agency.pem"), authorities=authorities)
    assert mutual.get(known).json() == {"status": "ok"}
    locked = client_tls(str(files / "agency-locked.pem"), passphrase="opens it", authorities=authorities)
    assert mutual.get(locked).status_code == 200
    for context in (tls(authorities), client_tls(str(files / "stranger.pem"), authorities=authorities)):
        with pytest.raises(httpx.TransportError):
            mutual.get(context)

    # The command line: the same front, by its options.
    world = testing.world("ke.police.nairobi")
    cli = cli_for(world, tmp_path)
    cli = replace(cli, environment=replace(cli.environment, transport=None))
    trust = tmp_path / "founding.trust"
    trust.write_bytes(world.trust)
    draft = tmp_path / "draft"
    policy = world.drafts.policy(world.broker.state.directory.policy())
    draft.write_bytes(sign_gathering(policy, [world._governor]))
    publish = ("document", "publish", draft, "--broker", mutual.url, "--trust", trust, "--ca", authorities)
    assert cli.json(*publish, code=3)["error"]["code"] == "broker_unreachable"
    monkeypatch.setenv("COUNTERMARK_CLIENT_CERT_PASSPHRASE", "opens it")
    through = cli.json(*publish, "--client-cert", files / "agency-locked.pem", code=1)
    # It is another log's broker: what matters here is that it was reached.
    assert through["error"]["code"] not in {"broker_unreachable", "bad_client_certificate"}
    monkeypatch.setenv("COUNTERMARK_CLIENT_CERT_PASSPHRASE", "another")
    refused = cli.json(*publish, "--client-cert", files / "agency-locked.pem", code=1)
    assert refused["error"]["code"] == "bad_client_certificate"


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_the_front_speaks_tls_1_3_alone(front, files):
    plain = front(mutual=False)
    context = tls(str(files / "ca.pem"))
    answer = plain.get(context)
    assert answer.status_code == 200
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert plain.get(context, "/metrics").status_code == 404
    old = tls(str(files / "ca.pem"))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(httpx.ConnectError, match=r"(?i)version|alert"):
        plain.get(old)


def test_files_that_are_no_certificate(files):
    for path in (files / "ca.pem", files / "absent.pem", files / "agency-locked.pem"):
        with pytest.raises(UncheckableError) as caught:
            client_tls(str(path))
        assert caught.value.code == "bad_client_certificate"


def test_certificates_are_always_verified():
    lax = ssl.create_default_context()
    lax.check_hostname = False
    for wrong in (False, lax, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)):
        with pytest.raises(ValueError, match="always verified"):
            tls(wrong)
