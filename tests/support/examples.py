"""On how many examples a property is tried: a third of them in `make test`, all in `make test-long`.

Nor does any fail for being slow: what takes long on a busy machine is no fault of what is tested.
"""

from __future__ import annotations

from typing import Any, Final

from hypothesis import HealthCheck, settings

#: The profile of `make test-long`: ``--hypothesis-profile=full``.
FULL: Final = "full"
_LEAST: Final = 10

for _name in ("bounded", FULL):
    settings.register_profile(_name, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bounded")


def tried(many: int, **others: Any) -> settings:
    """Settings of a property that is tried on `many` examples where there is time."""
    full = settings.get_current_profile_name() == FULL
    return settings(max_examples=many if full else max(_LEAST, many // 3), **others)
