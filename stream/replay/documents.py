"""JSON files that are one document over many lines: a list of records, or a single record, as exports write them.

Whether a file is one shows in its first line, which holds no record by itself: `[` alone, `{` alone, or a list that
does not end there. A line that is a whole list is a record like any other, as batches of some sources are; but where
it is all that the file holds and no mapping takes lists, its items are the records.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import msgspec

from stream.replay.records import LogError

MAX_DOCUMENT_BYTES = 1 << 30
"""A document is read at once; lines are not."""
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder(msgspec.Raw).decode


def lines_of(file: Iterator[bytes], path: str, *, takes_lists: bool) -> Iterator[bytes]:
    """The lines of a file of JSON lines; of a document, its records, each as a line. LogError if it is too large."""
    before: list[bytes] = []
    for line in file:
        before.append(line)
        if line.strip():
            break
    else:
        return iter(before)
    first = before[-1].strip()
    if first in (b"[", b"{") or (first.startswith(b"[") and not _is_whole(first)):
        return _records_of(before, file, path)
    if first.startswith(b"[") and not takes_lists:
        after = next((line for line in file if line.strip()), None)
        if after is None:
            return _records_of(before, iter(()), path)
        return chain(before, [after], file)
    return chain(before, file)


def _records_of(before: list[bytes], file: Iterator[bytes], path: str) -> Iterator[bytes]:
    lines, size = list(before), 0
    for line in file:
        lines.append(line)
        size += len(line)
        if size > MAX_DOCUMENT_BYTES:
            raise LogError(
                f"{path}: is one JSON document of more than {MAX_DOCUMENT_BYTES >> 30} GiB: take it apart into "
                "a record per line first (jq -c '.[]')"
            )
    whole = b"".join(lines)
    try:
        if whole.lstrip().startswith(b"["):
            return map(_on_one_line, _decode_list(whole))
        _decode_any(whole)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return iter(lines)  # no document after all: each line is told what is wrong with it
    return iter([_on_one_line(whole)])


def _on_one_line(record: bytes) -> bytes:
    # A line feed within JSON is space: within a text it would have to be escaped.
    return bytes(record).replace(b"\r", b" ").replace(b"\n", b" ")


def _is_whole(line: bytes) -> bool:
    try:
        _decode_any(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True
