"""Temporary directories in memory: what is flushed to a disk takes longer than most tests that flush it.

Every statement that a client or a broker keeps is flushed, as it must be, and tests keep thousands. What a process
has written outlives its being killed in memory as on a disk. Tests of the disk itself choose their own place.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")
_ROOM = 2 << 30
#: Where pytest makes the directories of its own runs.
_PYTEST_ROOT = "PYTEST_DEBUG_TEMPROOT"


def memory() -> Path | None:
    """A directory in memory; None where it is scarce, or programs in it may not be run."""
    if not _MEMORY.is_dir() or not os.access(_MEMORY, os.W_OK):
        return None
    if os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC or shutil.disk_usage(_MEMORY).free <= _ROOM:
        return None
    return _MEMORY


def pytest_configure() -> None:
    """Let `tmp_path` be in memory, unless somebody says where it shall be."""
    place = memory()
    if place is not None:
        os.environ.setdefault(_PYTEST_ROOT, str(place))


@pytest.fixture(scope="session", autouse=True)
def _memory_is_given_back(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Nothing is left in memory, unless somebody wants to see why a test failed."""
    yield
    place = tmp_path_factory.getbasetemp()
    if place.is_relative_to(_MEMORY) and not request.session.testsfailed:
        shutil.rmtree(place, ignore_errors=True)
