"""Keys in a PKCS#11 token, by the URIs of RFC 7512, against Debian's SoftHSM."""

import json
import os
import subprocess

import pytest
from click.testing import CliRunner

from countermark_broker import tokens
from countermark_broker.cli import main
from countermark_broker.config import load_settings
from countermark_broker.errors import ConfigurationError, UnavailableError
from countermark_broker.services.keyring import load_keyring, load_log_key
from countermark_broker.tokens import TokenSigner, load_token_key, make_token_key, parse_token_uri
from countermark_protocol.keys import Algorithm, parse_key_json
from support.tools import tool
from support.world import World

PIN = "271828"
PASSPHRASE = "correct horse battery staple"
_PLACES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    """A function from a key's label to its URI, in a fresh software token; PIN in the environment."""
    pytest.importorskip("pkcs11", reason="NOT RUN: needs the extra countermark-broker[pkcs11]")
    module = tool("libsofthsm2.so", "Debian package softhsm2", *_PLACES)
    util = tool("softhsm2-util", "Debian package softhsm2")
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    # The library reads its configuration once, when it is first loaded in this process.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        patch.setenv("COUNTERMARK_BROKER_PIN", PIN)
        subprocess.run(
            [util, "--init-token", "--free", "--label", "broker", "--pin", PIN, "--so-pin", "314159"],
            check=True,
            capture_output=True,
        )
        yield lambda label, **more: "&".join(
            [
                f"pkcs11:token=broker;object={label}?module-path={module}",
                *(f"{k}={v}" for k, v in more.items()),
            ]
        )


@pytest.mark.parametrize("algorithm", [Algorithm.ED25519, Algorithm.ES256])
def test_a_key_is_made_found_again_and_signs(token, algorithm):
    uri = token(f"sign-{algorithm.name}")
    made = make_token_key(uri, algorithm)
    found = load_token_key(uri)
    assert found.public_key == made.public_key
    assert found.public_key.algorithm is algorithm
    for _ in range(8):
        message = os.urandom(100)
        # Verifying refuses high-S: that the token's own signatures are brought to low-S shows here.
        found.public_key.verify(message, found.sign(message))
    with pytest.raises(ConfigurationError, match="never overwritten"):
        make_token_key(uri, algorithm)


def test_the_private_key_cannot_be_taken_out(token):
    pkcs11 = pytest.importorskip("pkcs11")
    signer = make_token_key(token("kept"), Algorithm.ED25519)
    with pytest.raises((pkcs11.exceptions.AttributeSensitive, pkcs11.exceptions.PKCS11Error)):
        signer._private[pkcs11.Attribute.VALUE]


def test_a_token_that_was_away_is_opened_again(token):
    signer = make_token_key(token("away"), Algorithm.ED25519)
    signer._session.close()
    signer.public_key.verify(b"m", signer.sign(b"m"))


def test_a_faulty_signature_does_not_leave_the_signer(token, monkeypatch):
    signer = make_token_key(token("faulty"), Algorithm.ED25519)
    good = signer.sign(b"m")
    monkeypatch.setattr(TokenSigner, "_sign", lambda self, message: good[:40] + bytes(24))
    with pytest.raises(UnavailableError) as refused:
        signer.sign(b"m")
    assert refused.value.code == "token_unavailable"


def test_pin_from_a_file_and_wrong_or_missing_pins(token, tmp_path, monkeypatch):
    make_token_key(token("pin"), Algorithm.ED25519)
    (tmp_path / "pin").write_text(f"{PIN}\n")
    load_token_key(token("pin", **{"pin-source": f"file:{tmp_path / 'pin'}"}), {})
    for uri, code in (
        (token("pin"), "no_pin"),
        (token("pin", **{"pin-source": "file:/nowhere/pin"}), "no_pin"),
    ):
        with pytest.raises(ConfigurationError) as refused:
            load_token_key(uri, {})
        assert refused.value.code == code
    # In a process of its own, since a log-in holds for a whole process.
    done = subprocess.run(
        [os.sys.executable, "-m", "countermark_broker.cli", "token-key", token("other")],
        env=os.environ | {"COUNTERMARK_BROKER_PIN": "000000"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "[pin_refused]" in done.stderr
    assert "000000" not in done.stderr + done.stdout


@pytest.mark.parametrize(("label", "code"), [("absent", "no_token_key")])
def test_a_key_that_is_not_there(token, label, code):
    with pytest.raises(ConfigurationError) as refused:
        load_token_key(token(label))
    assert refused.value.code == code


def test_a_log_key_must_be_ed25519(token):
    make_token_key(token("p256"), Algorithm.ES256)
    with pytest.raises(ConfigurationError) as refused:
        load_log_key(token("p256"))
    assert refused.value.code == "not_a_log_key"


@pytest.mark.parametrize(
    "uri",
    [
        "file:/x",
        "pkcs11:token=a;object=b",
        "pkcs11:object=b?module-path=/x",
        "pkcs11:token=a?module-path=/x",
        "pkcs11:token=a;token=b;object=c?module-path=/x",
        "pkcs11:token=a;object=b;colour=red?module-path=/x",
        "pkcs11:token=a;object=b;type=public?module-path=/x",
        "pkcs11:token=a;object=b?module-path=/x&pin-value=1234",
        "pkcs11:token;object=b?module-path=/x",
    ],
)
def test_uris_that_name_no_key_or_hold_a_pin(uri):
    with pytest.raises(ConfigurationError) as refused:
        parse_token_uri(uri)
    assert refused.value.code == "bad_token_uri"
    assert "1234" not in str(refused.value)


def test_uri_parts_are_decoded():
    uri = parse_token_uri("pkcs11:token=My%20token;id=%01%ff?module-path=/a%20b&pin-source=file:/run/pin")
    assert (uri.token, uri.id, str(uri.module), str(uri.pin_source)) == (
        "My token",
        b"\x01\xff",
        "/a b",
        "/run/pin",
    )


def test_without_the_library_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(os.sys.modules, "pkcs11", None)
    with pytest.raises(ConfigurationError) as refused:
        load_token_key("pkcs11:token=a;object=b?module-path=/x", {"COUNTERMARK_BROKER_PIN": PIN})
    assert refused.value.code == "no_token_library"
    assert "[pkcs11]" in refused.value.message


def _run(*arguments):
    done = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_init_takes_the_keys_of_tokens(token, tmp_path, monkeypatch):
    monkeypatch.setenv("COUNTERMARK_BROKER_PASSPHRASE", PASSPHRASE)
    log = parse_key_json(_run("token-key", token("log-1"))["key"], "key")
    node = parse_key_json(_run("token-key", token("node-1"), "--algorithm", "ES256")["key"], "key")
    governor = tmp_path / "governor.json"
    governor.write_text(json.dumps(World().governors[0].public_key.to_json()))
    home = tmp_path / "home"
    _run(
        *("init", "--home", home, "--origin", "log.example.org/countermark/1"),
        *("--broker-address", "xo-example.broker.main", "--authority-host", "broker.example.org"),
        *("--governor", governor, "--quorum", 1, "--log-key", token("log-1"), "--node-key", token("node-1")),
    )
    assert not (home / "keys" / "broker.keys").exists()
    keys = load_keyring(load_settings(home, {}))
    assert keys.log[0].public_key == log
    assert keys.node.public_key == node
    assert tokens.PIN_VARIABLE not in (home / "broker.toml").read_text()
    assert PIN not in (home / "broker.toml").read_text()
