"""One log-in to each token for a whole process, opened anew after a loss or a fork; a wrong PIN is tried once.

A PKCS#11 library knows one log-in for a process, and is initialised without locking of its own: so the tokens of a
process stand in one place, and one call runs at a time. A process that was forked off must initialise the library
again (PKCS#11 3.0 §2.5.2), whose handles then mean nothing.

Tokens lock themselves after some wrong PINs. A PIN that was refused is not offered again by this process; and the
last try before the lock is left to a person with the token's own tools, so that a service which restarts for ever
cannot lock its token.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import pkcs11
from pkcs11 import exceptions

from countermark_tokens.errors import TokenError
from countermark_tokens.uri import TokenUri

T = TypeVar("T")

#: What another session would answer alike: never a reason to open one.
_DEFINITE: Final = (
    exceptions.ArgumentsBad,
    exceptions.AttributeReadOnly,
    exceptions.AttributeSensitive,
    exceptions.AttributeTypeInvalid,
    exceptions.AttributeValueInvalid,
    exceptions.DomainParamsInvalid,
    exceptions.EncryptedDataInvalid,
    exceptions.FunctionNotSupported,
    exceptions.KeyTypeInconsistent,
    exceptions.MechanismInvalid,
    exceptions.MechanismParamInvalid,
    exceptions.MultipleObjectsReturned,
    exceptions.NoSuchKey,
    exceptions.TemplateIncomplete,
    exceptions.TemplateInconsistent,
    exceptions.TokenWriteProtected,
)


class _Process:
    """What this process knows of libraries and tokens."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.tokens: dict[tuple[str, str, str], Token] = {}
        #: Libraries that were initialised by the process that this one was forked from.
        self.inherited: set[str] = set()
        self.loaded: set[str] = set()
        #: PINs that were refused, with library, label and serial number of the token.
        self.refused: set[tuple[str, str, str, str]] = set()

    def before_fork(self) -> None:
        """Wait until no thread is inside a library: what it holds there would be held for ever in the child."""
        self.lock.acquire()

    def after_fork_here(self) -> None:
        """In the parent."""
        self.lock.release()

    def after_fork(self) -> None:
        """In the child: no session is this process's own."""
        self.lock = threading.RLock()
        self.inherited |= self.loaded
        for token in self.tokens.values():
            token.forget()


_process: Final = _Process()
os.register_at_fork(
    before=_process.before_fork,
    after_in_parent=_process.after_fork_here,
    after_in_child=_process.after_fork,
)


def _load(module: str) -> Any:
    try:
        library = pkcs11.lib(module)
    except (exceptions.PKCS11Error, RuntimeError, OSError) as error:
        raise TokenError(
            "no_token_module",
            f"the token's library {module} cannot be loaded ({type(error).__name__}): check module-path",
        ) from None
    _process.loaded.add(module)
    if module in _process.inherited:
        _restart(library, module)
        _process.inherited.discard(module)
    return library


def _restart(library: Any, module: str) -> None:
    """Initialise a library again: after a fork, or to have it look for its tokens anew."""
    for token in _process.tokens.values():
        if str(token.uri.module) == module:
            token.forget()
    # One that notices the fork by itself is not initialised here.
    with contextlib.suppress(exceptions.PKCS11Error):
        library.finalize()
    library.initialize()


class Token:
    """A token that this process has logged in to. Use `open_token`; safe to use from several threads."""

    def __init__(self, uri: TokenUri, pin: str) -> None:
        self.uri = uri
        self._pin = pin
        #: Of the token as found; empty until then.
        self._serial = b""
        self._session: pkcs11.Session | None = None
        self._attempt = str(uri.module), uri.token, uri.serial, pin

    def __repr__(self) -> str:
        """Its name; never the PIN."""
        return f"Token({self.uri})"

    @property
    def refused(self) -> bool:
        """Whether it has refused the PIN."""
        return self._attempt in _process.refused

    def has_pin(self, pin: str) -> bool:
        """Whether this is the PIN by which it is open."""
        return hmac.compare_digest(self._pin.encode(), pin.encode())

    def forget(self) -> None:
        """Take the session as lost; the next use opens another one."""
        self._session = None

    def use(self, action: Callable[[pkcs11.Session], T], *, writes: bool = False) -> T:
        """Do something in a session; once more in a new one if that is lost, and once more by a restarted library.

        Args:
            action: must not leave anything half done: it may run again.
            writes: whether it makes or destroys objects.

        Raises:
            TokenError: the token cannot be opened, see `open_token`; ``token_unavailable``.
            pkcs11.PKCS11Error: what would be the same in any session.
        """
        last: Exception | None = None
        with _process.lock:
            for restart in (False, False, True):
                if restart:
                    self._restart()
                try:
                    return self._act(action, writes=writes)
                except _DEFINITE:
                    raise
                except exceptions.PKCS11Error as error:
                    last = error
                    self._drop()
                except TokenError as error:
                    # A key is missing too where its token was taken away and the library has not noticed.
                    if error.code not in {"no_token", "no_token_key"}:
                        raise
                    last = error
                    self._drop()
        if isinstance(last, TokenError):
            raise last
        raise TokenError(
            "token_unavailable",
            f"the {self.uri} does not answer ({type(last).__name__}): is it plugged in? What was not signed can "
            "be signed when it is back",
        )

    def _act(self, action: Callable[[pkcs11.Session], T], *, writes: bool) -> T:
        session = self._live()
        if not writes:
            return action(session)
        # The log-in is the process's: the further session shares it.
        with self._find().open(rw=True) as own:
            return action(own)

    def _restart(self) -> None:
        module = str(self.uri.module)
        try:
            _restart(_load(module), module)
        except exceptions.PKCS11Error as error:
            raise TokenError(
                "token_unavailable",
                f"the token's library {module} does not start ({type(error).__name__})",
            ) from None

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(exceptions.PKCS11Error):  # it was lost
                session.close()

    def _live(self) -> pkcs11.Session:
        if self._session is None:
            self._session = self._log_in()
        return self._session

    def _find(self) -> pkcs11.Token:
        known: dict[str, Any] = {"token_label": self.uri.token} if self.uri.token else {}
        if self.uri.serial:
            known["token_serial"] = self.uri.serial.encode()
        try:
            found: pkcs11.Token = _load(str(self.uri.module)).get_token(**known)
        except exceptions.MultipleTokensReturned:
            raise TokenError(
                "two_tokens", f"more than one token is named {self.uri.token}: give serial=… in the URI"
            ) from None
        except exceptions.PKCS11Error as error:
            raise TokenError(
                "no_token",
                f"there is no {TokenUri(self.uri.module, self.uri.token, self.uri.serial)} "
                f"({type(error).__name__}): plug it in, or correct token and serial in the URI",
            ) from None
        return found

    def _log_in(self) -> pkcs11.Session:
        token = self._find()
        if self.refused:
            raise _refused(self.uri)
        flags = token.flags
        if flags & pkcs11.TokenFlag.USER_PIN_LOCKED:
            raise _locked(self.uri)
        if flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY:
            raise TokenError(
                "pin_last_try",
                f"one more wrong PIN would lock the {self.uri}: log in with its own tools first, then again here",
            )
        self._serial = token.serial
        # Without a PIN first: that this succeeds tells a lost token from a log-in that fails, which is not repeated.
        with token.open():
            try:
                session: pkcs11.Session = token.open(user_pin=self._pin)
            except exceptions.UserAlreadyLoggedIn:
                self._check_other_log_in()
                session = token.open()
            except exceptions.PKCS11Error as error:
                raise self._not_logged_in(error) from None
        return session

    def _check_other_log_in(self) -> None:
        """A log-in holds for the whole process: who comes second, by another name, must know the PIN as well."""
        module = self.uri.module
        for other in _process.tokens.values():
            same = other.uri.module == module and other._serial == self._serial  # noqa: SLF001  of this class
            if same and not other.has_pin(self._pin):
                raise _refused(self.uri)

    def _not_logged_in(self, error: exceptions.PKCS11Error) -> TokenError:
        if isinstance(error, exceptions.PinIncorrect | exceptions.PinInvalid | exceptions.PinLenRange):
            _process.refused.add(self._attempt)
            return _refused(self.uri)
        if isinstance(error, exceptions.PinLocked | exceptions.PinExpired):
            _process.refused.add(self._attempt)
            return _locked(self.uri)
        if isinstance(error, exceptions.UserPinNotInitialized):
            return TokenError(
                "pin_not_set", f"the {self.uri} has no user PIN yet: set one with the token's own tools"
            )
        return TokenError(
            "token_unavailable", f"the {self.uri} takes no log-in ({type(error).__name__}): look at it first"
        )


def _refused(uri: TokenUri) -> TokenError:
    return TokenError(
        "pin_refused",
        f"the {uri} refuses the PIN: correct it where it comes from. It was tried once and is not tried again, "
        "since tokens lock themselves",
    )


def _locked(uri: TokenUri) -> TokenError:
    return TokenError(
        "pin_locked", f"the PIN of the {uri} is locked or expired: unblock it with the token's own tools"
    )


def open_token(uri: TokenUri, pin: str) -> Token:
    """Log in to a token; to the same one again: as it is logged in.

    Args:
        uri: of the token, or of a key in it.
        pin: of its user.

    Raises:
        TokenError: ``no_token_module``, ``no_token``, ``two_tokens``, ``pin_refused``, ``pin_locked``,
            ``pin_last_try``, ``pin_not_set`` or ``token_unavailable``.
    """
    name = str(uri.module), uri.token, uri.serial
    with _process.lock:
        token = _process.tokens.get(name)
        if token is not None and not token.refused:
            if not token.has_pin(pin):
                # As in `Token._check_other_log_in`.
                raise _refused(token.uri)
        else:
            token = Token(TokenUri(uri.module, uri.token, uri.serial), pin)
        token.use(lambda _session: None)
        _process.tokens[name] = token
        return token
