"""`countermark whoami`, `directory`, `group`, `types`, `type`: who there is, and what can be said."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from countermark_client import _contents
from countermark_client._keystore import INSTANCE, SEALING
from countermark_client.cli import _late
from countermark_client.cli.alarming import alarm_lines, reset_json, reset_text
from countermark_client.cli.common import Access, now, with_home
from countermark_client.cli.directory_reading import directory_age, offline_option, read_directory
from countermark_client.cli.keys import key_json
from countermark_client.cli.output import Result, command, say, table, utc
from countermark_protocol.directory import Directory, Held
from countermark_protocol.encoding import JsonObject
from countermark_protocol.errors import NotFoundError, TransportError
from countermark_protocol.identifiers import authority_of, parse_address, parse_group_name
from countermark_protocol.keys import PublicKey
from countermark_protocol.records import (
    AuthorityRecord,
    EndpointRecord,
    GroupRecord,
    KeysRecord,
    LogRecord,
    Record,
    RevocationRecord,
)
from countermark_protocol.types import TYPES, known_types

if TYPE_CHECKING:
    from countermark_client import Client


# --- who am I ------------------------------------------------------------------------------------------


def _standing(directory: Directory, client: Client, use: str, key: PublicKey) -> str:
    if directory.revocation(key.key_id) is not None:
        return "revoked"
    address = client.profile.address
    record = directory.keys(address) if address is not None else None
    if key.is_signing:
        if not directory.key_stands(key.key_id):
            return "not in the directory"
        signing = record.signing if record is not None else ()
        return _in_force(next((one.until for one in signing if one.key == key), None), now())
    if record is not None and record.sealing == key:
        if record.sealing_from > now():
            return f"counts from {utc(record.sealing_from)}"
        return _in_force(record.sealing_until, now())
    if record is not None and record.previous_sealing == key:
        return f"accepted until {utc(record.previous_until)}"
    return "former" if use != SEALING else "not in the directory"


def _in_force(until: int | None, at: int) -> str:
    if until is None:
        return "in force"
    return f"in force until {utc(until)}" if at < until else f"over since {utc(until)}"


@click.command("whoami")
@offline_option
@with_home
@command
def whoami(offline: bool, access: Access) -> Result:
    """Show this profile: its endpoint, log and keys, and whether it can send."""
    with access.client() as client:
        profile = client.profile
        warning, known = None, True
        if not offline:
            try:
                client.sync()
            except TransportError as error:
                warning = f"the broker is away: {error}"
            except NotFoundError as error:
                warning = str(error)
            except Exception as error:
                if getattr(error, "code", None) not in {"unknown_key", "wrong_signer", "key_not_standing"}:
                    raise
                known = False
                warning = (
                    "no key of this profile counts in the log: it is not enrolled yet, suspended or revoked"
                )
        directory = client.directory
        keystore = profile.keystore
        pairs = keystore.public_keys()
        keys = [
            {**key_json(use, key), "standing": _standing(directory, client, use, key)} for use, key in pairs
        ]
        # Whose keys count no more cannot read why: what it read last says that they did.
        enrolled = known and any(k["use"] == INSTANCE and k["standing"].startswith("in force") for k in keys)
        counts = {s.value: n for s, n in profile.store.outbox_counts().items()}
        checkpoint = client.checkpoint
        lines: list[str | _late.Table] = [
            f"endpoint    {profile.address or 'none: a governor or an authority'}",
            f"log         {profile.log}",
            f"trust file  {profile.trust.fingerprint}",
            f"broker      {profile.broker_url}",
            f"holder      {profile.holder}",
            f"checkpoint  size {checkpoint.size}, {directory_age(client)} old"
            if checkpoint
            else "checkpoint  none yet",
            "outbox      " + ", ".join(f"{count} {state}" for state, count in counts.items()),
        ]
        if profile.address is not None:
            lines.append(f"can send    {'yes' if enrolled and client.halted is None else 'no'}")
        if client.halted is not None:
            lines.append(f"HALTED      {client.halted}")
        lines += alarm_lines(client)
        lines.append(
            table(
                ("KEY", "ALGORITHM", "KEY ID", "STANDING"),
                ((k["use"], k["alg"], k["key_id"][:16], k["standing"]) for k in keys),
            )
        )
        if warning:
            say(f"warning: {warning}")
        return Result(
            lines,
            address=profile.address,
            log=profile.log,
            trust_fingerprint=profile.trust.fingerprint,
            broker=profile.broker_url,
            holder=profile.holder,
            home=str(access.home),
            checkpoint={"size": checkpoint.size, "root": checkpoint.root.hex()} if checkpoint else None,
            checkpoint_age=client.checkpoint_age,
            enrolled=enrolled,
            halted=client.halted,
            alarms=list(client.alarms),
            outbox=counts,
            keys=keys,
            warning=warning,
            warnings=list(client.warnings),
        )


# --- the directory -------------------------------------------------------------------------------------


def _summary(record: Record, names: dict[str, str]) -> str:
    text = _said(record, names)
    if isinstance(record, AuthorityRecord | EndpointRecord | KeysRecord) and record.certificates:
        # Carried, not checked: `pki verify` does.
        text += f"; certificates for {len(record.certificates)} keys (see `pki verify`)"
    return text


def _said(record: Record, names: dict[str, str]) -> str:
    if isinstance(record, LogRecord):
        governors = record.governors
        return f"{len(governors.keys)} governors, {governors.threshold} must sign; broker {record.broker}"
    if isinstance(record, AuthorityRecord):
        return f"{record.name}; may enrol {', '.join(r.value for r in record.roles)}"
    if isinstance(record, EndpointRecord):
        return record.name
    if isinstance(record, KeysRecord):
        holders = ", ".join(
            k.holder + (f" (until {utc(k.until)})" if k.until is not None else "") for k in record.signing
        )
        return (
            f"{names.get(record.address, '')} instances: {holders}; reads {len(record.reads)} types".strip()
        )
    if isinstance(record, GroupRecord):
        return f"{record.title}; {len(record.members)} members"
    if isinstance(record, RevocationRecord):
        return record.ground.value + (
            f", compromised since {utc(record.compromised_at)}" if record.compromised_at is not None else ""
        )
    return f"{len(record.rules)} rules"


def _signers(directory: Directory, held: Held) -> list[str]:
    """Whose keys signed a statement; of a founding, a governor's own subject is the log's."""
    return [
        f"{key_id.hex()[:16]} ({', '.join(directory.subjects_of_key(key_id)) or 'not known'})"
        for key_id in sorted(held.signers)
    ]


def _history(client: Client, wanted: Callable[[str], bool]) -> Result:
    directory = client.directory
    found = sorted(
        (
            held
            for subject in directory.subjects("")
            if wanted(subject)
            for held in directory.history(subject)
        ),
        key=lambda held: held.index,
    )
    rows = (
        (
            h.index,
            utc(h.time),
            h.subject,
            _summary(h.record, {}),
            ", ".join(_signers(directory, h)),
            h.ground or "-",
        )
        for h in found
    )
    return Result(
        [table(("ENTRY", "WHEN", "SUBJECT", "WHAT", "SIGNED BY", "GROUND"), rows)]
        if found
        else ["nothing there"],
        statements=[
            {
                "index": h.index,
                "time": h.time,
                "subject": h.subject,
                "signed_by": [key_id.hex() for key_id in sorted(h.signers)],
                "ground": h.ground,
                "record": h.record.to_json(),
            }
            for h in found
        ],
        size=client.checkpoint.size if client.checkpoint else 0,
    )


@click.command("directory")
@click.argument("prefix", default="")
@click.option(
    "--history", is_flag=True, help="Every statement there ever was: who signed it, when, and on what ground."
)
@offline_option
@with_home
@command
def directory(prefix: str, history: bool, offline: bool, access: Access) -> Result:
    """List who stands in the directory; those whose subject or address begins with PREFIX.

    Examples:
      countermark directory                 everything
      countermark directory ke.             endpoints of Kenya
      countermark directory authority/      all authorities
      countermark directory authority/ke --history
    """
    with access.client() as client:
        read_directory(client, offline=offline)
        if history:
            return _history(client, lambda s: s.startswith(prefix) or s.partition("/")[2].startswith(prefix))
        found: list[tuple[str, Any, bool]] = []
        for subject in sorted(client.directory.subjects("")):
            # ``keys/…`` goes with its endpoint; it is listed only where asked for.
            name = subject.partition("/")[2] if subject.startswith(("endpoint/", "group/")) else subject
            wanted = subject.startswith(prefix) or name.startswith(prefix)
            if not wanted or (subject.startswith("keys/") and not prefix.startswith("keys")):
                continue
            held = client.directory.held(subject)
            assert held is not None
            found.append((subject, held, client.directory.stands(subject)))
        rows = (
            (subject, "yes" if stands else "NO", held.index, utc(held.time), _summary(held.record, {}))
            for subject, held, stands in found
        )
        resets = [r for r in client.resets if r.address.startswith(prefix) or r.address in prefix]
        return Result(
            [
                table(("SUBJECT", "STANDS", "ENTRY", "SINCE", "WHAT"), rows) if found else "nothing there",
                *(f"RESET: {reset_text(reset)}" for reset in resets),
            ],
            records=[
                {
                    "subject": subject,
                    "stands": stands,
                    "index": held.index,
                    "time": held.time,
                    "statement": held.statement.hex(),
                    "record": held.record.to_json(),
                }
                for subject, held, stands in found
            ],
            size=client.checkpoint.size if client.checkpoint else 0,
            age=client.checkpoint_age,
            resets=[reset_json(reset) for reset in resets],
        )


@click.command("group")
@click.argument("name")
@offline_option
@with_home
@command
def group(name: str, offline: bool, access: Access) -> Result:
    """Show the members of the group NAME (<owner>/<name>), and who of them can receive now."""
    parsed = parse_group_name(name.removeprefix("group:"))
    with access.client() as client:
        read_directory(client, offline=offline)
        held = client.directory.held(f"group/{parsed}")
        if held is None or not isinstance(held.record, GroupRecord):
            raise NotFoundError("unknown_group", f"there is no group '{parsed}'")
        record = held.record
        members = [(m, client.directory.keys(parse_address(m)) is not None) for m in record.members]
        stands = client.directory.group(parsed) is not None
    return Result(
        [
            f"{parsed}: {record.title}{'' if stands else ' (NOT IN FORCE)'}",
            table(("MEMBER", "CAN RECEIVE"), ((m, "yes" if ok else "NO") for m, ok in members)),
        ],
        name=parsed,
        title=record.title,
        owner=authority_of(parsed.partition("/")[0]),
        stands=stands,
        members=[{"address": m, "can_receive": ok} for m, ok in members],
    )


# --- message types -------------------------------------------------------------------------------------


@click.command("types")
@command
def types() -> Result:
    """List the message types and versions that this software reads and writes."""
    rows: list[tuple[str, int, str, str]] = []
    for name, version in known_types():
        text = (_contents.find_model(name, version).__doc__ or "").strip().splitlines()[0]
        rows.append((name, version, "answer" if TYPES[name].is_answer else "", text))
    return Result(
        [table(("TYPE", "VERSION", "", "WHAT"), rows)],
        types=[{"type": n, "version": v, "is_answer": bool(a), "about": t} for n, v, a, t in rows],
    )


def _resolved(node: JsonObject, schema: JsonObject) -> JsonObject:
    # A reference may carry a description of its own, which tells more than the block's.
    merged = dict(node)
    while "$ref" in merged:
        target = schema["$defs"][merged.pop("$ref").rpartition("/")[2]]
        merged = {**target, **merged}
    return merged


def _members(schema: JsonObject, node: JsonObject, path: str, required: bool) -> list[tuple[str, ...]]:
    """Every member of a content as (path, type, needed, meaning); lists as element 0."""
    node = _resolved(node, schema)
    if node.get("type") == "array":
        return _members(schema, {**node["items"]}, f"{path}.0", required)
    if "properties" in node:
        out: list[tuple[str, ...]] = []
        for name, child in node["properties"].items():
            needed = required and name in node.get("required", ())
            out += _members(schema, child, f"{path}.{name}" if path else name, needed)
        return out
    kind = "code" if "enum" in node else str(node.get("type", ""))
    codes = node.get("enum", ())
    about = str(node.get("description", "")).partition(" Source:")[0]
    if codes:
        about += f" [{', '.join(codes[:8])}{', …' if len(codes) > 8 else ''}]"
    return [(path, kind, "yes" if required else "", about)]


@click.command("type")
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="[default: the newest]")
@click.option("--schema", "want_schema", is_flag=True, help="Its JSON Schema (2020-12), in full.")
@command
def type_(name: str, version: int | None, want_schema: bool) -> Result:
    """Show what a message of type NAME holds: every member by its path, as columns of a table name it.

    Examples:
      countermark type tracing-request
      countermark type tracing-request --schema > tracing-request.schema.json
    """
    newest = max((v for n, v in known_types() if n == name), default=1)
    model = _contents.find_model(name, version or newest)
    schema = _contents.json_schema(model)
    if want_schema:
        return Result([json.dumps(schema, indent=2)], **schema)
    members = _members(schema, schema, "", True)
    rules = {
        r: t
        for node in (schema, *schema.get("$defs", {}).values())
        for r, t in node.get("x-rules", {}).items()
    }
    shown: list[str | _late.Table] = [
        f"{name} version {model.VERSION}: {(model.__doc__ or '').strip().splitlines()[0]}",
        table(("MEMBER", "TYPE", "NEEDED", "MEANING"), members),
    ]
    if rules:
        shown += ["rules across members", *(f"  {rule}: {text}" for rule, text in sorted(rules.items()))]
    return Result(
        shown,
        type=name,
        version=model.VERSION,
        members=[{"path": p, "type": t, "needed": n == "yes", "meaning": m} for p, t, n, m in members],
        rules=rules,
    )
