"""On how many examples a property is tried: a third of them in `make test`, all in `make test-long`."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import settings

#: The profile of `make test-long`: ``--hypothesis-profile=full``.
FULL: Final = "full"
_LEAST: Final = 10

settings.register_profile(FULL, deadline=None)


def tried(many: int, **others: Any) -> settings:
    """Settings of a property that is tried on `many` examples where there is time."""
    full = settings.get_current_profile_name() == FULL
    return settings(max_examples=many if full else max(_LEAST, many // 3), deadline=None, **others)
