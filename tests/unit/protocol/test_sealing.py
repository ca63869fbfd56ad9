"""Sealing: what is bound to what, and one error whatever the reason."""

from dataclasses import replace

import pytest

from countermark_protocol.chunks import seal_chunks
from countermark_protocol.encoding import labelled_bytes, labelled_hash
from countermark_protocol.errors import CountermarkError, MalformedError, SealError
from countermark_protocol.keys import Algorithm
from countermark_protocol.manifest import MAX_CONTENT_BYTES, SealedContent
from countermark_protocol.padding import pad
from countermark_protocol.parts import Part, commitment_of, encode_parts, split_content
from countermark_protocol.sealing import (
    ContentSecrets,
    MessageBinding,
    SealingKey,
    _content_key,
    ciphertext_digest,
    open_content,
    rejection_info,
    seal_content,
    seal_details,
    unwrap_secrets,
    wrap_secrets,
)
from support.protocol_world import message_id
from support.world import KAMPALA, NAIROBI, ORIGIN, seed, signer

KEY, OTHER = SealingKey(seed("recipient")), SealingKey(seed("other"))
SECRETS = ContentSecrets(seed("content key"), seed("opener"))
PARTS = split_content({"items": [{"serial": "A1"}], "note": "n"})
SEALED, CONTENT = seal_content(PARTS, SECRETS, bytes(24))
BINDING = MessageBinding(ORIGIN, message_id(1), "tracing-request", NAIROBI, (CONTENT.digest,))
INFO = BINDING.info(KAMPALA, KEY.public_key.key_id)
STANZA = wrap_secrets(KEY.public_key, INFO, SECRETS)


def refused(error, code, function, *args):
    with pytest.raises(CountermarkError) as caught:
        function(*args)
    assert (type(caught.value), caught.value.code) == (error, code), caught.value
    return caught.value


def content_of(ciphertext, commitment=CONTENT.commitment):
    return SealedContent(ciphertext_digest(ciphertext), len(ciphertext), commitment)


def test_round_trip():
    assert len(STANZA) == 1200
    assert unwrap_secrets(KEY, INFO, STANZA) == SECRETS
    assert open_content(SEALED, SECRETS, CONTENT) == PARTS
    assert content_of(SEALED, commitment_of(PARTS, SECRETS.opener)) == CONTENT
    assert ciphertext_digest(SEALED) == labelled_hash("ciphertext", SEALED)


def test_info_is_that_of_the_spec():
    assert labelled_bytes(
        "stanza-info",
        ORIGIN.encode(),
        message_id(1).encode(),
        b"tracing-request",
        NAIROBI.encode(),
        KAMPALA.encode(),
        KEY.public_key.key_id,
        CONTENT.digest,
    ) == INFO  # fmt: skip


@pytest.mark.parametrize(
    "info",
    [
        replace(BINDING, log="other.example").info(KAMPALA, KEY.public_key.key_id),
        replace(BINDING, message_id=message_id(2)).info(KAMPALA, KEY.public_key.key_id),
        replace(BINDING, type="trade-route-alert").info(KAMPALA, KEY.public_key.key_id),
        replace(BINDING, sender=KAMPALA).info(KAMPALA, KEY.public_key.key_id),
        replace(BINDING, ciphertexts=(bytes(32),)).info(KAMPALA, KEY.public_key.key_id),
        replace(BINDING, ciphertexts=(CONTENT.digest, bytes(32))).info(KAMPALA, KEY.public_key.key_id),
        replace(BINDING, ciphertexts=()).info(KAMPALA, KEY.public_key.key_id),
        BINDING.info(NAIROBI, KEY.public_key.key_id),
        BINDING.info(KAMPALA, OTHER.public_key.key_id),
        b"",
    ],
)
def test_a_stanza_opens_nowhere_else(info):
    refused(SealError, "stanza_does_not_open", unwrap_secrets, KEY, info, STANZA)


def test_a_stanza_opens_with_no_other_key():
    refused(SealError, "stanza_does_not_open", unwrap_secrets, OTHER, INFO, STANZA)


@pytest.mark.parametrize("at", [0, 500, 1087, 1088, 1119, 1120, 1150, 1199])
def test_no_byte_of_a_stanza_can_change(at):
    bad = STANZA[:at] + bytes([STANZA[at] ^ 1]) + STANZA[at + 1 :]
    refused(SealError, "stanza_does_not_open", unwrap_secrets, KEY, INFO, bad)


@pytest.mark.parametrize("size", [0, 1, 1087, 1088, 1119, 1120, 1135, 1136, 1199, 1201, 4000])
def test_stanzas_of_another_size(size):
    bad = (STANZA + bytes(4000))[:size]
    refused(SealError, "stanza_does_not_open", unwrap_secrets, KEY, INFO, bad)


def test_a_stanza_that_holds_something_else():
    for size in (0, 32, 63, 65):
        odd = seal_details(KEY.public_key, INFO, bytes(size))
        refused(SealError, "stanza_does_not_open", unwrap_secrets, KEY, INFO, odd)


def test_one_error_whatever_the_reason():
    errors = {
        str(refused(SealError, "stanza_does_not_open", unwrap_secrets, *case))
        for case in [(OTHER, INFO, STANZA), (KEY, b"", STANZA), (KEY, INFO, b""), (KEY, INFO, STANZA[:-1])]
    }
    assert len(errors) == 1


# --- content ---


def test_a_ciphertext_not_named_by_the_manifest():
    other, named = seal_content(PARTS, SECRETS, bytes(23) + b"\x01")
    refused(SealError, "content_swapped", open_content, other, SECRETS, CONTENT)
    refused(
        SealError, "content_swapped", open_content, SEALED, SECRETS, replace(CONTENT, size=CONTENT.size + 1)
    )
    assert open_content(other, SECRETS, named) == PARTS


def test_another_content_key():
    wrong = ContentSecrets(bytes(32), SECRETS.opener)
    refused(SealError, "wrong_key", open_content, SEALED, wrong, CONTENT)


def test_another_opener():
    wrong = ContentSecrets(SECRETS.content_key, bytes(32))
    refused(SealError, "commitment_mismatch", open_content, SEALED, wrong, CONTENT)


def test_a_commitment_to_something_else():
    refused(
        SealError,
        "commitment_mismatch",
        open_content,
        SEALED,
        SECRETS,
        replace(CONTENT, commitment=bytes(32)),
    )


def test_truncated_and_altered_content_whose_manifest_fits():
    cut = SEALED[:60]
    refused(SealError, "truncated_ciphertext", open_content, cut, SECRETS, content_of(cut))
    bad = SEALED[:-1] + bytes([SEALED[-1] ^ 1])
    refused(SealError, "altered_ciphertext", open_content, bad, SECRETS, content_of(bad))


def resealed(plaintext):
    ciphertext = seal_chunks(_content_key(SECRETS), plaintext, bytes(24), b"")
    return ciphertext, SECRETS, content_of(ciphertext)


def test_padding_is_no_place_to_hide_anything():
    padded = pad(encode_parts(PARTS))
    refused(SealError, "non_zero_padding", open_content, *resealed(padded[:-1] + b"\x01"))
    refused(SealError, "padding_size", open_content, *resealed(padded + b"\x00"))
    refused(SealError, "padding_size", open_content, *resealed(encode_parts(PARTS)))


def test_plaintext_that_is_no_list():
    refused(MalformedError, "truncated", open_content, *resealed(b""))
    refused(MalformedError, "unknown_version", open_content, *resealed(pad(b"{}")))
    refused(MalformedError, "part_count", open_content, *resealed(pad(b"\x01\0\0\0\0")))


def test_content_too_large():
    parts = [Part(f"/a/{i}", b"0" * 1024 * 1024) for i in range(5)]
    refused(SealError, "content_too_large", seal_content, parts, SECRETS, bytes(24))
    fits, named = seal_content(parts[:3], SECRETS, bytes(24))
    assert len(fits) == named.size <= MAX_CONTENT_BYTES


# --- keys and details of rejections ---


def test_a_seed_makes_one_key():
    assert SealingKey(seed("recipient")).public_key == KEY.public_key
    assert KEY.public_key.algorithm is Algorithm.XWING
    assert len(KEY.public_key.raw) == 1216
    for size in (0, 31, 64):
        with pytest.raises(ValueError, match="32 bytes"):
            SealingKey(bytes(size))


def test_the_larger_key_opens_its_own_stanzas_alone():
    large = SealingKey(seed("recipient"), Algorithm.MLKEM1024_P384)
    assert len(large.public_key.raw) == 1665
    stanza = wrap_secrets(large.public_key, INFO, SECRETS)
    assert len(stanza) == 1745
    assert unwrap_secrets(large, INFO, stanza) == SECRETS
    refused(SealError, "stanza_does_not_open", unwrap_secrets, large, INFO + b"x", stanza)
    # Of one seed, and yet another key: what is sealed to one does not open with the other.
    refused(SealError, "stanza_does_not_open", unwrap_secrets, KEY, INFO, stanza)
    refused(
        SealError,
        "stanza_does_not_open",
        unwrap_secrets,
        large,
        INFO,
        wrap_secrets(KEY.public_key, INFO, SECRETS),
    )


def test_only_sealing_algorithms_make_sealing_keys():
    with pytest.raises(ValueError, match="not a sealing algorithm"):
        SealingKey(seed("recipient"), Algorithm.ED25519)


def test_only_sealing_keys_are_sealed_to():
    with pytest.raises(ValueError, match="not a sealing key"):
        wrap_secrets(signer("x").public_key, INFO, SECRETS)


def test_details_of_a_rejection_reach_the_sender_alone():
    info = rejection_info(ORIGIN, bytes(32), KAMPALA, NAIROBI, KEY.public_key.key_id)
    assert info == labelled_bytes(
        "rejection-details",
        ORIGIN.encode(),
        bytes(32),
        KAMPALA.encode(),
        NAIROBI.encode(),
        KEY.public_key.key_id,
    )
    sealed = seal_details(KEY.public_key, info, b'[{"field":"/items/0"}]')
    assert KEY.open(sealed, info) == b'[{"field":"/items/0"}]'
    refused(SealError, "stanza_does_not_open", OTHER.open, sealed, info)
    elsewhere = rejection_info(ORIGIN, bytes(31) + b"\x01", KAMPALA, NAIROBI, KEY.public_key.key_id)
    refused(SealError, "stanza_does_not_open", KEY.open, sealed, elsewhere)
    # A stanza is not taken for details, nor the other way round.
    refused(SealError, "stanza_does_not_open", KEY.open, STANZA, info)
