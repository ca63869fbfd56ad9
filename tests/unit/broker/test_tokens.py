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
from countermark_broker.tokens import load_token_key, make_token_key
from countermark_protocol.keys import Algorithm, parse_key_json
from countermark_tokens.errors import TokenError
from countermark_tokens.keys import TokenSigner
from support.softhsm import PIN
from support.world import World

PASSPHRASE = "correct horse battery staple"


@pytest.fixture(scope="module")
def token(softhsm):
    """A function from a key's label to its URI, in a fresh software token; PIN in the environment."""
    softhsm.make("broker")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COUNTERMARK_BROKER_PIN", PIN)
        yield lambda label, **more: softhsm.uri("broker", label, **more)


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
    with pytest.raises(TokenError, match="never overwritten"):
        make_token_key(uri, algorithm)


def test_a_token_that_is_away_makes_the_broker_unavailable(softhsm, token, monkeypatch):
    signer = make_token_key(token("away"), Algorithm.ED25519)
    good = signer.sign(b"m")
    monkeypatch.setattr(TokenSigner, "_sign", lambda *_: good[:40] + bytes([good[40] ^ 1]) + good[41:])
    with pytest.raises(UnavailableError) as refused:
        signer.sign(b"m")
    assert refused.value.code == "token_unavailable"
    assert "token_faulty" in refused.value.message


def test_pin_from_a_file_and_wrong_or_missing_pins(token, tmp_path, monkeypatch):
    make_token_key(token("pin"), Algorithm.ED25519)
    (tmp_path / "pin").write_text(f"{PIN}\n")
    load_token_key(token("pin", **{"pin-source": f"file:{tmp_path / 'pin'}"}), {})
    for uri, code in (
        (token("pin"), "no_pin"),
        (token("pin", **{"pin-source": "file:/nowhere/pin"}), "no_pin"),
    ):
        with pytest.raises(TokenError) as refused:
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


def test_a_log_key_must_be_ed25519(token):
    make_token_key(token("p256"), Algorithm.ES256)
    with pytest.raises(ConfigurationError) as refused:
        load_log_key(token("p256"))
    assert refused.value.code == "not_a_log_key"


def test_without_the_library_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(os.sys.modules, "countermark_tokens", None)
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
