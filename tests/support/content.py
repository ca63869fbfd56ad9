"""Brokers whose content store is in one of the places, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from support.database import sql
from support.world import World

PLACES = ("database", "folder", "s3")
#: What fsck says of attachments and of the content store.
FINDINGS_OF_CONTENT = {
    "attachment_missing",
    "attachment_differs",
    "surplus_claim",
    "piece_missing",
    "piece_differs",
    "piece_elsewhere",
    "orphan_blob",
    "unnamed_blob",
}


def setting(home: Path, **values: Any) -> None:
    """More settings of a broker; those that are there already are replaced."""
    path = home / "broker.toml"
    kept = [line for line in path.read_text().splitlines() if line.split(" =")[0] not in values]
    new = [f"{n} = {f'{chr(34)}{v}{chr(34)}' if isinstance(v, str) else v}" for n, v in values.items()]
    path.write_text("\n".join([*kept, *new]) + "\n")


class Place:
    """What a test sees of a content store from outside.

    Args:
        kind: one of `PLACES`.
        home: of the broker.
        store: the object store, where it is needed.
        bucket: in it.
    """

    def __init__(self, kind: str, home: Path, store: Any = None, bucket: str = "") -> None:
        self.kind, self.home, self.store, self.bucket = kind, home, store, bucket
        self.folder = home / "pieces"

    def names(self) -> list[str]:
        """Names of what lies there."""
        if self.kind == "database":
            return sorted(row[0] for row in sql(self.home, "SELECT DISTINCT name FROM blob_data"))
        if self.kind == "folder":
            return sorted(p.name for p in self.folder.glob("??/*"))
        keys = self.store.keys(self.bucket, "log/")
        return sorted(key.removeprefix("log/") for key in keys if len(key) > 64)

    def remove(self, name: str) -> None:
        """Lose a blob."""
        if self.kind == "database":
            sql(self.home, "DELETE FROM blob_data WHERE name = :name", name=name)
        elif self.kind == "folder":
            (self.folder / name[:2] / name).unlink()
        else:
            self.store.client().delete_object(Bucket=self.bucket, Key=f"log/{name}")

    def write(self, name: str, data: bytes) -> None:
        """Put a blob there past the broker."""
        if self.kind == "database":
            sql(self.home, "DELETE FROM blob_data WHERE name = :name", name=name)
            sql(self.home, "INSERT INTO blob_data VALUES (:name, 0, 0, :data)", name=name, data=data)
        elif self.kind == "folder":
            path = self.folder / name[:2] / name
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.write_bytes(data)
        else:
            self.store.client().put_object(Bucket=self.bucket, Key=f"log/{name}", Body=data)


def set_place(home: Path, kind: str, request: pytest.FixtureRequest) -> Place:
    """Let a broker keep new pieces in a place, however small they are."""
    store, bucket = None, ""
    values: dict[str, Any] = {"content_store": kind, "content_inline_max": 0}
    if kind == "folder":
        values["content_folder"] = "pieces"
    if kind == "s3":
        store, bucket = request.getfixturevalue("object_store"), f"b{uuid4().hex}"
        store.client().create_bucket(Bucket=bucket)
        values |= {"content_s3": f"s3://{bucket}/log", "content_s3_endpoint": store.url}
    setting(home, **values)
    return Place(kind, home, store, bucket)


@pytest.fixture(params=PLACES)
def place(home: Path, request: pytest.FixtureRequest) -> Place:
    """A content store of each kind, of a founded home; one may choose by parametrising this, ``indirect=True``."""
    return set_place(home, str(request.param), request)


def upload(api: Any, sealed: Any, by: str) -> list[int]:
    """Upload all pieces of a message; the statuses."""
    return [
        api.request("PUT", f"/v1/pieces/{digest.hex()}", data, by).status_code
        for digest, data in sealed.pieces.items()
    ]


def photographs(world: World, sender: str, recipients: list[str], *sizes: int, **more: Any) -> Any:
    """A message with files of some sizes."""
    files = {f"photograph-{n}.jpg": bytes([n + 1]) * size for n, size in enumerate(sizes)}
    return world.message(sender, recipients, files=files, **more)
