"""Notices back to rows, by the mapping with which rows became notices, read the other way.

A column is made of the first of its fields that keeps what a cell said. What a code table made one of several cells
comes back as the first of them: the same code, not always the same cell.

Source: docs/spec/mapping.md §5.
"""

from __future__ import annotations

from collections.abc import Iterator

from countermark_client.importing._paths import get
from countermark_client.importing.cells import write_cell
from countermark_client.importing.mapping import ROW_DIGEST, MappingFile, Notice
from countermark_protocol.encoding import JsonObject


def table_header(mapping: MappingFile) -> list[str]:
    """Columns of an export, in the order of the mapping: those of which members were made, and of conditions."""
    named = [
        column
        for notice in mapping.notices
        for column in (*notice.when, *notice.group, *(each.column for each in notice.fields))
    ]
    return [column for column in dict.fromkeys(named) if column != ROW_DIGEST]


def notice_rows(mapping: MappingFile, message_type: str, content: JsonObject) -> Iterator[dict[str, str]]:
    """Rows of one notice, one an item; none if the mapping has no notice of this type with these constants."""
    notice = _notice_of(mapping, message_type, content)
    if notice is None:
        return
    for i in range(max(1, len(content.get("items", ())))):
        row = dict.fromkeys(table_header(mapping), "")
        for column, cells in notice.when.items():
            row[column] = min(cells)
        for column in {each.column for each in notice.fields} - {ROW_DIGEST}:
            for each in notice.fields:
                if each.column != column:
                    continue
                written = write_cell(each, content, each.path.replace("*", str(i)))
                if written is not None:
                    row[column] = written
                    break
        yield row


def _notice_of(mapping: MappingFile, message_type: str, content: JsonObject) -> Notice | None:
    """The kind of notice whose constants a content has, as far as no column says something else."""
    for notice in mapping.notices:
        said = {each.path for each in notice.fields}
        constants = {path: value for path, value in notice.constants.items() if path not in said}
        if notice.type == message_type and all(
            get(content, path.replace("*", "0")) == value for path, value in constants.items()
        ):
            return notice
    return None
