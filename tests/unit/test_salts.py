"""Every file under a passphrase has a salt of its own, so that one guess is a guess at one file."""

import json
from hashlib import sha256
from unittest import mock

import pytest

from countermark_broker.services.keyring import write_keys
from countermark_client import create_backup, testing
from countermark_client._keystore import save_key_file
from countermark_protocol import keyfile
from countermark_protocol.encoding import parse_base64url
from countermark_protocol.keyfile import SALT_BYTES
from countermark_protocol.sealed_file import MAGIC
from countermark_witness.keys import make_keys

ADDRESS, PASSPHRASE = "ke.police.nairobi", "one passphrase of many files"


@pytest.fixture(scope="module", autouse=True)
def derived_once():
    """Salts are as they are made; what is derived from them does not matter here."""
    with mock.patch.object(keyfile, "_derive", lambda phrase, salt: sha256(phrase.encode() + salt).digest()):
        yield


@pytest.fixture(scope="module")
def world():
    return testing.world(ADDRESS)


def of_key_file(path):
    members = json.loads(path.read_bytes())
    return parse_base64url(members["salt"], "salt"), parse_base64url(members["nonce"], "nonce")


def of_sealed_file(path):
    """Its salt, and that of its chunks, which stands for a nonce."""
    data = path.read_bytes()
    assert data.startswith(MAGIC)
    at = len(MAGIC) + SALT_BYTES
    return data[len(MAGIC) : at], data[at : at + 24]


def client_keys(world, folder):
    save_key_file(folder / "keys", world.keystore(ADDRESS), PASSPHRASE)
    return of_key_file(folder / "keys")


def broker_keys(world, folder):
    write_keys(folder / "keys", world.keystore(ADDRESS).stored, PASSPHRASE)
    return of_key_file(folder / "keys")


def witness_keys(world, folder):
    make_keys(folder / "keys", "witness.example/w1", PASSPHRASE)
    return of_sealed_file(folder / "keys")


def client_backup(world, folder):
    world.profile(ADDRESS, folder=folder / "home").close()
    create_backup(folder / "home", folder / "backup", PASSPHRASE)
    return of_sealed_file(folder / "backup")


@pytest.mark.parametrize("write", [client_keys, broker_keys, witness_keys, client_backup])
def test_no_two_files_share_salt_or_nonce(world, tmp_path, write):
    made = []
    for number in range(5):
        folder = tmp_path / str(number)
        folder.mkdir()
        made.append(write(world, folder))
    salts, nonces = zip(*made, strict=True)
    assert {len(salt) for salt in salts} == {SALT_BYTES}
    assert len(set(salts)) == len(set(nonces)) == len(made)
