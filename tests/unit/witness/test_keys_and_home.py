"""The witness's own keys and settings: only the passphrase opens them, and nothing has a default."""

import pytest

from countermark_protocol.cosignature import CosignatureType, parse_cosigner_vkey
from countermark_protocol.encoding import encode_base64url, encode_json
from countermark_protocol.errors import CountermarkError
from countermark_protocol.sealed_file import seal_file
from countermark_witness.errors import WitnessError
from countermark_witness.home import check_environment, make_home, read_passphrase, write_new
from countermark_witness.keys import FORMAT, load_keys, make_keys, vkeys_text

NAME, PASSPHRASE = "witness.example/w1", "correct horse — 錠"


def code_of(call, *arguments, error=WitnessError):
    with pytest.raises(error) as caught:
        call(*arguments)
    return caught.value.code


def test_keys_round_trip_and_lie_open_to_nobody(tmp_path):
    path = tmp_path / "witness.keys"
    made = make_keys(path, NAME, PASSPHRASE)
    loaded = load_keys(path, PASSPHRASE)
    assert [c.key for c in made] == [c.key for c in loaded]
    assert [c.key.kind for c in made] == list(CosignatureType)
    assert {c.key.name for c in made} == {NAME}
    assert path.stat().st_mode & 0o777 == 0o600
    assert NAME.encode() not in path.read_bytes()
    assert [parse_cosigner_vkey(v) for v in vkeys_text(made).split()] == [c.key for c in made]
    other = make_keys(tmp_path / "other", NAME, PASSPHRASE)
    assert not {c.key.raw for c in other} & {c.key.raw for c in made}


def test_keys_are_never_overwritten(tmp_path):
    path = tmp_path / "witness.keys"
    make_keys(path, NAME, PASSPHRASE)
    before = path.read_bytes()
    assert code_of(make_keys, path, NAME, PASSPHRASE) == "home_in_use"
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["", "a b", "a+b", "é" * 128])
def test_a_name_that_no_key_can_have(tmp_path, name):
    with pytest.raises(CountermarkError):
        make_keys(tmp_path / "witness.keys", name, PASSPHRASE)
    assert list(tmp_path.iterdir()) == []


def test_key_files_that_do_not_open(tmp_path):
    path = tmp_path / "witness.keys"
    assert code_of(load_keys, path, PASSPHRASE) == "no_key_file"
    make_keys(path, NAME, PASSPHRASE)
    assert code_of(load_keys, path, PASSPHRASE + " ") == "bad_key_file"
    path.chmod(0o640)
    assert code_of(load_keys, path, PASSPHRASE) == "open_key_file"
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])
    assert code_of(load_keys, path, PASSPHRASE) == "bad_key_file"


SEED = encode_base64url(bytes(32))
GOOD = {"format": FORMAT, "name": NAME, "ed25519": SEED, "ml_dsa_44": SEED}


@pytest.mark.parametrize(
    "members",
    [
        GOOD | {"format": "countermark-witness-keys-2"},
        GOOD | {"name": "a b"},
        GOOD | {"name": 1},
        GOOD | {"ed25519": encode_base64url(bytes(31))},
        GOOD | {"ml_dsa_44": None},
        GOOD | {"more": 1},
        {k: v for k, v in GOOD.items() if k != "ml_dsa_44"},
        [],
    ],
)
def test_files_that_open_and_hold_no_keys(tmp_path, members):
    path = tmp_path / "witness.keys"
    path.write_bytes(b"".join(seal_file(PASSPHRASE, bytes(16), bytes(24), [encode_json(members)])))
    path.chmod(0o600)
    assert code_of(load_keys, path, PASSPHRASE) == "bad_key_file"


def test_there_is_no_default_passphrase(tmp_path):
    assert code_of(read_passphrase, None, {}) == "no_passphrase"
    assert code_of(read_passphrase, None, {"COUNTERMARK_WITNESS_PASSPHRASE": ""}) == "no_passphrase"
    assert read_passphrase(None, {"COUNTERMARK_WITNESS_PASSPHRASE": "x"}) == "x"
    path = tmp_path / "passphrase"
    path.write_text("y z\r\n")
    path.chmod(0o644)
    assert code_of(read_passphrase, path, {}) == "open_key_file"
    path.chmod(0o600)
    assert read_passphrase(path, {"COUNTERMARK_WITNESS_PASSPHRASE": "x"}) == "y z"
    path.write_text("\n")
    assert code_of(read_passphrase, path, {}) == "no_passphrase"


def test_a_misspelt_variable_is_refused():
    check_environment({"COUNTERMARK_WITNESS_HOME": "x", "COUNTERMARK_WITNESS_PASSPHRASE": "y", "HOME": "z"})
    assert code_of(check_environment, {"COUNTERMARK_WITNESS_PASSPHRAS": "y"}) == "unknown_variable"


def test_a_home_is_of_one_witness(tmp_path):
    home = tmp_path / "new" / "home"
    make_home(home)
    make_home(home)
    assert home.stat().st_mode & 0o077 == 0
    write_new(home / "witness.vkeys", "x")
    assert code_of(make_home, home) == "home_in_use"
    with pytest.raises(FileExistsError):
        write_new(home / "witness.vkeys", "y")
