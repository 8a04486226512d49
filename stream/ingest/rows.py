"""How the rows of a table are cut into columns, where the mapping has to say so.

A table with a header line and commas (or tabs, in a .tsv) needs none of this. `columns` names the columns of a table
without a header; records of a topic that are such rows are read the same way.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stream.errors import RecordError

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " "}


@dataclass(frozen=True, slots=True)
class Rows:
    """The shape of a table."""

    delimiter: str | None = None
    """One character; None: tab in a file named .tsv, else comma."""
    columns: tuple[str, ...] | None = None
    """Names of the columns where no header line gives them."""
    skip: int = 0
    """Lines before the header, or before the first row."""
    encoding: str | None = None
    """Of the file; None: UTF-8."""
    quotes: bool = True
    """Whether `"` at the beginning of a cell starts a quoted one."""

    def cut(self, value: bytes) -> dict[str, str]:
        """The columns of one record; RecordError if it has more than are named."""
        try:
            text = value.decode(self.encoding or "utf-8")
        except UnicodeDecodeError as error:
            raise RecordError("bad_row", f"$: not {error.encoding}: {error.reason}") from None
        columns = self.columns or ()
        delimiter = self.delimiter or ","
        if self.quotes:
            try:
                cells = next(self.reader(io.StringIO(text, newline=""), delimiter), [])
            except csv.Error as error:
                raise RecordError("bad_row", f"$: {error}") from None
        else:
            cells = text.rstrip("\r\n").split(delimiter)
        if len(cells) > len(columns):
            raise RecordError("bad_row", f"$: {len(cells)} columns, the mapping names {len(columns)}")
        return dict(zip(columns, cells, strict=False))

    def reader(self, lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
        """The rows of lines of text, one row on several lines where quotes hold a line feed."""
        if self.quotes:
            return csv.reader(lines, delimiter=delimiter)
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)


PLAIN = Rows()
"""A table that says everything itself."""
