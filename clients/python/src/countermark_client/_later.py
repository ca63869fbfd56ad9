"""Names that a module has from others, imported when they are first used.

A command line starts anew for every command, and what loads slowly (the models of all message types, httpx, rich)
serves few of them. A module that shows such names states them twice: as imports under `TYPE_CHECKING`, for who reads
and checks the code, and by where they stand, for `importer`; a test compares the two.

Source: PEP 562.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module


def importer(
    module: str, homes: Mapping[str, str], submodules: Iterable[str] = ()
) -> Callable[[str], object]:
    """The `__getattr__` of a module.

    Args:
        module: its name.
        homes: of each module that names come from, those names, separated by spaces.
        submodules: of the module, to be its attributes too.
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}
    shown = frozenset(submodules)

    def get(name: str) -> object:
        if name in shown:
            return import_module(f"{module}.{name}")
        if name not in home_of:
            msg = f"module {module!r} has no attribute {name!r}"
            raise AttributeError(msg, name=name, obj=sys.modules[module])
        value: object = getattr(import_module(home_of[name]), name)
        # Found there from now on, without this function.
        setattr(sys.modules[module], name, value)
        return value

    return get
