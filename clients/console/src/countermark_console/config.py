"""Settings: built once, frozen, passed down. Every limit has its unit, default and reason here.

Order of precedence: what the command line says, the environment (``COUNTERMARK_CONSOLE_…``), ``console.toml``
in the home directory, the defaults. No secret is a setting: passphrases are typed, the OpenID Connect
client's secret is a file.

Source: docs/operations/console.md §2.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from countermark_console.errors import SettingsError

PREFIX: Final = "COUNTERMARK_CONSOLE_"
HOME_VARIABLE: Final = f"{PREFIX}HOME"
CONFIG_FILE: Final = "console.toml"
DEFAULT_HOME: Final = Path("~/.countermark-console")


class Settings(BaseModel):
    """What a console runs with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(description="directory of this console: database, profile with the keys, console.toml")
    host: str = Field(default="127.0.0.1", description="address to listen on; loopback unless told otherwise")
    port: int = Field(default=8440, ge=0, le=65535, description="port to listen on; 0: the system chooses")
    public_url: str = Field(
        default="",
        description="https:// origin at which browsers reach the console through a TLS proxy; empty: loopback only",
    )
    database_url: str = Field(
        default="", description="sqlite:///… or postgresql+psycopg://…; empty: console.sqlite3 in home"
    )
    profile: Path = Field(
        default=Path("profile"), description="profile of countermark_client, relative to home"
    )
    broker_ca: Path | None = Field(
        default=None, description="certificate of the authority that signed the broker's; empty: the system's"
    )
    session_idle_minutes: int = Field(
        default=30, ge=1, le=720, description="a session ends after so long without an action of its person"
    )
    session_hours: int = Field(default=10, ge=1, le=24, description="a session ends so long after sign-in")
    lock_minutes: int = Field(
        default=60,
        ge=0,
        le=10_080,
        description="keys are locked after so long without anybody's action; 0: only by button, for a duty desk",
    )
    body_bytes: int = Field(
        default=1 << 20, ge=1 << 16, le=1 << 26, description="largest body of a form, bytes"
    )
    upload_bytes: int = Field(
        default=64 << 20, ge=1 << 20, le=2 << 30, description="largest body of a form with files, bytes"
    )
    release: Literal["always", "demanded"] = Field(
        default="always",
        description="who sends: another person than the author always, or only where policy or content demand it",
    )
    release_profile: Path | None = Field(
        default=None,
        description="profile of the endpoint's second holder, relative to home, for what two keys must sign; "
        "its passphrase is typed at each release",
    )
    mail_host: str = Field(default="", description="mail relay for the duty officer; empty: no mails")
    mail_port: int = Field(default=587, ge=1, le=65535, description="its port")
    mail_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="how the relay is reached; none only for one on this machine"
    )
    mail_user: str = Field(default="", description="user at the relay; empty where it asks for none")
    mail_password_file: Path | None = Field(default=None, description="file with that user's password")
    mail_from: str = Field(default="", description="address that mails come from")
    duty_mail: str = Field(default="", description="the duty officer's address")
    duty_zone: str = Field(default="UTC", description="time zone of the watched hours (IANA)")
    duty_watched: str = Field(
        default="",
        description="hours in which somebody watches and no mail goes, e.g. 1-5 08:00-17:30 (ISO weekdays); or none",
    )
    oidc_issuer: str = Field(default="", description="issuer URL of the OpenID Connect provider; empty: none")
    oidc_client_id: str = Field(default="", description="this console's client id there")
    oidc_client_secret_file: Path | None = Field(
        default=None, description="file with the client's secret; none: a public client, by PKCE alone"
    )
    oidc_claim: str = Field(
        default="sub", description="claim that names a person's account: sub, email or preferred_username"
    )
    oidc_name: str = Field(default="", description="what the sign-in button calls the provider")

    @property
    def database(self) -> str:
        """URL of the database."""
        return self.database_url or f"sqlite:///{self.home / 'console.sqlite3'}"

    @property
    def profile_folder(self) -> Path:
        """Where the agency's keys are."""
        return self.home / self.profile

    @property
    def secure(self) -> bool:
        """Whether browsers come over TLS."""
        return self.public_url.startswith("https://")

    def origins(self, port: int) -> frozenset[str]:
        """Origins that pages of this console have.

        Args:
            port: that it listens on.
        """
        if self.public_url:
            return frozenset({self.public_url.rstrip("/")})
        hosts = {"127.0.0.1", "localhost", "[::1]"}
        return frozenset(f"http://{host}:{port}" for host in hosts)


def _checked(settings: Settings) -> Settings:
    if not _is_loopback(settings.host) and not settings.secure:
        raise SettingsError(
            "not_loopback",
            f"expected a loopback address to listen on, got {settings.host}: over a network the console is reached "
            "through a proxy that speaks TLS; name its origin with public_url = 'https://…'",
        )
    parts = urlsplit(settings.public_url)
    if settings.public_url and (parts.path.strip("/") or parts.query or not parts.hostname):
        raise SettingsError(
            "public_url",
            f"expected an origin such as https://console.example.org, got '{settings.public_url}'",
        )
    if settings.oidc_issuer and not settings.oidc_client_id:
        raise SettingsError("oidc_client_id", "oidc_issuer is set: set oidc_client_id too")
    if settings.oidc_claim not in {"sub", "email", "preferred_username"}:
        raise SettingsError(
            "oidc_claim", f"expected sub, email or preferred_username, got '{settings.oidc_claim}'"
        )
    return settings


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings(
    home: Path | None = None, environment: Mapping[str, str] | None = None, **given: Any
) -> Settings:
    """Read the settings.

    Args:
        home: directory of the console; else ``COUNTERMARK_CONSOLE_HOME``, else ``~/.countermark-console``.
        environment: the process's own if None.
        given: settings from the command line; None means not said.

    Raises:
        SettingsError: a setting that is unknown, malformed or unsafe.
    """
    variables = os.environ if environment is None else environment
    place = (home or Path(variables.get(HOME_VARIABLE, DEFAULT_HOME))).expanduser().absolute()
    values: dict[str, Any] = {"home": place}
    path = place / CONFIG_FILE
    if path.exists():
        try:
            values |= tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError("not_toml", f"{path}: {error}") from None
    for name, value in variables.items():
        if name.startswith(PREFIX) and name != HOME_VARIABLE:
            field = name.removeprefix(PREFIX).lower()
            if field not in Settings.model_fields:
                raise SettingsError("unknown_setting", f"there is no setting {name}: is it misspelt?")
            values[field] = value
    values |= {name: value for name, value in given.items() if value is not None}
    try:
        return _checked(Settings.model_validate(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError("bad_setting", f"setting '{where}': {first['msg']}") from None
