"""A profile whose keys are in a token: made, opened, renewed, checked, backed up; and what goes wrong with it."""

import json
import os

import pytest
from click.testing import CliRunner

from countermark_client import (
    ADMINISTRATOR,
    INSTANCE,
    SEALING,
    Profile,
    create_backup,
    make_key,
    restore_backup,
    testing,
    verify_backup,
)
from countermark_client._token_file import TOKEN_FILE, parse_token_file
from countermark_client.cli import main
from countermark_protocol.errors import MalformedError, NotFoundError, UncheckableError
from countermark_protocol.keys import Algorithm
from countermark_protocol.signers import load_signer
from support.softhsm import PIN

pkcs11 = pytest.importorskip("pkcs11", reason="NOT RUN: needs the extra countermark-client[pkcs11]")
from countermark_tokens.errors import TokenError  # noqa: E402
from countermark_tokens.sessions import open_token  # noqa: E402
from countermark_tokens.uri import parse_token_uri  # noqa: E402

NAIROBI = "ke.police.nairobi"


@pytest.fixture(scope="module")
def world():
    return testing.world("ug.police.kampala")


@pytest.fixture(scope="module")
def token(softhsm):
    softhsm.make("client")
    return softhsm.uri("client")


@pytest.fixture
def folder(tmp_path, world, token):
    make(tmp_path / "profile", world, token).close()
    return tmp_path / "profile"


def make(folder, world, token, **more):
    wanted = {"address": NAIROBI, "uses": (ADMINISTRATOR, INSTANCE), "pin": PIN} | more
    return Profile.create_in_token(folder, broker_url=world.url, trust=world.trust, token=token, **wanted)


def code_of(kind, call, *arguments, **named):
    with pytest.raises(kind) as refused:
        call(*arguments, **named)
    assert PIN not in str(refused.value)
    return refused.value.code


def test_a_profile_opens_with_the_pin_and_its_keys_work(folder):
    profile = Profile.open(folder, PIN)
    for use in (ADMINISTRATOR, INSTANCE):
        signer = profile.keystore.signer(use)
        assert signer.public_key.algorithm is Algorithm.ES256
        signer.public_key.verify(b"m", signer.sign(b"m"))
    assert profile.keystore.sealing_key().public_key.algorithm is Algorithm.XWING
    assert {use for use, _ in profile.keystore.public_keys()} == {ADMINISTRATOR, INSTANCE, SEALING}
    assert all(found.error is None for found in profile.keystore.check())
    profile.close()


def test_nothing_secret_is_in_the_folder(folder):
    profile = Profile.open(folder, PIN)
    [sealing] = profile.keystore.stored
    text = repr(profile) + repr(profile.keystore)
    profile.close()
    assert PIN not in text
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert sealing.private not in data
            assert PIN.encode() not in data
            assert path.stat().st_mode & 0o077 == 0
    assert not (folder / "keys.json").exists()


def test_keys_are_made_and_former_sealing_keys_still_open(folder):
    profile = Profile.open(folder, PIN)
    before, first = profile.keystore.sealing_key(), profile.keystore.signer(INSTANCE).public_key
    profile.make_key(INSTANCE)
    profile.make_key(SEALING, Algorithm.MLKEM1024_P384)
    profile.add_key(make_key(SEALING))
    profile.close()
    profile = Profile.open(folder, PIN)
    assert [s.public_key for s in profile.keystore.signers(INSTANCE)][1] == first
    found = profile.keystore.sealing_keys()
    assert found[2].public_key == before.public_key
    assert found[1].public_key.algorithm is Algorithm.MLKEM1024_P384
    assert profile.keystore.sealing_key(before.public_key.key_id).public_key == before.public_key
    assert [s.use for s in profile.keystore.stored] == ["sealing-old", "sealing-old", "sealing"]
    assert code_of(NotFoundError, profile.keystore.sealing_key, bytes(32)) == "no_such_key"
    assert code_of(NotFoundError, profile.keystore.signer, "governor") == "no_such_key"
    profile.close()


def test_signing_keys_out_of_files_and_keys_of_other_tokens_are_refused(folder, softhsm, tmp_path, world):
    profile = Profile.open(folder, PIN)
    assert code_of(UncheckableError, profile.add_key, make_key(INSTANCE)) == "keys_elsewhere"
    other = softhsm.uri("elsewhere", "k")
    assert code_of(TokenError, profile.name_key, INSTANCE, other) == "other_token"
    profile.close()
    filed = Profile.create(
        tmp_path / "filed", address=NAIROBI, broker_url=world.url, trust=world.trust, passphrase="p"
    )
    assert code_of(UncheckableError, filed.name_key, INSTANCE, other) == "keys_elsewhere"
    filed.close()


def test_a_key_that_was_deleted_is_told_by_the_check_and_stops_nothing_else(folder):
    profile = Profile.open(folder, PIN)
    profile.make_key(INSTANCE)
    file = parse_token_file((folder / TOKEN_FILE).read_bytes())
    old = next(k for k in file.keys if k.use == INSTANCE)

    def destroy(session):
        session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, id=old.name.id).destroy()

    open_token(parse_token_uri(file.token, key=False), PIN).use(destroy, writes=True)
    profile.close()
    profile = Profile.open(folder, PIN)
    new, gone = profile.keystore.signers(INSTANCE)
    new.public_key.verify(b"m", new.sign(b"m"))
    assert code_of(TokenError, gone.sign, b"m") == "no_token_key"
    errors = [found.error.code for found in profile.keystore.check() if found.error is not None]
    assert errors == ["no_token_key"]
    profile.close()
    done = CliRunner().invoke(
        main, ["key", "check", "--home", str(folder), "--json"], env={"COUNTERMARK_PIN": PIN}
    )
    assert done.exit_code == 4, done.output
    assert [k["error"] for k in json.loads(done.stdout)["keys"] if k["error"]] == ["no_token_key"]


def test_without_the_wrapping_key_it_still_signs_and_the_check_says_what_is_lost(folder):
    file = parse_token_file((folder / TOKEN_FILE).read_bytes())

    def destroy(session):
        session.get_key(object_class=pkcs11.ObjectClass.SECRET_KEY, id=file.wrapping.id).destroy()

    open_token(parse_token_uri(file.token, key=False), PIN).use(destroy, writes=True)
    profile = Profile.open(folder, PIN)
    signer = profile.keystore.signer(ADMINISTRATOR)
    signer.public_key.verify(b"m", signer.sign(b"m"))
    assert code_of(TokenError, profile.keystore.sealing_keys) == "no_token_key"
    assert [found.use for found in profile.keystore.check() if found.error] == ["wrapping", SEALING]
    profile.close()


def test_a_spoilt_token_file_is_malformed_or_told_when_its_key_is_used(folder):
    path = folder / TOKEN_FILE
    good = path.read_bytes()
    about = json.loads(good)
    for change in (
        {"format": "x"},
        {"token": 1},
        {"wrapping": None},
        {"keys": [{}]},
        {"sealing": [about["keys"][0]]},
        {"keys": [{**about["keys"][0], "id": ""}]},
        {
            "keys": [
                {**about["keys"][0], "alg": about["sealing"][0]["alg"], "pub": about["sealing"][0]["pub"]}
            ]
        },
        {"extra": 1},
    ):
        path.write_text(json.dumps({**about, **change}))
        with pytest.raises(MalformedError):
            Profile.open(folder, PIN)
    # Another key's public half: a signature by this one does not verify, and the token is asked why.
    one, other = about["keys"]
    path.write_text(json.dumps({**about, "keys": [{**one, "pub": other["pub"]}, other]}))
    profile = Profile.open(folder, PIN)
    assert code_of(TokenError, profile.keystore.signer(ADMINISTRATOR).sign, b"m") == "token_key_changed"
    profile.close()
    wrapped = about["sealing"][0]["wrapped"]
    flipped = wrapped[:20] + ("A" if wrapped[20] != "A" else "B") + wrapped[21:]
    path.write_text(json.dumps({**about, "sealing": [{**about["sealing"][0], "wrapped": flipped}]}))
    profile = Profile.open(folder, PIN)
    assert code_of(TokenError, profile.keystore.sealing_key) == "wrapped_key_altered"
    profile.close()
    path.unlink()
    assert code_of(NotFoundError, Profile.open, folder, PIN) == "no_key_file"


def test_where_the_pin_comes_from(tmp_path, folder, world, token, monkeypatch):
    (tmp_path / "pin").write_text(f"{PIN}\n")
    make(tmp_path / "filed", world, f"{token}&pin-source=file:{tmp_path / 'pin'}", pin="").close()
    Profile.open(tmp_path / "filed", "").close()
    assert code_of(TokenError, Profile.open, folder, "") == "no_pin"
    monkeypatch.setenv("COUNTERMARK_PASSPHRASE", "not a PIN, and never offered as one")
    monkeypatch.setenv("COUNTERMARK_PIN", PIN)
    Profile.open(folder, "").close()
    assert code_of(TokenError, Profile.open, folder, "000000") == "pin_refused"
    # A refusal leaves nothing locked behind.
    Profile.open(folder, PIN).close()
    run = CliRunner().invoke
    shown = run(main, ["key", "check", "--home", str(folder)])
    assert shown.exit_code == 0, shown.output
    monkeypatch.delenv("COUNTERMARK_PIN")
    asked = run(main, ["key", "check", "--home", str(folder)], input=f"{PIN}\n")
    assert asked.exit_code == 0, asked.output
    assert "PIN of token client" in asked.stderr
    nobody = run(main, ["key", "check", "--home", str(folder)], input="")
    assert nobody.exit_code == 2
    assert "COUNTERMARK_PIN" in nobody.stderr
    assert PIN not in shown.output + asked.output + nobody.output


def test_a_backup_says_that_the_tokens_keys_are_not_in_it(folder, token, tmp_path, softhsm):
    create_backup(folder, tmp_path / "b", "backup")
    assert verify_backup(tmp_path / "b", "backup").token == parse_token_uri(token, key=False).text
    restore_backup(tmp_path / "b", tmp_path / "restored", "backup")
    profile = Profile.open(tmp_path / "restored", PIN)
    signer = profile.keystore.signer(INSTANCE)
    signer.public_key.verify(b"m", signer.sign(b"m"))
    assert profile.keystore.sealing_key().public_key
    profile.close()
    told = CliRunner().invoke(
        main,
        ["backup", "verify", str(tmp_path / "b")],
        env={"COUNTERMARK_BACKUP_PASSPHRASE": "backup"},
    )
    assert "NOT in it: the keys in pkcs11:token=client" in told.stdout
    # On a machine without the token.
    about = json.loads((tmp_path / "restored" / TOKEN_FILE).read_bytes())
    about["token"] = softhsm.uri("on another machine")
    (tmp_path / "restored" / TOKEN_FILE).write_text(json.dumps(about))
    assert code_of(TokenError, Profile.open, tmp_path / "restored", PIN) == "no_token"


def test_without_the_extra_the_message_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(os.sys.modules, "countermark_tokens.errors", None)
    monkeypatch.delitem(os.sys.modules, "countermark_client._token_keystore")
    monkeypatch.delattr("countermark_client._token_keystore")
    with pytest.raises(UncheckableError, match=r"countermark-client\[pkcs11\]") as refused:
        Profile.open(folder, PIN)
    assert refused.value.code == "no_token_library"


def test_a_sealing_key_from_elsewhere_is_wrapped_and_given_on(tmp_path, world, token):
    sealing = make_key(SEALING)
    profile = make(tmp_path / "second", world, token, uses=(INSTANCE,), sealing=[sealing])
    assert profile.keystore.stored == (sealing,)
    assert profile.keystore.signers(ADMINISTRATOR) == ()
    profile.close()


def test_ed25519_where_the_token_has_it(tmp_path, world, token):
    profile = make(tmp_path / "edwards", world, token, algorithm=Algorithm.ED25519)
    signer = profile.keystore.signer(INSTANCE)
    assert signer.public_key.algorithm is Algorithm.ED25519
    signer.public_key.verify(b"m", signer.sign(b"m"))
    # The same interface as a key in memory.
    assert len(signer.sign(b"m")) == len(load_signer(Algorithm.ED25519, bytes(32)).sign(b"m"))
    profile.close()
