"""The machine's certificate authorities, read once: that takes longer than most requests and most starts of a node."""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from countermark_broker.services import webhooks
from countermark_broker.services.outbound import make_tls

_create = httpx.create_ssl_context


def _environment() -> tuple[str | None, ...]:
    return os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")


@functools.cache
def _of_a_node(authorities: Path | None, *_environment: str | None) -> ssl.SSLContext:
    return make_tls(authorities)


@functools.cache
def _of_a_client(trust_env: bool, *_environment: str | None) -> ssl.SSLContext:
    return _create(trust_env=trust_env)


def _create_once(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
    if verify is True and cert is None:
        return _of_a_client(trust_env, *_environment())
    return _create(verify, cert, trust_env)


@pytest.fixture(scope="session", autouse=True)
def _authorities_once() -> Iterator[None]:
    with (
        mock.patch.object(webhooks, "make_tls", lambda path: _of_a_node(path, *_environment())),
        mock.patch("httpx._transports.default.create_ssl_context", _create_once),
    ):
        yield
