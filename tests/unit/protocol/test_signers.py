"""Private keys: they sign for their public half, and show nothing."""

import pytest

from countermark_protocol.keys import Algorithm, parse_public_key
from countermark_protocol.signers import Ed25519Signer, Es256Signer, load_signer
from support.world import seed

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_rfc_8032_test_1():
    signer = Ed25519Signer(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert signer.public_key.raw.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert signer.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a")


def test_p256_scalar_one_is_the_generator():
    signer = Es256Signer((1).to_bytes(32, "big"))
    assert signer.public_key.raw[1:5].hex() == "6b17d1f2"
    assert signer.public_key == parse_public_key(Algorithm.ES256, signer.public_key.raw)


@pytest.mark.parametrize("algorithm", [Algorithm.ED25519, Algorithm.ES256])
def test_a_kept_key_signs(algorithm):
    signer = load_signer(algorithm, seed("kept"))
    assert signer.public_key.algorithm is algorithm
    for number in range(16):  # about half of raw ECDSA signatures are high-S
        signature = signer.sign(b"message %d" % number)
        assert len(signature) == 64
        signer.public_key.verify(b"message %d" % number, signature)


def test_what_cannot_be_loaded():
    for size in (0, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            load_signer(Algorithm.ED25519, bytes(size))
    with pytest.raises(ValueError, match="not a signing algorithm"):
        load_signer(Algorithm.XWING, bytes(32))
    for scalar in (0, ORDER, 2**256 - 1):
        with pytest.raises(ValueError):
            load_signer(Algorithm.ES256, scalar.to_bytes(32, "big"))


def test_nothing_is_shown():
    for algorithm in (Algorithm.ED25519, Algorithm.ES256):
        shown = repr(load_signer(algorithm, seed("secret"))) + str(
            vars(load_signer(algorithm, seed("secret")))
        )
        assert seed("secret").hex() not in shown
        assert repr(seed("secret")) not in shown
