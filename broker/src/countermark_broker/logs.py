"""Structured logs: one line an event, for people or as JSON, with the request and the node it belongs to.

What may stand in a line is decided where it is written: method, path, status, duration, codes. Bodies, headers,
query strings, keys and passphrases never do; a test greps the logs of a whole run for them.

Source: docs/operations/logs.md §1.
"""

from __future__ import annotations

import json
import logging
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Literal, TextIO

LogFormat = Literal["text", "json"]

#: Fields that a line may carry beside its message (``extra=``): a closed list, so that nothing slips in.
FIELDS: Final = ("method", "path", "status", "milliseconds")

_request: ContextVar[str] = ContextVar("countermark_request", default="")


@contextmanager
def request_scope() -> Iterator[str]:
    """Name a request: every line written while it is handled carries the name.

    Made here, never taken from the request: what a client writes must not choose what the log says.
    """
    name = secrets.token_hex(8)
    token = _request.set(name)
    try:
        yield name
    finally:
        _request.reset(token)


class _Context(logging.Filter):
    """Puts node and request on every record."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def filter(self, record: logging.LogRecord) -> bool:
        record.node = self._node
        record.request = _request.get()
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line (JSON Lines)."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, Any] = {
            "time": _utc(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "node": getattr(record, "node", ""),
            "process": record.process,
        }
        if request := getattr(record, "request", ""):
            line["request"] = request
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)


class TextFormatter(logging.Formatter):
    """One line for people; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        request = getattr(record, "request", "")
        head = f"{_utc(record)} {record.levelname} {getattr(record, 'node', '')}"
        text = f"{head}{f' {request}' if request else ''} {record.name}: {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _utc(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"


def node_name(key_id: bytes) -> str:
    """How logs call a node: the first 8 bytes of its key id, as the directory lists it."""
    return key_id[:8].hex()


def configure_logs(log_format: LogFormat, node: str, stream: TextIO | None = None) -> None:
    """Send everything that is logged in this process to one stream, replacing what was set up before.

    Args:
        log_format: ``text`` or ``json``.
        node: see `node_name`; empty before keys are known.
        stream: standard error if None.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    handler.addFilter(_Context(node))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for noisy in ("alembic", "asyncio", "httpx", "sqlalchemy"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
