"""What goes wrong with a token, each with a code of its own, against Debian's SoftHSM."""

import os
import subprocess
import sys
import threading

import pytest

from countermark_protocol.keys import Algorithm
from countermark_tokens import sessions
from countermark_tokens.errors import TokenError
from countermark_tokens.keys import TokenSigner, load_token_key, make_token_key, weaknesses
from countermark_tokens.sessions import open_token
from countermark_tokens.uri import parse_token_uri
from support.softhsm import COUNT_LOW, FINAL_TRY, LOCKED, PIN

pkcs11 = pytest.importorskip("pkcs11", reason="NOT RUN: needs the extra countermark-client[pkcs11]")


@pytest.fixture(scope="module")
def token(softhsm):
    """A function from a key's label to its parsed URI, in a token of this module."""
    softhsm.make("faults")
    return lambda label: parse_token_uri(softhsm.uri("faults", label))


def code_of(call, *arguments):
    with pytest.raises(TokenError) as refused:
        call(*arguments)
    assert PIN not in str(refused.value)
    return refused.value.code


@pytest.fixture
def logins(monkeypatch):
    """How often the token was asked with which PIN, in this process."""
    asked = []
    real = pkcs11._pkcs11.Token.open

    class Counting:
        def __init__(self, token):
            self._token = token

        def __getattr__(self, name):
            return getattr(self._token, name)

        def open(self, **how):
            if "user_pin" in how:
                asked.append(how["user_pin"])
            return real(self._token, **how)

    found = sessions.Token._find
    monkeypatch.setattr(sessions.Token, "_find", lambda self: Counting(found(self)))
    return asked


_HEAD = (
    "import sys\n"
    "from countermark_tokens.errors import TokenError\n"
    "from countermark_tokens.keys import load_token_key\n"
    "from countermark_tokens.uri import parse_token_uri\n"
)


def in_new_process(program, *arguments):
    """Run a few lines in a process of its own, which has no log-in yet; what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", _HEAD + program, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


_LOAD = (
    "def load(pin):\n"
    "    try:\n"
    "        load_token_key(parse_token_uri(sys.argv[1]), pin)\n"
    "        print('signed')\n"
    "    except TokenError as error:\n"
    "        assert pin not in str(error)\n"
    "        print(error.code)\n"
)


def test_the_private_key_cannot_be_taken_out(token):
    uri = token("kept")
    make_token_key(uri, PIN, Algorithm.ES256)
    opened = open_token(uri, PIN)
    with pytest.raises(pkcs11.exceptions.AttributeSensitive):
        opened.use(
            lambda s: s.get_key(label="kept", object_class=pkcs11.ObjectClass.PRIVATE_KEY)[
                pkcs11.Attribute.VALUE
            ]
        )
    assert weaknesses(opened, uri) == ()


def test_a_key_that_can_be_taken_out_is_told(token):
    uri = token("loose")
    opened = open_token(uri, PIN)

    def make(session):
        curve = session.create_domain_parameters(
            pkcs11.KeyType.EC,
            {pkcs11.Attribute.EC_PARAMS: bytes.fromhex("06082a8648ce3d030107")},
            local=True,
        )
        loose = {pkcs11.Attribute.SENSITIVE: False, pkcs11.Attribute.EXTRACTABLE: True}
        curve.generate_keypair(
            mechanism=pkcs11.Mechanism.EC_KEY_PAIR_GEN,
            store=True,
            label="loose",
            id=b"l",
            private_template=loose,
        )

    opened.use(make, writes=True)
    assert len(weaknesses(opened, uri)) == 2


def test_a_wrong_pin_is_tried_once_and_not_again(softhsm, token, logins):
    serial = softhsm.make("wrong-pin")
    uri = parse_token_uri(softhsm.uri("wrong-pin", "k"))
    for _ in range(3):
        assert code_of(load_token_key, uri, "000000") == "pin_refused"
    assert logins == ["000000"]
    # Another PIN is another matter; and the token that was opened by it takes no other one afterwards.
    make_token_key(uri, PIN, Algorithm.ES256).sign(b"m")
    assert logins == ["000000", PIN]
    assert code_of(load_token_key, uri, "000000") == "pin_refused"
    by_serial = parse_token_uri(softhsm.uri("wrong-pin", "k").replace("token=wrong-pin", f"serial={serial}"))
    assert code_of(load_token_key, by_serial, "000001") == "pin_refused"
    load_token_key(by_serial, PIN).sign(b"m")


def test_a_pin_that_was_changed_meanwhile_is_tried_once(softhsm, logins):
    serial = softhsm.make("changed-pin")
    uri = parse_token_uri(softhsm.uri("changed-pin", "k"))
    signer = make_token_key(uri, PIN, Algorithm.ES256)
    opened = open_token(uri, PIN)
    opened.use(lambda session: session.set_pin(PIN, "999999"), writes=True)
    opened._drop()
    del logins[:]
    for _ in range(3):
        assert code_of(signer.sign, b"m") == "pin_refused"
    assert logins == [PIN]
    load_token_key(uri, "999999").sign(b"m")
    assert serial


def test_a_locked_pin_and_the_last_try_before_it_are_told_without_a_try(softhsm):
    serial = softhsm.make("locked")
    uri = softhsm.uri("locked", "k")
    make = _LOAD.replace("load_token_key(", "make_token_key(").replace(", pin)", ", pin, Algorithm.ES256)")
    imports = "from countermark_protocol.keys import Algorithm\nfrom countermark_tokens.keys import make_token_key\n"
    assert in_new_process(f"{imports}{make}load({PIN!r})", uri) == ["signed"]
    # A first wrong PIN is a warning that the token gives, and no reason to stop.
    softhsm.set_flags(serial, COUNT_LOW)
    assert in_new_process(f"{_LOAD}load({PIN!r})", uri) == ["signed"]
    softhsm.set_flags(serial, FINAL_TRY)
    assert in_new_process(f"{_LOAD}load({PIN!r})\nload('000000')", uri) == ["pin_last_try", "pin_last_try"]
    softhsm.set_flags(serial, LOCKED)
    assert in_new_process(f"{_LOAD}load({PIN!r})", uri) == ["pin_locked"]


def test_a_key_that_is_not_there_and_two_of_one_label(token):
    assert code_of(load_token_key, token("absent"), PIN) == "no_token_key"
    first = make_token_key(token("twin"), PIN, Algorithm.ES256)
    other = make_token_key(token("twin-2"), PIN, Algorithm.ES256)
    opened = open_token(token("twin"), PIN)

    def rename(session):
        for kind in (pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.ObjectClass.PUBLIC_KEY):
            session.get_key(label="twin-2", object_class=kind)[pkcs11.Attribute.LABEL] = "twin"

    key_id = opened.use(
        lambda s: s.get_key(label="twin", object_class=pkcs11.ObjectClass.PRIVATE_KEY)[pkcs11.Attribute.ID]
    )
    opened.use(rename, writes=True)
    assert code_of(load_token_key, token("twin"), PIN) == "two_token_keys"
    assert code_of(make_token_key, token("twin"), PIN, Algorithm.ES256) == "token_key_exists"
    by_id = parse_token_uri(token("twin").text.replace("object=twin", f"id=%{key_id.hex('%')}"))
    assert load_token_key(by_id, PIN).public_key == first.public_key != other.public_key


def test_a_key_that_was_deleted_or_replaced_under_its_name(token):
    uri = token("replaced")
    made = make_token_key(uri, PIN, Algorithm.ES256)
    opened = open_token(uri, PIN)

    def destroy(session):
        for kind in (pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.ObjectClass.PUBLIC_KEY):
            session.get_key(label="replaced", object_class=kind).destroy()

    opened.use(destroy, writes=True)
    kept = TokenSigner(opened, uri, made.public_key)
    assert code_of(kept.sign, b"m") == "no_token_key"
    make_token_key(uri, PIN, Algorithm.ES256)
    assert code_of(TokenSigner(opened, uri, made.public_key).sign, b"m") == "token_key_changed"


def test_a_faulty_signature_does_not_leave_the_signer(token, monkeypatch):
    signer = make_token_key(token("faulty"), PIN, Algorithm.ED25519)
    good = signer.sign(b"m")
    monkeypatch.setattr(TokenSigner, "_sign", lambda *_: good[:40] + bytes([good[40] ^ 1]) + good[41:])
    assert code_of(signer.sign, b"m") == "token_faulty"


def test_no_such_token_two_of_one_name_and_no_library(softhsm, tmp_path):
    assert code_of(load_token_key, parse_token_uri(softhsm.uri("nowhere", "k")), PIN) == "no_token"
    for _ in range(2):
        serial = softhsm.make("same")
    assert code_of(load_token_key, parse_token_uri(softhsm.uri("same", "k")), PIN) == "two_tokens"
    by_serial = softhsm.uri("same", "k").replace("token=same", f"token=same;serial={serial}")
    make_token_key(parse_token_uri(by_serial), PIN, Algorithm.ES256).sign(b"m")
    (tmp_path / "no.so").write_bytes(b"no library")
    for path in ("/nowhere.so", tmp_path / "no.so"):
        uri = parse_token_uri(f"pkcs11:token=a;object=k?module-path={path}")
        assert code_of(load_token_key, uri, PIN) == "no_token_module"


def test_a_lost_session_is_opened_again(token, logins):
    signer = make_token_key(token("lost"), PIN, Algorithm.ES256)
    signer.sign(b"m")
    opened = open_token(token("lost"), PIN)
    opened._session.close()
    del logins[:]
    signer.public_key.verify(b"m", signer.sign(b"m"))
    assert logins == [PIN]


def test_a_token_that_is_taken_away_and_comes_back(softhsm):
    serial = softhsm.make("removed")
    uri = parse_token_uri(softhsm.uri("removed", "k"))
    signer = make_token_key(uri, PIN, Algorithm.ES256)
    place, away = softhsm.files(serial), softhsm.folder / "away"
    place.rename(away)
    try:
        for _ in range(2):
            assert code_of(signer.sign, b"m") == "no_token"
        assert code_of(load_token_key, uri, PIN) == "no_token"
    finally:
        away.rename(place)
    signer.public_key.verify(b"m", signer.sign(b"m"))


def test_a_forked_process_opens_its_own_session(token):
    signer = make_token_key(token("forked"), PIN, Algorithm.ES256)
    signer.sign(b"before")
    inherited = open_token(token("forked"), PIN)._session
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover  another process
        try:
            signature = signer.sign(b"child")
            fresh = open_token(token("forked"), PIN)._session is not inherited
            os.write(write, signature if fresh else b"-")
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        signature = pipe.read()
    os.waitpid(child, 0)
    signer.public_key.verify(b"child", signature)
    signer.public_key.verify(b"after", signer.sign(b"after"))


def test_a_fork_waits_for_a_thread_inside_the_token(token):
    signer = make_token_key(token("busy"), PIN, Algorithm.ES256)
    inside, go_on = threading.Event(), threading.Event()

    def hold(_session):
        inside.set()
        go_on.wait()

    thread = threading.Thread(target=open_token(token("busy"), PIN).use, args=(hold,))
    thread.start()
    inside.wait()
    threading.Timer(0.05, go_on.set).start()
    child = os.fork()
    if child == 0:  # pragma: no cover  another process
        try:
            signer.sign(b"child")
            os._exit(17)
        finally:
            os._exit(1)
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17


def test_two_processes_share_a_token(token):
    signer = make_token_key(token("shared"), PIN, Algorithm.ES256)
    program = (
        f"{_HEAD}signer = load_token_key(parse_token_uri(sys.argv[1]), {PIN!r})\n"
        "for n in range(40):\n    print(signer.sign(b'%d' % n).hex(), flush=True)\n"
    )
    command = [sys.executable, "-c", program, token("shared").text]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for one in both:
        out, _ = one.communicate()
        assert one.returncode == 0
        for n, signature in enumerate(out.split()):
            signer.public_key.verify(b"%d" % n, bytes.fromhex(signature))
        assert len(out.split()) == 40
    # What another process makes is found by one that had opened the token before.
    late = (
        "from countermark_protocol.keys import Algorithm\nfrom countermark_tokens.keys import make_token_key\n"
        f"make_token_key(parse_token_uri(sys.argv[1]), {PIN!r}, Algorithm.ES256)\n"
    )
    in_new_process(late, token("made-elsewhere").text)
    load_token_key(token("made-elsewhere"), PIN).sign(b"m")


def test_two_threads_share_a_signer(token):
    signer = make_token_key(token("threads"), PIN, Algorithm.ES256)
    made = []

    def sign():
        made.extend(signer.sign(b"m") for _ in range(20))

    threads = [threading.Thread(target=sign) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 80
    for signature in made:
        signer.public_key.verify(b"m", signature)
