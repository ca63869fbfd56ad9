"""What few commands need and what loads slowly: tables, progress bars, QR codes, and calls without a profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from countermark_client._later import importer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.table import Table
    from rich.text import Text

    from countermark_client._invited import fetch_invitation
    from countermark_client.cli.publishing import publish_with_trust
    from countermark_client.cli.qr import draw_qr
else:
    __getattr__ = importer(
        __name__,
        {
            "rich.console": "Console",
            "rich.progress": (
                "BarColumn DownloadColumn MofNCompleteColumn Progress TextColumn TimeRemainingColumn "
                "TransferSpeedColumn"
            ),
            "rich.table": "Table",
            "rich.text": "Text",
            "countermark_client._invited": "fetch_invitation",
            "countermark_client.cli.publishing": "publish_with_trust",
            "countermark_client.cli.qr": "draw_qr",
        },
    )

__all__ = [
    "BarColumn",
    "Console",
    "DownloadColumn",
    "MofNCompleteColumn",
    "Progress",
    "Table",
    "Text",
    "TextColumn",
    "TimeRemainingColumn",
    "TransferSpeedColumn",
    "draw_qr",
    "fetch_invitation",
    "publish_with_trust",
]
