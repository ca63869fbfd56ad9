"""What commands share: where the profile is, its passphrase, a client over it, times and hashes."""

from __future__ import annotations

import contextlib
import functools
import os
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

import countermark_client
from countermark_client._keystore import MemoryKeystore, load_key_file, token_library, write_private
from countermark_client._profile_files import token_of
from countermark_client._session import Clock, system_clock
from countermark_client._settings import Settings
from countermark_client.cli.output import say, utc
from countermark_protocol.encoding import malformed, parse_digest, parse_object
from countermark_protocol.errors import NotFoundError
from countermark_protocol.identifiers import KeyId
from countermark_protocol.keys import PublicKey, Signer, parse_pair_json

if TYPE_CHECKING:
    import httpx

    # Here and in the commands: loaded by those that open a client.
    from countermark_client import Client, Profile, Renewed
    from countermark_protocol.resets import Reset

HOME_VARIABLE: Final = "COUNTERMARK_HOME"
PASSPHRASE_VARIABLE: Final = "COUNTERMARK_PASSPHRASE"  # noqa: S105  the variable's name
CA_VARIABLE: Final = "COUNTERMARK_CA"
CLIENT_CERT_VARIABLE: Final = "COUNTERMARK_CLIENT_CERT"
#: Opens the key in that file, where it is encrypted.
CLIENT_CERT_PASSPHRASE_VARIABLE: Final = "COUNTERMARK_CLIENT_CERT_PASSPHRASE"  # noqa: S105  a name
#: On a directory older than so many minutes, 1 to 1440, nothing is sent; 15 if it is not set.
MAX_AGE_VARIABLE: Final = "COUNTERMARK_MAX_AGE_MINUTES"
#: This post has no line; how many hours, 1 to 24, it sends on what a bundle brought.
CUT_OFF_VARIABLE: Final = "COUNTERMARK_CUT_OFF"
HOUR_MS: Final = 3_600_000
_MOST_MINUTES: Final = 1440
_LEAST_PREFIX: Final = 8
#: Seconds of waiting for a broker from which on people are told.
_WORTH_TELLING: Final = 1.0

TOKEN_SCHEME: Final = "pkcs11:"  # noqa: S105  a scheme's name


class KeyPlace(click.ParamType[Path | str]):
    """A key file, or the URI of a key in a token."""

    name = "key"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        """The path of a file that is there, or the URI as it is."""
        if isinstance(value, str) and value.startswith(TOKEN_SCHEME):
            return value
        path: Path = FILE.convert(value, param, ctx)
        return path


FILE: Any = click.Path(path_type=Path, exists=True, dir_okay=False)
NEW_FILE: Any = click.Path(path_type=Path, dir_okay=False)
KEY: Any = KeyPlace()
FOLDER: Any = click.Path(path_type=Path, file_okay=False)

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Environment:
    """What a test puts in the place of network and clock: the context object of the command line.

    Attributes:
        transport: of httpx; None for the network.
        clock: ms since 1970; None for the machine's.
        sleep: waits a number of seconds; None for the real one.
        settings: of the client.
    """

    transport: httpx.BaseTransport | None = None
    clock: Clock | None = None
    sleep: Callable[[float], None] | None = None
    settings: Settings | None = None


def environment() -> Environment:
    """The environment of the running command."""
    context = click.get_current_context(silent=True)
    found = context.find_object(Environment) if context is not None else None
    return found or Environment()


def now() -> int:
    """The time, ms since 1970."""
    return (environment().clock or system_clock)()


def pause(seconds: float) -> None:
    """Wait."""
    (environment().sleep or time.sleep)(seconds)


# --- passphrases ---------------------------------------------------------------------------------------


def passphrase_for(
    what: str, file: Path | None, *, new: bool = False, variable: str = PASSPHRASE_VARIABLE
) -> str:
    """The passphrase of a key file: from a file, the environment, or a prompt; never an argument.

    Args:
        what: it opens, for the prompt.
        file: that holds it, or None.
        new: whether it is being chosen: then a prompt asks twice.
        variable: of the environment, that may hold it.

    Raises:
        MalformedError: ``no_passphrase``: it is empty.
        click.UsageError: there is none, and nobody to ask.
    """
    if file is not None:
        text = file.read_text(encoding="utf-8").rstrip("\r\n")
    elif variable in os.environ:
        text = os.environ[variable]
    else:
        try:
            text = click.prompt(
                f"Passphrase {'to choose for' if new else 'of'} {what}",
                hide_input=True,
                confirmation_prompt=new,
                err=True,
            )
        except click.Abort:
            raise click.UsageError(
                f"a passphrase is needed: type it, set {variable}, or give its file"
            ) from None
    if not text:
        malformed("no_passphrase", "the passphrase is empty")
    return text


passphrase_option = click.option(
    "--passphrase-file",
    type=FILE,
    metavar="FILE",
    help=f"Holds the passphrase, or the PIN of a token. Else {PASSPHRASE_VARIABLE}, else you are asked.",
)


NO_PAIRS: Final = "--second pairs keys in key files: a token has no ML-DSA-65"

token_option = click.option(
    "--token",
    metavar="URI",
    help="pkcs11: URI of a token: signing keys are made in it, and the sealing key is wrapped by a key of it.",
)


def pin_for(token: str, file: Path | None) -> str:
    """The PIN of a token: from a file, from what its URI names, from the environment, or by a prompt, once.

    Args:
        token: URI of the token or of a key in it.
        file: that holds it, or None.

    Raises:
        MalformedError: ``no_passphrase``: it is empty.
        click.UsageError: there is none, and nobody to ask.
        CountermarkError: the URI is none, or the file that it names cannot be read.
    """
    tokens = token_library()
    pin: str | None = (
        file.read_text(encoding="utf-8").rstrip("\r\n") if file is not None else tokens.find_pin_of(token)
    )
    if pin is None:
        try:
            pin = click.prompt(f"PIN of {tokens.name_of(token)}", hide_input=True, err=True)
        except click.Abort:
            raise click.UsageError(
                f"a PIN is needed: type it, set {tokens.PIN_VARIABLE}, or give pin-source=file:… in the URI"
            ) from None
    if not pin:
        malformed("no_passphrase", "the PIN is empty")
    return pin


# --- the profile ---------------------------------------------------------------------------------------


def client_settings(base: Settings | None) -> Settings | None:
    """Settings of a client: those given, and those of a post with a bad line, or none, where the environment says so.

    Raises:
        click.UsageError: a variable holds no number of its range.
    """
    age = os.environ.get(MAX_AGE_VARIABLE)
    if age is not None:
        if not age.isascii() or not age.isdecimal() or not 1 <= int(age[:5]) <= _MOST_MINUTES:
            raise click.UsageError(
                f"{MAX_AGE_VARIABLE}: expected a number of minutes from 1 to {_MOST_MINUTES}"
            )
        base = replace(base or Settings(), max_checkpoint_age=int(age) * 60_000)
    text = os.environ.get(CUT_OFF_VARIABLE)
    if text is None:
        return base
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:3]) <= 24:
        raise click.UsageError(f"{CUT_OFF_VARIABLE}: expected a number of hours from 1 to 24")
    return replace(base or Settings(), cut_off=True, max_checkpoint_age=int(text) * HOUR_MS)


def _tell_of_alarm(text: str) -> None:
    say(f"ALARM: {text}; `countermark alarms` lists it until it is acknowledged")


def _tell_of_reset(reset: Reset) -> None:
    from countermark_client.cli.alarming import reset_text  # noqa: PLC0415  seldom needed

    say(f"note: {reset_text(reset)}")


def _tell_of_renewal(renewed: Renewed) -> None:
    made = " and ".join(
        f"{what} key {key.key_id.hex()[:16]}"
        for what, key in (("instance", renewed.instance), ("sealing", renewed.sealing))
        if key is not None
    )
    say(f"renewed: {made}, until {utc(renewed.until)} (entry {renewed.index})")


def _tell_of_waiting(seconds: float, why: str) -> None:
    if seconds >= _WORTH_TELLING:
        say(f"waiting {seconds:.0f} s: {why}")


@dataclass
class Access:
    """Where the profile is, and how to open it.

    Attributes:
        home: its folder.
        passphrase_file: that holds its passphrase, or None.
        ca: certificate of the authority to trust for TLS, or None for the system's.
        client_cert: PEM file with certificate and key of this client, for a front that demands one; or None.
    """

    home: Path
    passphrase_file: Path | None
    ca: Path | None
    client_cert: Path | None = None
    _given: str | None = field(default=None, repr=False)

    @property
    def verify(self) -> bool | str | ssl.SSLContext:
        """What a client takes for TLS."""
        authorities = str(self.ca) if self.ca is not None else None
        if self.client_cert is None:
            return authorities or True
        from countermark_client._http import client_tls  # noqa: PLC0415  few need it

        passphrase = os.environ.get(CLIENT_CERT_PASSPHRASE_VARIABLE)
        return client_tls(str(self.client_cert), passphrase=passphrase, authorities=authorities)

    def passphrase(self, *, new: bool = False) -> str:
        """The passphrase of the profile, or the PIN of its token; asked for once."""
        if self._given is None and (token := token_of(self.home)) is not None:
            self._given = pin_for(token, self.passphrase_file)
        if self._given is None:
            self._given = passphrase_for(f"the profile {self.home}", self.passphrase_file, new=new)
        return self._given

    @contextlib.contextmanager
    def profile(self) -> Iterator[Profile]:
        """The opened profile."""
        if not (self.home / "profile.json").exists():
            raise NotFoundError("no_profile", f"there is no profile in {self.home}")
        profile = countermark_client.Profile.open(self.home, self.passphrase())
        try:
            yield profile
        finally:
            profile.close()

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """A client over the profile; what it waits for is told."""
        env = environment()
        with (
            self.profile() as profile,
            countermark_client.Client(
                profile,
                transport=env.transport,
                settings=client_settings(env.settings),
                clock=env.clock,
                sleep=env.sleep,
                verify=self.verify,
            ) as client,
        ):
            client.watch.waiting = _tell_of_waiting
            client.watch.alarmed = _tell_of_alarm
            client.watch.reset = _tell_of_reset
            client.watch.renewed = _tell_of_renewal
            yield client


def with_home(function: F) -> F:
    """Give a command ``--home``, ``--passphrase-file``, ``--ca`` and ``--client-cert``, as one argument `access`."""

    @click.option(
        "--home",
        type=FOLDER,
        envvar=HOME_VARIABLE,
        default=lambda: str(Path.home() / ".countermark"),
        show_default="~/.countermark",
        help=f"Folder of the profile. [env: {HOME_VARIABLE}]",
    )
    @passphrase_option
    @click.option(
        "--ca",
        type=FILE,
        envvar=CA_VARIABLE,
        metavar="FILE",
        help=f"Certificate of the authority that signs the broker's. [env: {CA_VARIABLE}]",
    )
    @click.option(
        "--client-cert",
        type=FILE,
        envvar=CLIENT_CERT_VARIABLE,
        metavar="FILE",
        help="Certificate and key (PEM) to show a front that demands one (mutual TLS). "
        f"[env: {CLIENT_CERT_VARIABLE}]",
    )
    @functools.wraps(function)
    def wrapped(
        *args: Any,
        home: Path | str,
        passphrase_file: Path | None,
        ca: Path | None,
        client_cert: Path | None,
        **kwargs: Any,
    ) -> Any:
        return function(*args, access=Access(Path(home), passphrase_file, ca, client_cert), **kwargs)

    return wrapped  # type: ignore[return-value]


# --- files ---------------------------------------------------------------------------------------------


def load_public_key(path: Path) -> PublicKey:
    """Read a ``.pub`` file: ``{"alg": …, "pub": …}``, of a pair with ``"second"`` beside.

    Raises:
        MalformedError: not one.
        UncheckableError: an algorithm reserved for later.
    """
    return parse_pair_json(parse_object(path.read_bytes(), path.name), path.name)


def load_private(path: Path, passphrase_file: Path | None) -> MemoryKeystore:
    """Open a key file."""
    return load_key_file(path, passphrase_for(f"the key file {path}", passphrase_file))


def load_token_signer(uri: str, pin_file: Path | None) -> Signer:
    """A signing key in a token."""
    signer: Signer = token_library().load_signer_of(uri, pin_for(uri, pin_file))
    return signer


def write_new(path: Path, data: bytes, *, force: bool = False) -> None:
    """Write a file that is not there yet.

    Raises:
        click.UsageError: it is, and `force` was not given.
    """
    if path.exists() and not force:
        raise click.UsageError(f"{path} exists: choose another name")
    write_private(path, data)


def write_public(path: Path, data: bytes) -> None:
    """Write a file that anyone may read."""
    path.write_bytes(data)


# --- arguments -----------------------------------------------------------------------------------------


def parse_time(text: str, what: str) -> datetime:
    """A date or time as ISO 8601; UTC where no zone is given.

    Raises:
        click.BadParameter: not one.
    """
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{what}: expected a date or time such as 2026-12-01 or 2026-12-01T09:00:00Z"
        ) from None
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


def key_id_of(text: str) -> KeyId:
    """A key id as 64 hexadecimal digits, or a ``.pub`` file's.

    Raises:
        MalformedError: neither.
    """
    path = Path(text)
    return load_public_key(path).key_id if path.is_file() else KeyId(parse_digest(text, "key id"))


def message_of(client: Client, text: str) -> bytes:
    """The message that a user names: its hash, or at least eight digits that only one begins with.

    Raises:
        MalformedError: not hexadecimal, or too short.
        NotFoundError: ``unknown_message``, ``ambiguous_hash``.
    """
    if len(text) == 64:
        return parse_digest(text, "HASH")
    if len(text) < _LEAST_PREFIX or not all(c in "0123456789abcdef" for c in text):
        malformed(
            "not_hex", f"HASH must be 64 lower-case hexadecimal digits, or the first {_LEAST_PREFIX} or more"
        )
    found = {m.payload for m in client.profile.store.messages() if m.payload.hex().startswith(text)}
    if not found:
        raise NotFoundError("unknown_message", f"this profile holds no message that begins with {text}")
    if len(found) > 1:
        raise NotFoundError(
            "ambiguous_hash", f"{len(found)} messages begin with {text}: give more of its digits"
        )
    return found.pop()
