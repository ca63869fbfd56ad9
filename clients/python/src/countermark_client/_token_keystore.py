"""A keystore whose signing keys never leave a PKCS#11 token, and whose sealing keys only that token opens.

Loaded where a profile has its keys in a token: needs the extra ``countermark-client[pkcs11]``.

Source: docs/spec/keys.md §8.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from countermark_client._keystore import (
    SEALING,
    SEALING_OLD,
    Checked,
    GrowingKeystore,
    KeyLookup,
    write_private,
)
from countermark_client._token_file import (
    KeyName,
    NamedKey,
    TokenFile,
    WrappedKey,
    encode_token_file,
    read_token_file,
    wrapping_context,
)
from countermark_protocol.errors import CountermarkError, NotFoundError, UncheckableError
from countermark_protocol.keyfile import StoredKey
from countermark_protocol.keys import Algorithm, PublicKey, Signer
from countermark_protocol.sealing import SealingKey
from countermark_tokens.errors import TokenError
from countermark_tokens.keys import TokenSigner, load_token_key, make_token_key, weaknesses
from countermark_tokens.pins import find_pin, read_pin
from countermark_tokens.sessions import open_token
from countermark_tokens.uri import SCHEME, TokenUri, parse_token_uri
from countermark_tokens.wrapping import make_wrapping_key, unwrap, wrap

#: Of the environment: the PIN, where the token's URI names no file with it.
PIN_VARIABLE: Final = "COUNTERMARK_PIN"
_WRAPPING: Final = "wrapping"
_ID_BYTES: Final = 8
#: Signed to see that a key works. No signature of the protocol begins so (docs/spec/documents.md, docs/spec/log.md).
_PROBE: Final = b"countermark: does this key sign?"


class TokenKeystore(KeyLookup, GrowingKeystore):
    """Keys in one token.

    Args:
        path: of the token file.
        file: what it holds, or shall hold once `save` is called.
        pin: of the token's user; empty: from the file that the URI names, or the environment.

    Raises:
        TokenError: the token cannot be opened.
    """

    def __init__(self, path: Path, file: TokenFile, pin: str) -> None:
        self._path, self._file = path, file
        self._uri = parse_token_uri(file.token, key=False)
        self._pin = pin or read_pin(self._uri, PIN_VARIABLE)
        self._token = open_token(self._uri, self._pin)
        self._signers: list[tuple[str, TokenSigner]] = [
            (k.use, TokenSigner(self._token, self._uri_of(k.name), k.public)) for k in file.keys
        ]
        #: Unwrapped when the first of them is wanted, since whoever only signs needs none.
        self._sealing: tuple[tuple[str, StoredKey, SealingKey], ...] | None = None

    def __repr__(self) -> str:
        """Uses and token; a PIN never."""
        return f"{type(self).__name__}({', '.join(sorted({u for u, _ in self._signers}))} in {self._uri})"

    @property
    def token(self) -> str:
        """URI of the token."""
        return self._file.token

    def _uri_of(self, name: KeyName) -> TokenUri:
        return replace(self._uri, object=name.label, id=name.id)

    # --- what a keystore gives ---

    def sealing_keys(self) -> tuple[SealingKey, ...]:
        """The current sealing key and the former ones, newest first."""
        opened = tuple(reversed(self._unwrapped()))
        return (
            *(key for use, _, key in opened if use == SEALING),
            *(key for use, _, key in opened if use == SEALING_OLD),
        )

    @property
    def stored(self) -> tuple[StoredKey, ...]:
        """The keys that can be given to another instance: sealing keys alone, oldest first."""
        return tuple(stored for _, stored, _ in self._unwrapped())

    def public_keys(self) -> tuple[tuple[str, PublicKey], ...]:
        """(use, public key) of every key, as the token file has them."""
        return (
            *((k.use, k.public) for k in self._file.keys),
            *((k.use, k.public) for k in self._file.sealing),
        )

    def _unwrapped(self) -> tuple[tuple[str, StoredKey, SealingKey], ...]:
        if self._sealing is None:
            self._sealing = tuple((k.use, *self._unwrap(k)) for k in self._file.sealing)
        return self._sealing

    def _wrapping(self) -> TokenUri:
        if self._file.wrapping is None:
            raise NotFoundError(
                "no_such_key", "this keystore has no wrapping key, so it holds no sealing key"
            )
        return self._uri_of(self._file.wrapping)

    def _unwrap(self, key: WrappedKey) -> tuple[StoredKey, SealingKey]:
        seed = unwrap(self._token, self._wrapping(), key.wrapped, wrapping_context(key.public))
        sealing = None
        with contextlib.suppress(ValueError):
            sealing = SealingKey(seed, key.public.algorithm)
        if sealing is None or sealing.public_key != key.public:
            raise TokenError(
                "wrapped_key_altered",
                f"a wrapped seed opens to another key than {key.public.key_id.hex()[:16]}: restore the profile",
            )
        return StoredKey(key.use, key.public.algorithm, seed), sealing

    # --- changing ---

    def with_made(self, use: str, algorithm: Algorithm | None, owner: str) -> TokenKeystore:
        """This keystore with one more signing key, made in the token; to be saved.

        Args:
            use: what it is for.
            algorithm: ES256 if not said, which most tokens have.
            owner: whose it is, for people who look at the token: part of its label.

        Raises:
            TokenError: the token does not make it.
        """
        name = _fresh_name(owner, use)
        made = make_token_key(self._uri_of(name), self._pin, algorithm or Algorithm.ES256)
        return self._with(keys=(*self._file.keys, NamedKey(use, name, made.public_key)))

    def with_named(self, use: str, uri: str) -> TokenKeystore:
        """This keystore with one more signing key, that lies in the token already; to be saved.

        Args:
            use: what it is for.
            uri: of it.

        Raises:
            TokenError: ``other_token``; or it cannot be found and used.
        """
        named = parse_token_uri(uri)
        here = replace(self._uri, pin_source=None)
        if replace(named, object="", id=b"", pin_source=None) != here:
            raise TokenError(
                "other_token",
                f"a profile has one token, the {self._uri}: name the key by its module-path, token and serial",
            )
        signer = TokenSigner(self._token, named)
        signer.sign(_PROBE)
        if any(k.public == signer.public_key for k in self._file.keys):
            return self
        key = NamedKey(use, KeyName(*signer.identity()), signer.public_key)
        return self._with(keys=(*self._file.keys, key))

    def with_key(self, key: StoredKey, owner: str) -> TokenKeystore:
        """This keystore with one more sealing key, wrapped; to be saved. A new one makes the one before a former one.

        Raises:
            UncheckableError: ``keys_elsewhere``: a signing key, which must be made in the token.
            TokenError: the token does not wrap it.
        """
        if key.use not in {SEALING, SEALING_OLD}:
            raise UncheckableError(
                "keys_elsewhere",
                f"this profile's signing keys are in the {self._uri} and are made there: no key for '{key.use}' "
                "out of a file",
            )
        file = self._file
        if file.wrapping is None:
            name = _fresh_name(owner, _WRAPPING)
            make_wrapping_key(self._token, self._uri_of(name))
            file = replace(file, wrapping=name)
        assert file.wrapping is not None
        public = SealingKey(key.private, key.algorithm).public_key
        wrapped = wrap(self._token, self._uri_of(file.wrapping), key.private, wrapping_context(public))
        return TokenKeystore(self._path, file.with_sealing(WrappedKey(key.use, public, wrapped)), self._pin)

    def _with(self, *, keys: tuple[NamedKey, ...]) -> TokenKeystore:
        return TokenKeystore(self._path, replace(self._file, keys=keys), self._pin)

    def save(self) -> None:
        """Write the token file: a reader sees the old one or the new one."""
        write_private(self._path, encode_token_file(self._file))

    # --- checking ---

    def check(self) -> tuple[Checked, ...]:
        """Use every key once, and look whether any of them could leave the token."""
        out = [
            Checked(k.use, k.public, k.name.label, self._checked(k.name, signer))
            for k, (_, signer) in zip(self._file.keys, self._signers, strict=True)
        ]
        if self._file.wrapping is not None:
            name = self._file.wrapping
            out.append(Checked(_WRAPPING, None, name.label, self._checked(name, None)))
        out += [
            Checked(key.use, key.public, "", _error_of(partial(self._unwrap, key)))
            for key in self._file.sealing
        ]
        return tuple(out)

    def _checked(self, name: KeyName, signer: TokenSigner | None) -> CountermarkError | None:
        uri = self._uri_of(name)

        def look() -> None:
            if signer is not None:
                signer.sign(_PROBE)
            weak = weaknesses(self._token, uri, secret=signer is None)
            if weak:
                raise TokenError("token_key_weak", f"the {uri}: {' and '.join(weak)}: make another one")

        return _error_of(look)


def _error_of(action: Callable[[], object]) -> CountermarkError | None:
    try:
        action()
    except CountermarkError as error:
        return error
    return None


def _fresh_name(owner: str, use: str) -> KeyName:
    key_id = os.urandom(_ID_BYTES)
    return KeyName(f"{owner} {use} {key_id.hex()}", key_id)


def find_pin_of(token: str) -> str | None:
    """The PIN of a token, where a file or the environment holds it.

    Raises:
        TokenError: ``bad_token_uri``; ``no_pin``: the file cannot be read.
    """
    return find_pin(_any_uri(token), PIN_VARIABLE)


def name_of(token: str) -> str:
    """A token, or a key in it, for people.

    Raises:
        TokenError: ``bad_token_uri``.
    """
    return str(_any_uri(token))


def token_in(uri: str) -> str:
    """URI of the token that a key's URI names.

    Raises:
        TokenError: ``bad_token_uri``.
    """
    return replace(_any_uri(uri), object="", id=b"").text


def load_signer_of(uri: str, pin: str) -> Signer:
    """A signing key in a token, by its URI.

    Raises:
        TokenError: it cannot be found or used.
    """
    return load_token_key(parse_token_uri(uri), pin)


def make_signer(uri: str, pin: str, algorithm: Algorithm) -> Signer:
    """Make a signing key in a token.

    Args:
        uri: with the new key's label.
        pin: of the token's user.
        algorithm: Ed25519 or ES256.

    Raises:
        TokenError: ``token_key_exists``, ``token_cannot``, or the token cannot be opened.
    """
    return make_token_key(parse_token_uri(uri), pin, algorithm)


def _any_uri(text: str) -> TokenUri:
    path = text.partition("?")[0]
    return parse_token_uri(
        text, key=any(p.startswith(("object=", "id=")) for p in path.removeprefix(SCHEME).split(";"))
    )


def open_token_keystore(path: Path, pin: str) -> TokenKeystore:
    """Open the keystore of a token file.

    Args:
        path: of the token file.
        pin: of the token's user; empty: from the file that the URI names, or the environment.

    Raises:
        NotFoundError: ``no_key_file``.
        MalformedError: no token file.
        TokenError: the token cannot be opened.
    """
    return TokenKeystore(path, read_token_file(path), pin)
