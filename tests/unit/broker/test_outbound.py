"""Calling URLs that others chose: what is never called, by whatever way it is named."""

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from contextlib import asynccontextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from countermark_broker.errors import ConfigurationError
from countermark_broker.services import resolving
from countermark_broker.services.outbound import (
    AddressRule,
    Answered,
    Poster,
    make_tls,
    parse_target,
)
from countermark_broker.services.resolving import SystemResolver
from countermark_protocol.errors import CountermarkError, MalformedError, PolicyError, TransportError

LOOPBACK = AddressRule((ipaddress.ip_network("127.0.0.0/8"),))


class Names:
    """A resolver that knows what a test tells it, and counts."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    async def resolve(self, host, port, _whose, begun):
        begun()
        self.asked.append((host, port))
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


# --- URLs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "port", "authority", "path"),
    [
        ("https://hooks.example.org", "hooks.example.org", 443, "hooks.example.org", "/"),
        ("https://hooks.example.org:8443/a/b?c=%20&d", "hooks.example.org", 8443, None, "/a/b?c=%20&d"),
        ("https://hooks.example.org./x", "hooks.example.org.", 443, None, "/x"),
        ("https://192.0.2.1/x", "192.0.2.1", 443, None, "/x"),
        ("https://[2001:db8::1]:444/x", "2001:db8::1", 444, "[2001:db8::1]:444", "/x"),
        ("https://xn--bcher-kva.example?x", "xn--bcher-kva.example", 443, None, "/?x"),
    ],
)
def test_urls(text, host, port, authority, path):
    target = parse_target(text, allow_http=False)
    assert (target.host, target.port, target.request_target) == (host, port, path)
    assert target.secure
    if authority:
        assert target.authority == authority


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hooks.example.org",
        "ftp://hooks.example.org/",
        "file:///etc/passwd",
        "gopher://hooks.example.org/",
        "HTTPS://hooks.example.org/",
        "https:/hooks.example.org/",
        "https://",
        "https:///x",
        "https://user@hooks.example.org/",
        "https://user:word@hooks.example.org/",
        "https://hooks.example.org#fragment",
        "https://hooks.example.org/#@10.0.0.1/",
        "https://hooks.example.org\\@10.0.0.1/",
        "https://hooks.example.org:0/",
        "https://hooks.example.org:65536/",
        "https://hooks.example.org:99999/",
        "https://hooks.example.org: 443/",
        "https://hooks.example.org /",
        "https://hooks.example.org/a b",
        "https://hooks.example.org/a\r\nX-Injected: 1",
        "https://hooks.example.org/\x00",
        "https://bücher.example/",
        "https://ⓔxample.org/",
        "https://-x.example/",
        "https://x..example/",
        "https://[::1%eth0]/",
        "https://[not-an-address]/",
        "https://[127.0.0.1]/",
        "https://::1/",
        # A host that ends in a number is an address, and has one form.
        "https://2130706433/",
        "https://127.1/",
        "https://0x7f.0.0.1/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://127.0.0.1./",
        "https://127.0.0.256/",
        "https://example.1/",
        "https://hooks.example.org/" + "x" * 500,
    ],
)
def test_no_such_urls(text):
    with pytest.raises(MalformedError) as caught:
        parse_target(text, allow_http=True)
    assert caught.value.code == "webhook_url"


def test_plain_http_only_where_the_operator_allows_it():
    with pytest.raises(PolicyError) as caught:
        parse_target("http://hooks.example.org/", allow_http=False)
    assert caught.value.code == "webhook_not_https"
    target = parse_target("http://hooks.example.org/", allow_http=True)
    assert (target.secure, target.port) == (False, 80)


# --- addresses -----------------------------------------------------------------------------------------

REFUSED = [
    # IPv4: one of each class, its first and last addresses where an off-by-one would show.
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    # IPv6.
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "3ffe::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fdff::1",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "223.255.255.254",
    "2606:4700::1111",
    "2a00:1450::1",
    "2001:200::1",
]


@pytest.mark.parametrize("address", REFUSED)
def test_refused_addresses(address):
    with pytest.raises(PolicyError) as caught:
        AddressRule().check(ipaddress.ip_address(address))
    assert caught.value.code == "webhook_address_refused"
    assert address not in str(caught.value)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses(address):
    AddressRule().check(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", [a for a in REFUSED if "%" not in a])
def test_refused_as_a_literal(address):
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(PolicyError):
        AddressRule().check_literal(parse_target(f"https://{host}/", allow_http=False))


@pytest.mark.parametrize("address", REFUSED)
@pytest.mark.parametrize("place", ["alone", "first", "last"])
async def test_refused_as_the_answer_of_a_name_server(address, place):
    """Every address counts: one inside among many outside is enough."""
    answer = {"alone": [address], "first": [address, "8.8.8.8"], "last": ["8.8.8.8", "1.1.1.1", address]}[
        place
    ]
    names = Names(answer)
    poster = Poster(AddressRule(), names, make_tls(None), 5)
    with pytest.raises(PolicyError) as caught:
        await poster.post(parse_target("https://rebound.example/", allow_http=False), {}, b"")
    assert caught.value.code == "webhook_address_refused"
    assert names.asked == [("rebound.example", 443)]


def test_allowed_networks_allow_no_more_than_they_say():
    rule = AddressRule((ipaddress.ip_network("10.20.0.0/16"), ipaddress.ip_network("fd00:1::/32")))
    rule.check(ipaddress.ip_address("10.20.3.4"))
    rule.check(ipaddress.ip_address("fd00:1::5"))
    for other in ("10.21.0.1", "127.0.0.1", "fd00:2::5", "::ffff:10.20.3.4", "::1"):
        with pytest.raises(PolicyError):
            rule.check(ipaddress.ip_address(other))


# --- calls ---------------------------------------------------------------------------------------------


@asynccontextmanager
async def receiver(answer, tls=None):
    """A server that answers each request with bytes, or by a function of (reader, writer, head)."""
    seen = []

    async def serve(reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            seen.append((head.decode(), await reader.readexactly(length)))
            if callable(answer):
                await answer(reader, writer)
            else:
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], seen
    finally:
        server.close()


def poster_to(names, timeout=10, tls=None, rule=LOOPBACK):
    return Poster(rule, names, tls or make_tls(None), timeout)


def http(port, path="/hook"):
    return parse_target(f"http://hooks.example:{port}{path}", allow_http=True)


async def test_a_call_names_the_host_and_goes_to_the_address_that_was_checked():
    """Resolved once: a second answer, which would lead elsewhere (DNS rebinding), is never asked for."""
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    async with receiver(b"HTTP/1.1 204 No Content\r\n\r\n") as (port, seen):
        answered = await poster_to(names).post(http(port, "/a?b=c"), {"webhook-id": "x"}, b"body")
    assert answered == Answered(204, None)
    assert names.asked == [("hooks.example", port)]
    [(head, body)] = seen
    lines = head.split("\r\n")
    assert lines[0] == "POST /a?b=c HTTP/1.1"
    assert {f"Host: hooks.example:{port}", "webhook-id: x", "Content-Length: 4", "Connection: close"} <= set(
        lines
    )
    assert body == b"body"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status):
    async with receiver(b"HTTP/1.1 200 OK\r\n\r\n") as (inside, reached):
        location = f"http://127.0.0.1:{inside}/"
        answer = f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\n\r\n".encode()
        async with receiver(answer) as (port, seen):
            assert (await poster_to(Names(["127.0.0.1"])).post(http(port), {}, b"")).status == status
    assert len(seen) == 1
    assert reached == []


async def test_the_next_address_is_tried_where_one_takes_no_connection():
    async with receiver(b"HTTP/1.1 200 OK\r\n\r\n") as (port, _):
        assert (await poster_to(Names(["127.0.0.9", "127.0.0.1"])).post(http(port), {}, b"")).status == 200


async def test_an_endless_answer_is_not_read():
    async def flood(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    async with receiver(flood) as (port, _):
        assert (await poster_to(Names(["127.0.0.1"])).post(http(port), {}, b"")).status == 200


async def _hang(reader, _writer):
    await reader.read()


async def _drip(reader, writer):
    del reader
    while True:
        writer.write(b"H")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (_hang, "webhook_timeout"),
        (_drip, "webhook_timeout"),
        (b"", "webhook_not_http"),
        (b"HTTP/1.1 200", "webhook_not_http"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "webhook_not_http"),
        (b"HTTP/2 200\r\n\r\n", "webhook_not_http"),
        (b"HTTP/1.1 999 No\r\n\r\n", "webhook_not_http"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n", "webhook_not_http"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 10, "webhook_not_http"),
    ],
)
async def test_receivers_that_misbehave(answer, code):
    async with receiver(answer) as (port, _):
        with pytest.raises(TransportError) as caught:
            await poster_to(Names(["127.0.0.1"]), timeout=0.5).post(http(port), {}, b"")
    assert caught.value.code == code


async def test_informational_answers_are_passed_over():
    async with receiver(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\n") as (port, _):
        assert (await poster_to(Names(["127.0.0.1"])).post(http(port), {}, b"")).status == 200


async def test_a_receiver_may_ask_for_patience():
    async with receiver(b"HTTP/1.1 503 Busy\r\nRETRY-after:  120 \r\n\r\n") as (port, _):
        assert await poster_to(Names(["127.0.0.1"])).post(http(port), {}, b"") == Answered(503, 120)


@pytest.mark.parametrize("names", [Names([]), Names(OSError("no such name")), Names(UnicodeError())])
async def test_a_name_without_address(names):
    with pytest.raises(TransportError) as caught:
        await poster_to(names).post(http(80), {}, b"")
    assert caught.value.code == "webhook_unresolved"


async def test_a_name_server_that_does_not_answer():
    class Silent:
        async def resolve(self, _host, _port, _whose, begun):
            begun()
            await asyncio.Event().wait()

    with pytest.raises(TransportError) as caught:
        await poster_to(Silent(), timeout=0.2).post(http(80), {}, b"")
    assert caught.value.code == "webhook_timeout"


async def test_nobody_there():
    async with receiver(b"") as (port, _):
        pass
    with pytest.raises(TransportError) as caught:
        await poster_to(Names(["127.0.0.1"])).post(http(port), {}, b"")
    assert caught.value.code == "webhook_unreachable"


async def test_the_system_resolver_knows_loopback_and_addresses():
    resolver = SystemResolver()
    begun = []
    for host, address in (("localhost", "127.0.0.1"), ("192.0.2.7", "192.0.2.7")):
        assert address in await resolver.resolve(host, 80, "x", lambda: begun.append(1))
    assert len(begun) == 2
    resolver.close()


class Lookups:
    """In the place of the machine's resolver: names that begin with "silent" are answered at the end of the test."""

    def __init__(self, monkeypatch):
        self.end, self.asked = threading.Event(), []
        monkeypatch.setattr(resolving.socket, "getaddrinfo", self)

    def __call__(self, host, port, **_):
        self.asked.append(host)
        if host.startswith("silent"):
            self.end.wait(60)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async def begun(self, count):
        while len(self.asked) < count:
            await asyncio.sleep(0.01)


@pytest.fixture
def lookups(monkeypatch):
    lookups = Lookups(monkeypatch)
    yield lookups
    lookups.end.set()


async def failure_of(poster, name, whose, port=9):
    with pytest.raises(CountermarkError) as caught:
        await poster.post(parse_target(f"http://{name}.example:{port}/", allow_http=True), {}, b"", whose)
    return caught.value.code


async def test_name_servers_of_one_endpoint_hold_up_nobody_elses_calls(lookups):
    """Its own further look-ups wait for a turn, and have not been tried if they get none."""
    poster = Poster(LOOPBACK, SystemResolver(threads=4, each=2), make_tls(None), 1)
    hanging = [asyncio.create_task(failure_of(poster, f"silent{n}", "slow")) for n in range(4)]
    await lookups.begun(2)
    async with receiver(b"HTTP/1.1 204 No Content\r\n\r\n") as (port, _):
        answered = await poster.post(http(port), {}, b"", "innocent")
    assert answered.status == 204
    assert sorted(await asyncio.gather(*hanging)) == ["look_ups_busy"] * 2 + ["webhook_timeout"] * 2
    # The threads are held still, though nobody waits for them any more.
    assert await failure_of(poster, "silent4", "slow") == "look_ups_busy"
    assert len([name for name in lookups.asked if name.startswith("silent")]) == 2
    lookups.end.set()
    async with receiver(b"HTTP/1.1 204 No Content\r\n\r\n") as (port, _):
        assert (await poster.post(http(port), {}, b"", "slow")).status == 204


async def test_without_a_thread_nothing_was_tried_and_the_time_runs_from_the_turn_on(lookups):
    poster = Poster(LOOPBACK, SystemResolver(threads=2, each=1), make_tls(None), 1)
    hanging = [asyncio.create_task(failure_of(poster, f"silent{n}", f"slow{n}")) for n in range(2)]
    await lookups.begun(2)
    assert await failure_of(poster, "innocent", "innocent") == "look_ups_busy"
    assert await asyncio.gather(*hanging) == ["webhook_timeout"] * 2
    assert len(lookups.asked) == 2
    waiting = asyncio.create_task(failure_of(poster, "late", "late", 1))
    await asyncio.sleep(0.1)
    lookups.end.set()
    # It had its turn, and then the receiver's own failure.
    assert await waiting == "webhook_unreachable"


async def test_an_address_that_swallows_everything_leaves_time_for_the_next(monkeypatch):
    """As an IPv6 address does behind a firewall, where the IPv4 address works."""
    real, tried = asyncio.open_connection, []

    async def swallowing(address, port, **settings):
        tried.append(address)
        if address != "127.0.0.1":
            await asyncio.Event().wait()
        return await real(address, port, **settings)

    monkeypatch.setattr(asyncio, "open_connection", swallowing)
    names = ["127.0.0.7", "127.0.0.8", "127.0.0.1"]
    async with receiver(b"HTTP/1.1 200 OK\r\n\r\n") as (port, _):
        assert (await poster_to(Names(names), timeout=3).post(http(port), {}, b"")).status == 200
    assert tried == names
    with pytest.raises(TransportError) as caught:
        await poster_to(Names(names[:2]), timeout=0.4).post(http(9), {}, b"")
    assert caught.value.code == "webhook_timeout"


# --- TLS -----------------------------------------------------------------------------------------------


def certificate(tmp_path, host):
    """A self-signed certificate that is its own authority; the server's context, and the file to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, private = tmp_path / f"{host}.pem", tmp_path / f"{host}.key"
    trusted.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return context, trusted


async def test_tls_speaks_of_the_name_though_it_goes_to_the_address(tmp_path):
    server, trusted = certificate(tmp_path, "hooks.example")
    async with receiver(b"HTTP/1.1 200 OK\r\n\r\n", tls=server) as (port, seen):
        target = parse_target(f"https://hooks.example:{port}/", allow_http=False)
        poster = poster_to(Names(["127.0.0.1"]), tls=make_tls(trusted))
        assert (await poster.post(target, {}, b"")).status == 200
        stranger = poster_to(Names(["127.0.0.1"]))
        for by, host in ((poster, "other.example"), (stranger, "hooks.example")):
            target = parse_target(f"https://{host}:{port}/", allow_http=False)
            with pytest.raises(TransportError) as caught:
                await by.post(target, {}, b"")
            assert caught.value.code == "webhook_bad_certificate"
    assert len(seen) == 1


async def test_a_server_without_tls_is_no_https():
    async with receiver(b"HTTP/1.1 200 OK\r\n\r\n") as (port, seen):
        target = parse_target(f"https://hooks.example:{port}/", allow_http=False)
        with pytest.raises(TransportError) as caught:
            await poster_to(Names(["127.0.0.1"]), timeout=2).post(target, {}, b"")
        assert caught.value.code in {"webhook_unreachable", "webhook_timeout"}
    assert seen == []


def test_authorities_that_are_none(tmp_path):
    for content in (None, b"nothing"):
        path = tmp_path / "ca.pem"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConfigurationError):
            make_tls(path)
