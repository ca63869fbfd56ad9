"""Settings: built once, frozen, passed down. Every limit has its unit, default and reason here.

Order of precedence: environment (``COUNTERMARK_BROKER_…``), then ``broker.toml`` in the home directory,
then the defaults. Secrets are never settings: they are files, or the one variable for the passphrase.

Source: docs/operations/running-a-broker.md §3.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from countermark_broker.errors import ConfigurationError
from countermark_broker.logs import LogFormat
from countermark_protocol.stamp_history import AUTHORITY_NAME

PREFIX: Final = "COUNTERMARK_BROKER_"
#: Read by other parts than `Settings`, each in one place.
PASSPHRASE_VARIABLE: Final = f"{PREFIX}PASSPHRASE"
HOME_VARIABLE: Final = f"{PREFIX}HOME"
PIN_VARIABLE: Final = f"{PREFIX}PIN"
TEST_HOOKS_VARIABLE: Final = f"{PREFIX}TEST_HOOKS"
TEST_KILL_VARIABLE: Final = f"{PREFIX}TEST_KILL_AT"
TEST_FAIL_VARIABLE: Final = f"{PREFIX}TEST_FAIL_AT"
_OTHER_VARIABLES: Final = frozenset(
    {
        PASSPHRASE_VARIABLE,
        PIN_VARIABLE,
        HOME_VARIABLE,
        TEST_HOOKS_VARIABLE,
        TEST_KILL_VARIABLE,
        TEST_FAIL_VARIABLE,
    }
)
CONFIG_FILE: Final = "broker.toml"
_S3_PLACE: Final = re.compile(
    r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[A-Za-z0-9][A-Za-z0-9._/-]{0,200})?\Z"
)
_STAMPING_URL: Final = re.compile(r"https?://[^/@\s#?\\]+(?:/[^@\s#\\]*)?\Z")


class Settings(BaseSettings):
    """What a broker node runs with."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Field(description="directory that holds broker.toml, keys and, by default, the stores")
    origin: str = Field(description="name of the log; first line of its checkpoints")
    authorities: tuple[str, ...] = Field(
        min_length=1,
        description="public host names (with port unless 443 or 80) that signed requests must name",
    )
    database_url: str = Field(
        default="", description="sqlite:///… or postgresql+psycopg://…; empty: broker.sqlite3 in home"
    )
    checkpoint_store: str = Field(
        default="checkpoint",
        description="directory of the checkpoint store, relative to home, outside the database's backup; or "
        "postgresql+psycopg://… on another server than the database's, for nodes on several machines",
    )
    key_file: Path = Field(default=Path("keys/broker.keys"), description="log and node key, encrypted")
    passphrase_file: Path | None = Field(
        default=None, description=f"file with the passphrase of the key file; else {PASSPHRASE_VARIABLE}"
    )
    log_key: str = Field(
        default="", description="pkcs11: URI (RFC 7512) of the log key in a token; empty: in the key file"
    )
    node_key: str = Field(
        default="", description="pkcs11: URI of this node's key in a token; empty: in the key file"
    )
    read_only: bool = Field(
        default=False, description="serve what is logged and append nothing: a second operator's node"
    )
    log_format: LogFormat = Field(
        default="text", description="'text' for people, 'json' for one JSON object a line"
    )
    migrations: Path | None = Field(
        default=None, description="Alembic directory; default: that of the checkout"
    )

    host: str = Field(default="127.0.0.1", description="address to listen on; a balancer stands before it")
    port: int = Field(default=8470, ge=0, le=65535, description="port to listen on; 0 lets the system choose")

    max_group: int = Field(
        default=512,
        ge=1,
        le=4096,
        description="statements a commit; beyond 512 latency grows, speed does not",
    )
    max_group_recipients: int = Field(
        default=4096,
        ge=1,
        description="recipients and receipts' items a commit: bounds the time one group holds the lock",
    )
    max_waiting: int = Field(
        default=4096, ge=1, description="statements waiting for a commit; bounds memory, then 429"
    )
    verify_threads: int = Field(
        default=0, ge=0, le=256, description="threads that verify signatures; 0: one a processor"
    )
    max_verifying: int = Field(
        default=1024, ge=1, description="signed things waiting for a verifying thread; then 429"
    )
    max_verifying_each: int = Field(
        default=256, ge=16, description="of which one network address may have so many; then 429"
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="networks of balancers whose X-Forwarded-For is believed, such as 10.0.0.0/8; no others are",
    )
    max_connections: int = Field(
        default=12_000,
        ge=8,
        description="connections at once, more than long-polls; of them one network address gets half at most",
    )
    max_connections_each: int = Field(
        default=2_000,
        ge=1,
        description="connections of one network address (IPv6: /64), which may be a whole agency's; not of proxies",
    )
    max_requests_each: int = Field(
        default=256,
        ge=1,
        description="requests of one network address under way, waiting long-polls not counted; then 429",
    )
    header_timeout_s: int = Field(
        default=20, ge=1, description="s within which a request's head must have come, from its first byte on"
    )
    idle_timeout_s: int = Field(
        default=75, ge=1, description="s that an idle connection stays open; longer than a long-poll"
    )
    min_rate: int = Field(
        default=1_000,
        ge=0,
        description="bytes/s at which bodies and answers must move, after an allowance of 30 s; 0: any",
    )
    max_listeners: int = Field(
        default=10_000, ge=1, description="long-polls waiting at once; each holds a connection; then 429"
    )
    max_listeners_each: int = Field(
        default=1_000, ge=1, description="long-polls of one endpoint waiting at once: it must not take all"
    )
    max_bodies_mib: int = Field(
        default=512,
        ge=16,
        description="MiB of request bodies in memory at once, of which one network address gets half; then 429",
    )
    max_bodies_each_mib: int = Field(
        default=128, ge=8, description="MiB of request bodies of one network address; then 429"
    )
    body_timeout_s: int = Field(
        default=600,
        ge=1,
        description="s within which a request's body must have come; 600 lets 7 MB through at 100 kbit/s",
    )
    quota_messages: int = Field(
        default=60_000, ge=0, description="messages a minute of one endpoint, on this node; 0: any number"
    )
    quota_recipients: int = Field(
        default=240_000, ge=0, description="recipients of messages a minute of one endpoint; 0: any number"
    )
    quota_mib: int = Field(
        default=2_048, ge=0, description="MiB of submissions and receipts a minute of one endpoint; 0: any"
    )
    quota_receipts: int = Field(
        default=240_000, ge=0, description="items of receipts a minute of one endpoint; 0: any number"
    )
    quota_uploads_mib: int = Field(
        default=8_192, ge=0, description="MiB of pieces a minute that one endpoint uploads; 0: any"
    )
    quota_directory: int = Field(
        default=60,
        ge=0,
        description="directory statements a minute of one writer, revocations apart; they go first; 0: any number",
    )
    invitation_lookups: int = Field(
        default=60, ge=0, description="codes of invitations a minute of one network address; 0: any number"
    )
    clock_difference_ms: int = Field(
        default=5_000,
        ge=100,
        # Not above: docs/spec/log.md §6.7.
        le=5_000,
        description="ms between node and database clock beyond which it does not append",
    )
    request_age_s: int = Field(default=60, ge=1, description="s after which a signed request is too old")
    request_skew_s: int = Field(default=60, ge=0, description="s that a signer's clock may be ahead")
    store_poll_ms: int = Field(
        default=1_000, ge=10, description="ms between looks at what other nodes have published"
    )
    heartbeat_ms: int = Field(default=10_000, ge=10, description="ms between heartbeats in the database")
    heartbeat_gap_ms: int = Field(
        default=60_000, ge=20, description="ms without heartbeat after which the broker was away"
    )
    undelivered_batch: int = Field(
        default=64, ge=1, le=4096, description="undelivered notices made at once; leaves room for others"
    )
    retention_purges: bool = Field(
        default=True, description="whether this node purges messages once their retention_until has passed"
    )
    retention_interval_ms: int = Field(
        default=60_000, ge=10, description="ms between looks for messages whose retention_until has passed"
    )
    retention_batch: int = Field(
        default=64, ge=1, le=4096, description="purges made at once; leaves room for others"
    )
    content_store: Literal["database", "folder", "s3"] = Field(
        default="database",
        description="where new pieces of attachments lie, and contents larger than content_inline_max",
    )
    content_folder: Path | None = Field(
        default=None,
        description="folder of the content store, relative to home; the same one, shared, for all nodes",
    )
    content_s3: str = Field(
        default="",
        description="s3://<bucket>[/<prefix>] of the content store; credentials come by boto3's own ways",
    )
    content_s3_endpoint: str = Field(
        default="", description="URL of the object store, where it is not Amazon's"
    )
    content_s3_region: str = Field(default="", description="its region; empty: as boto3 finds it")
    content_inline_max: int = Field(
        default=65_536,
        ge=0,
        le=4 * 1024 * 1024,
        description="bytes up to which pieces and contents lie in the database, whatever content_store says",
    )
    content_unclaimed_h: int = Field(
        default=24, ge=1, le=720, description="hours after which uploads that no message claims are deleted"
    )
    content_unclaimed_mib: int = Field(
        default=16_384, ge=1, description="MiB of such uploads that one endpoint may have; then 429"
    )
    content_sweep_ms: int = Field(
        default=30_000, ge=10, description="ms between looks for pieces that are to be deleted"
    )
    max_pieces_mib: int = Field(
        default=128, ge=16, description="MiB of pieces in memory at once, coming or going; then 429"
    )
    max_pieces_each_mib: int = Field(
        default=16, ge=8, description="MiB of pieces of one network address; then 429"
    )
    busy_timeout_ms: int = Field(
        default=15_000, ge=100, description="ms to wait for the database's write lock before 503"
    )
    reader_connections: int = Field(
        default=8, ge=1, le=256, description="database connections for reading, each with a thread on SQLite"
    )
    tile_cache: int = Field(default=2_048, ge=16, description="tiles of 8 kB kept in memory for proofs")
    webhooks: bool = Field(
        default=True, description="whether endpoints may register webhooks and this node calls them"
    )
    webhook_allow_http: bool = Field(
        default=False, description="whether webhooks may be plain HTTP: for closed networks and tests"
    )
    webhook_allowed_networks: tuple[IPv4Network | IPv6Network, ...] = Field(
        default=(), description="networks beyond the public ones that webhooks may call, such as 10.20.0.0/16"
    )
    webhook_ca_file: Path | None = Field(
        default=None,
        description="certificates of the authorities of webhooks' hosts, relative to home; else the system's",
    )
    webhook_timeout_s: float = Field(
        default=15, gt=0, le=60, description="s for one call of a webhook in all; receivers only take note"
    )
    webhook_concurrency: int = Field(
        default=64, ge=1, le=4096, description="webhooks that a node calls at once, each with a connection"
    )
    webhook_pause_ms: int = Field(
        default=1_000,
        ge=0,
        description="ms between two calls of a webhook that answers: moves become one look",
    )
    webhook_give_up_h: int = Field(
        default=120, ge=1, description="hours of failure after which a webhook is switched off"
    )
    witness_ms: int = Field(
        default=5_000, ge=50, description="ms between two times at which witnesses are asked to cosign"
    )
    witness_alarm_s: int = Field(
        default=60, ge=1, description="s without a quorum of witnesses, beyond the minute, until the alarm"
    )
    timestamp_authorities: dict[str, str] = Field(
        default_factory=dict,
        max_length=16,
        description="authorities that stamp witnessed checkpoints (RFC 3161), name → URL; two or more, or none",
    )
    timestamp_roots: Path | None = Field(
        default=None,
        description="certificates (PEM) that their stamps must lead to, relative to home; needed with authorities",
    )
    timestamp_interval_s: int = Field(
        default=3_600, ge=1, description="s between two stamps of one authority, while the log grows"
    )
    timestamp_timeout_s: float = Field(
        default=20, gt=0, le=300, description="s for one answer of an authority in all"
    )
    timestamp_alarm_s: int = Field(
        default=7_200, ge=1, description="s that an authority gives no stamps until the alarm"
    )
    mirrors: tuple[str, ...] = Field(
        default=(),
        description="prefixes below which others mirror this log's leaves; `recover` asks them for what is lost",
    )
    stop_grace_s: int = Field(
        default=20, ge=1, description="s that requests may still take once told to stop"
    )

    @field_validator("checkpoint_store")
    @classmethod
    def _store_apart(cls, value: str) -> str:
        # A file of SQLite could be the log's own, and would go into a backup beside it.
        if "://" in value and not value.startswith("postgresql+psycopg://"):
            msg = "expected a directory or a URL beginning postgresql+psycopg://"
            raise ValueError(msg)
        return value

    @field_validator("content_s3")
    @classmethod
    def _s3_place(cls, value: str) -> str:
        if value and not _S3_PLACE.match(value):
            msg = "expected s3://<bucket> or s3://<bucket>/<prefix>"
            raise ValueError(msg)
        return value

    @field_validator("content_s3_endpoint")
    @classmethod
    def _s3_endpoint(cls, value: str) -> str:
        # Credentials stand in no setting, so neither in this one.
        if value and not _STAMPING_URL.match(value):
            msg = "expected a URL http(s)://<host>[:<port>], without user or fragment"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _content_has_a_place(self) -> Settings:
        if self.content_store == "folder" and self.content_folder is None:
            msg = "content_store = 'folder' needs content_folder"
            raise ValueError(msg)
        if self.content_store == "s3" and not self.content_s3:
            msg = "content_store = 's3' needs content_s3"
            raise ValueError(msg)
        return self

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value

    @field_validator("timestamp_authorities")
    @classmethod
    def _stamping_urls(cls, value: dict[str, str]) -> dict[str, str]:
        for name, url in value.items():
            if AUTHORITY_NAME.match(name) is None:
                msg = "expected names of 1 to 32 lower-case letters, digits and hyphens"
                raise ValueError(msg)
            # No user in it: URLs stand in logs of others.
            if not _STAMPING_URL.match(url):
                msg = "expected URLs http(s)://<host>[:<port>]/<path>, without user or fragment"
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _stamps_are_checked(self) -> Settings:
        if self.timestamp_authorities and self.timestamp_roots is None:
            msg = (
                "timestamp_roots is needed with timestamp_authorities: else anything would be kept as a stamp"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _gap_beyond_beat(self) -> Settings:
        if self.heartbeat_gap_ms <= self.heartbeat_ms:
            msg = "heartbeat_gap_ms must exceed heartbeat_ms: else the broker would be away between any two beats"
            raise ValueError(msg)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file; nothing else."""
        home = init_settings().get("home")
        return init_settings, env_settings, InitSettingsSource(settings_cls, _read_file(Path(str(home))))

    @property
    def database(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{(self.home / 'broker.sqlite3').absolute()}"

    @property
    def store_directory(self) -> Path | None:
        """The checkpoint store's directory; None where it is a database."""
        return None if "://" in self.checkpoint_store else self.home / self.checkpoint_store

    @property
    def keys(self) -> Path:
        """The key file."""
        return self.home / self.key_file

    @property
    def threads(self) -> int:
        """Verifying threads."""
        return self.verify_threads or os.cpu_count() or 1


def _read_file(home: Path) -> dict[str, Any]:
    path = home / CONFIG_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            "no_configuration", f"cannot read {path}: {error.strerror}; `countermark-broker init` makes it"
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError("bad_configuration", f"{path} is not UTF-8") from None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError("bad_configuration", f"{path} is not TOML: {error}") from None
    if "home" in values:
        raise ConfigurationError("bad_configuration", f"{path} must not name 'home': it is where it lies")
    return values


def load_settings(home: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of the broker whose home directory is given.

    Args:
        home: the directory.
        environ: the environment, to find misspelt variables in; the process's own if None.

    Raises:
        ConfigurationError: a file or variable is missing, unknown or out of range.
    """
    check_environment(os.environ if environ is None else environ)
    try:
        return Settings(home=home)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "settings"
        raise ConfigurationError(
            "bad_configuration", f"setting '{name}': {first['msg'].lower()}", setting=name
        ) from None


def check_environment(environ: Mapping[str, str]) -> None:
    """Refuse misspelt variables: pydantic-settings does not see those it does not know.

    Raises:
        ConfigurationError: ``unknown_variable``; ``test_hook_refused`` where a test hook is set without the
            switch that admits to it.
    """
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | _OTHER_VARIABLES
    for name in environ:
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            raise ConfigurationError(
                "unknown_variable", f"environment variable {name} is not a setting of the broker"
            )
    hooks = [name for name in (TEST_KILL_VARIABLE, TEST_FAIL_VARIABLE) if environ.get(name)]
    if hooks and environ.get(TEST_HOOKS_VARIABLE) != "1":
        raise ConfigurationError(
            "test_hook_refused",
            f"{hooks[0]} harms the broker on purpose and is honoured only with {TEST_HOOKS_VARIABLE}=1",
        )


def load_passphrase(settings: Settings, environ: Mapping[str, str] | None = None) -> str:
    """The passphrase of the key file, from its file or from the one variable.

    Raises:
        ConfigurationError: ``no_passphrase``.
    """
    if settings.passphrase_file is not None:
        path = settings.home / settings.passphrase_file
        try:
            text = path.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError("no_passphrase", f"cannot read the passphrase file {path}") from None
    else:
        text = (os.environ if environ is None else environ).get(PASSPHRASE_VARIABLE, "")
    if not text:
        raise ConfigurationError(
            "no_passphrase", f"set 'passphrase_file', or the variable {PASSPHRASE_VARIABLE}"
        )
    return text
