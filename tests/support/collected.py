"""What collecting makes lives as long as the run: the garbage collector need not look at it again and again."""

from __future__ import annotations

import gc


def pytest_collection() -> None:
    """Ten thousand tests are made, and none of them is garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """From here on only what tests make is looked at."""
    gc.collect()
    gc.freeze()
    gc.enable()
