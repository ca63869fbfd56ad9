"""The console of an agency: officials compose, read and answer in a browser, beside the agency's own keys."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("countermark-console")
