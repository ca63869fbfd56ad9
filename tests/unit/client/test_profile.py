"""Profiles on disk: who may read them, what they refuse, what they never show."""

import json

import pytest

from countermark_client import (
    ADMINISTRATOR,
    INSTANCE,
    SEALING,
    Client,
    MemoryKeystore,
    Profile,
    Settings,
    make_key,
    read_trust_file,
    testing,
)
from countermark_client._keystore import open_keystore, register_scheme
from countermark_protocol.errors import (
    ConflictError,
    InconsistentLogError,
    MalformedError,
    NotFoundError,
    SealError,
    SignatureError,
    UncheckableError,
)
from countermark_protocol.keys import Algorithm

ADDRESS = "ke.police.nairobi"


@pytest.fixture(scope="module")
def world():
    return testing.world(ADDRESS)


@pytest.fixture
def folder(world, tmp_path):
    profile = world.profile(ADDRESS, folder=tmp_path / "p")
    profile.close()
    return tmp_path / "p"


def test_files_belong_to_their_owner_alone(folder):
    assert folder.stat().st_mode & 0o777 == 0o700
    for file in folder.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file.name
    assert {f.name for f in folder.iterdir()} >= {
        "profile.json",
        "trust.countermark",
        "keys.json",
        "state.db",
    }


def test_a_profile_opens_again_with_the_same_keys(world, folder):
    profile = Profile.open(folder, testing.PASSPHRASE)
    assert profile.address == ADDRESS
    assert profile.keystore.signer(INSTANCE).public_key == world.keystore(ADDRESS).signer(INSTANCE).public_key
    assert profile.trust.fingerprint == read_trust_file(world.trust).fingerprint
    assert len(profile.trust.fingerprint.split()) == 8
    profile.close()


def test_no_secret_in_files_or_repr(world, folder):
    secrets = [k.private for k in world.keystore(ADDRESS).stored]
    profile = Profile.open(folder, testing.PASSPHRASE)
    shown = repr(profile) + repr(profile.keystore) + repr(profile.keystore.stored)
    profile.close()
    for secret in secrets:
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
        for file in folder.iterdir():
            assert secret not in file.read_bytes()


def test_wrong_passphrase(folder):
    with pytest.raises(SealError) as caught:
        Profile.open(folder, "another")
    assert caught.value.code == "wrong_passphrase"


def test_a_folder_without_profile(tmp_path):
    with pytest.raises(NotFoundError) as caught:
        Profile.open(tmp_path, "x")
    assert caught.value.code == "no_profile"


def test_a_full_folder_is_not_taken(world, folder):
    with pytest.raises(ConflictError) as caught:
        world.profile(ADDRESS, folder=folder)
    assert caught.value.code == "profile_exists"


def test_a_swapped_trust_file_is_refused(folder):
    other = testing.world()
    (folder / "trust.countermark").write_bytes(b"\x01" + other.trust[1:])
    profile = Profile.open(
        folder, testing.PASSPHRASE
    )  # same origin: only people comparing fingerprints see it
    assert profile.trust.fingerprint != ""
    profile.close()
    tampered = bytearray(other.trust)
    tampered[-1] ^= 1
    (folder / "trust.countermark").write_bytes(bytes(tampered))
    with pytest.raises(SignatureError):
        Profile.open(folder, testing.PASSPHRASE)


def test_only_a_founding_is_a_trust_file(world):
    node = world.broker.entries[1].document.data
    with pytest.raises(MalformedError) as caught:
        read_trust_file(node)
    assert caught.value.code == "not_a_trust_file"


@pytest.mark.parametrize(
    "url",
    ["broker.test", "ftp://broker.test", "https://", "https://broker.test/path", "https://broker.test?x=1"],
)
def test_broker_urls_that_are_none(world, url):
    with pytest.raises(MalformedError) as caught:
        Profile.in_memory(address=ADDRESS, broker_url=url, trust=world.trust, keystore=MemoryKeystore(()))
    assert caught.value.code == "broker_url"


def test_a_damaged_profile_file(folder):
    about = json.loads((folder / "profile.json").read_bytes())
    for change in ({"format": "x"}, {"log": "other.log"}, {"extra": 1}, {"address": "nobody"}):
        (folder / "profile.json").write_text(json.dumps({**about, **change}))
        with pytest.raises(MalformedError):
            Profile.open(folder, testing.PASSPHRASE)


def test_adding_a_sealing_key_keeps_the_one_before(folder):
    profile = Profile.open(folder, testing.PASSPHRASE)
    before = profile.keystore.sealing_key().public_key
    profile.add_key(make_key(SEALING), testing.PASSPHRASE)
    profile.close()
    profile = Profile.open(folder, testing.PASSPHRASE)
    assert profile.keystore.sealing_key().public_key != before
    assert profile.keystore.sealing_key(before.key_id).public_key == before
    assert len(profile.keystore.sealing_keys()) == 2
    profile.close()


def test_a_keystore_without_the_key_says_so():
    keystore = MemoryKeystore((make_key(INSTANCE, Algorithm.ES256),))
    assert keystore.signer(INSTANCE).public_key.algorithm is Algorithm.ES256
    for ask in (lambda: keystore.signer(ADMINISTRATOR), keystore.sealing_key):
        with pytest.raises(NotFoundError) as caught:
            ask()
        assert caught.value.code == "no_such_key"


def test_other_keystores_join_by_their_scheme(tmp_path):
    with pytest.raises(UncheckableError) as caught:
        open_keystore("other:slot=1", tmp_path, "pin")
    assert caught.value.code == "unknown_keystore"
    made = MemoryKeystore((make_key(INSTANCE),))
    register_scheme(
        "test-token", lambda rest, _folder, pin: made if (rest, pin) == ("slot=1", "1234") else None
    )
    assert open_keystore("test-token:slot=1", tmp_path, "1234") is made


def test_evidence_survives_a_restart(folder):
    profile = Profile.open(folder, testing.PASSPHRASE)
    profile.keep_evidence(InconsistentLogError("x_happened", "one against the other", b"one", b"two"), 5)
    profile.close()
    profile = Profile.open(folder, testing.PASSPHRASE)
    [evidence] = profile.evidence
    assert (evidence.code, evidence.pieces) == ("x_happened", (b"one", b"two"))
    assert evidence.folder.stat().st_mode & 0o777 == 0o700
    profile.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_checkpoint_age": 0},
        {"max_checkpoint_age": 24 * 3600 * 1000 + 1},
        {"attempts": 0},
        {"page_size": 501},
        {"sync_interval": -1},
    ],
)
def test_settings_that_would_be_unsafe(wrong):
    with pytest.raises(ValueError, match="must be"):
        Settings(**wrong)


def test_a_profile_is_open_once(folder):
    profile = Profile.open(folder, testing.PASSPHRASE)
    with pytest.raises(ConflictError) as caught:
        Profile.open(folder, testing.PASSPHRASE)
    assert caught.value.code == "profile_in_use"
    profile.close()
    Profile.open(folder, testing.PASSPHRASE).close()


def test_a_wrong_passphrase_leaves_the_folder_free(folder):
    with pytest.raises(SealError):
        Profile.open(folder, "another")
    Profile.open(folder, testing.PASSPHRASE).close()


def test_certificates_are_always_verified(world):
    with pytest.raises(ValueError, match="always verified"):
        Client(world.profile(ADDRESS), verify=False)
