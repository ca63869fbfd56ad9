"""Key files of tests: Argon2id, slow on purpose, is derived once for each passphrase of a process.

Files sealed by a test are given the one salt of their process, and what was derived from it is kept: the bytes are
those of the real derivation, and every file has a nonce of its own. That outside tests it has a salt of its own too
is what unit/test_salts.py tests. A module that names a fixture of its own `derived_once` is left alone.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from unittest import mock

import pytest

from countermark_broker.services import keyring
from countermark_client import _backup, _keystore
from countermark_protocol import keyfile
from countermark_protocol.keyfile import SALT_BYTES, StoredKey, encode_key_file
from countermark_protocol.sealed_file import seal_file
from countermark_witness import keys as witness_keys

_SALT = os.urandom(SALT_BYTES)
_derive = functools.lru_cache(maxsize=1024)(keyfile._derive)


def _salt(given: bytes) -> bytes:
    """The salt of this process, for one that was made as it must be."""
    return _SALT if len(given) == SALT_BYTES else given


def _encode_key_file(keys: tuple[StoredKey, ...], passphrase: str, salt: bytes, nonce: bytes) -> bytes:
    return encode_key_file(keys, passphrase, _salt(salt), nonce)


def _seal_file(passphrase: str, salt: bytes, *rest: Any) -> Iterator[bytes]:
    return seal_file(passphrase, _salt(salt), *rest)


@pytest.fixture(scope="module", autouse=True)
def derived_once() -> Iterator[None]:
    """For the tests of a module, and what they share."""
    with ExitStack() as stack:
        for module, name, replacement in (
            (keyfile, "_derive", _derive),
            (_keystore, "encode_key_file", _encode_key_file),
            (keyring, "encode_key_file", _encode_key_file),
            (_backup, "seal_file", _seal_file),
            (witness_keys, "seal_file", _seal_file),
        ):
            stack.enter_context(mock.patch.object(module, name, replacement))
        yield
