"""Where a request comes from: the socket, or a trusted balancer's word, never a client's."""

import pytest
from pydantic import ValidationError

from countermark_broker.api.sources import LOCAL, Sources
from countermark_broker.config import Settings

PROXIES = Sources(["10.0.0.0/8", "2001:db8:ffff::/48"])


def source(sources, peer, *forwarded):
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    client = (peer, 1234) if peer else None
    return sources.of_request({"type": "http", "client": client, "headers": headers})


def test_without_trusted_proxies_nothing_is_believed():
    assert source(Sources(), "192.0.2.1", "198.51.100.9") == "192.0.2.1"
    assert source(Sources(), "127.0.0.1", "198.51.100.9") == "127.0.0.1"
    assert source(PROXIES, "192.0.2.1", "198.51.100.9") == "192.0.2.1"


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (["198.51.100.9"], "198.51.100.9"),
        # What the client wrote itself stands to the left.
        (["203.0.113.5, 198.51.100.9"], "198.51.100.9"),
        (["203.0.113.5", "198.51.100.9"], "198.51.100.9"),
        (["198.51.100.9, 10.0.0.8"], "198.51.100.9"),
        (["198.51.100.9, 10.0.0.8,10.0.0.7"], "198.51.100.9"),
        # Nothing but balancers: the farthest.
        (["10.0.0.8"], "10.0.0.8"),
        # Garbled: no farther than what can be read.
        (["198.51.100.9, unknown"], "10.0.0.1"),
        (["unknown, 10.0.0.8"], "10.0.0.8"),
        (["\xff\xfe"], "10.0.0.1"),
        ([""], "10.0.0.1"),
        ([], "10.0.0.1"),
        (["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
    ],
)
def test_behind_a_trusted_proxy(forwarded, expected):
    assert source(PROXIES, "10.0.0.1", *forwarded) == expected


def test_one_subscriber_has_a_whole_64():
    assert source(Sources(), "2001:db8:1:2::1") == source(Sources(), "2001:db8:1:2:ffff::9")
    assert source(Sources(), "2001:db8:1:2::1") != source(Sources(), "2001:db8:1:3::1")
    assert source(Sources(), "::ffff:192.0.2.1") == "192.0.2.1"
    assert source(PROXIES, "::ffff:10.0.0.1", "198.51.100.9") == "198.51.100.9"
    assert source(PROXIES, "2001:db8:ffff::1", "198.51.100.9") == "198.51.100.9"


def test_no_address_at_all():
    assert source(Sources(), None) == LOCAL
    assert source(PROXIES, "testclient") == LOCAL


def test_settings_take_networks_only(tmp_path):
    (tmp_path / "broker.toml").write_text('origin = "log.example.org"\nauthorities = ["a.example.org"]\n')
    assert Settings(home=tmp_path, trusted_proxies=("10.0.0.0/8", "::1")).trusted_proxies == (
        "10.0.0.0/8",
        "::1",
    )
    for wrong in ("balancer", "10.0.0.1/8", ""):
        with pytest.raises(ValidationError):
            Settings(home=tmp_path, trusted_proxies=(wrong,))


def test_the_gap_exceeds_the_beat(tmp_path):
    (tmp_path / "broker.toml").write_text('origin = "log.example.org"\nauthorities = ["a.example.org"]\n')
    Settings(home=tmp_path, heartbeat_ms=1000, heartbeat_gap_ms=1001)
    with pytest.raises(ValidationError, match="heartbeat_gap_ms must exceed"):
        Settings(home=tmp_path, heartbeat_ms=1000, heartbeat_gap_ms=1000)
