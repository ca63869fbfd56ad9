"""Blobs in an object store that speaks S3, through boto3 (the extra ``s3``).

Credentials come by boto3's own ways (variables, profile, instance role); none is a setting here, has a default, or is
logged. Tries and time-outs are bounded. What comes back is checked by its digest, so nothing of the store is believed.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/; docs/operations/content-store.md §3.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final

from countermark_broker.errors import ConfigurationError, OverloadedError
from countermark_broker.store.blobs import MARK_BYTES, MARK_NAME, StoredBlob, away, is_name

_log = logging.getLogger(__name__)

_CONNECT_S: Final = 5
_READ_S: Final = 30
_ATTEMPTS: Final = 3
_CONNECTIONS: Final = 8
_ABSENT: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_BUSY: Final = frozenset({"SlowDown", "RequestLimitExceeded", "TooManyRequests", "Throttling", "503", "429"})


@dataclass(frozen=True, slots=True)
class S3Place:
    """Where in an object store.

    Attributes:
        bucket: its name.
        prefix: of all keys; empty, or ends with a slash.
        endpoint: URL of a server that is not Amazon's; empty: Amazon's.
        region: empty: as boto3 finds it.
    """

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""


@cache
def _session() -> Any:
    # Slow to load, so once; and an extra that not every broker has.
    try:
        import boto3  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            "s3_not_installed",
            "the content store is S3, and boto3 is not installed: install countermark-broker[s3]",
        ) from None
    return boto3.session.Session()


class S3Blobs:
    """See `BlobStore`.

    Args:
        where: bucket and prefix.
    """

    place = "s3"

    def __init__(self, where: S3Place) -> None:
        self._where = where

    @cached_property
    def _client(self) -> Any:
        session = _session()
        from botocore.config import Config  # noqa: PLC0415

        config = Config(
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S,
            retries={"total_max_attempts": _ATTEMPTS, "mode": "standard"},
            max_pool_connections=_CONNECTIONS,
            # What is not Amazon's knows buckets in the path, and not all of it the newer checksums.
            s3={"addressing_style": "path"} if self._where.endpoint else {},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        return session.client(
            "s3",
            endpoint_url=self._where.endpoint or None,
            region_name=self._where.region or None,
            config=config,
        )

    def put(self, name: str, data: bytes) -> None:
        """See `BlobStore.put`."""
        with self._translated():
            self._client.put_object(Bucket=self._where.bucket, Key=self._key(name), Body=data)

    def get(self, name: str) -> bytes | None:
        """See `BlobStore.get`."""
        return self._get(self._key(name))

    def delete(self, name: str) -> None:
        """See `BlobStore.delete`."""
        with self._translated():
            self._client.delete_object(Bucket=self._where.bucket, Key=self._key(name))

    def stored(self) -> Iterator[StoredBlob]:
        """See `BlobStore.stored`."""
        with self._translated():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._where.bucket, Prefix=self._where.prefix
            )
            for page in pages:
                for one in page.get("Contents", ()):
                    name = one["Key"].removeprefix(self._where.prefix)
                    if is_name(name):
                        yield StoredBlob(name, one["Size"], int(one["LastModified"].timestamp() * 1000))

    def mark(self) -> bytes | None:
        """See `BlobStore.mark`."""
        data = self._get(self._where.prefix + MARK_NAME)
        if data is None or len(data) == MARK_BYTES:
            return data
        return bytes(MARK_BYTES)

    def set_mark(self, mark: bytes) -> None:
        """See `BlobStore.set_mark`."""
        with self._translated():
            self._client.put_object(Bucket=self._where.bucket, Key=self._where.prefix + MARK_NAME, Body=mark)

    def check(self) -> None:
        """See `BlobStore.check`: a bucket that keeps versions would keep what is purged."""
        try:
            self._client.head_bucket(Bucket=self._where.bucket)
        except self._errors as error:
            raise ConfigurationError(
                "content_bucket",
                f"bucket '{self._where.bucket}' of the content store cannot be used ({_code(error)}): see its name, "
                "the endpoint, the region and the credentials (docs/operations/content-store.md §3)",
            ) from None
        try:
            found = self._client.get_bucket_versioning(Bucket=self._where.bucket)
        except self._errors as error:
            # Not every server has versions, and not every role may ask.
            _log.warning(
                "bucket %s: whether it keeps versions is not known (%s)", self._where.bucket, _code(error)
            )
            return
        if found.get("Status"):
            raise ConfigurationError(
                "content_bucket",
                f"bucket '{self._where.bucket}' keeps versions, so that a purge would leave what it deletes: name a "
                "bucket on which versioning was never switched on",
            )

    def _key(self, name: str) -> str:
        return self._where.prefix + name

    def _get(self, key: str) -> bytes | None:
        with self._translated():
            try:
                data: bytes = self._client.get_object(Bucket=self._where.bucket, Key=key)["Body"].read()
            except self._errors as error:
                if _code(error) in _ABSENT:
                    return None
                raise
            return data

    @cached_property
    def _errors(self) -> tuple[type[Exception], ...]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        return (BotoCoreError, ClientError)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except self._errors as error:
            code = _code(error)
            _log.warning("content store, bucket %s: %s", self._where.bucket, code)
            if code in _BUSY:
                raise OverloadedError("content_store_busy", "the content store has too much to do") from None
            # The error itself may show parts of a request.
            raise away(code) from None


def _code(error: Exception) -> str:
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", "")) or "error"
    return type(error).__name__
