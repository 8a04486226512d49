"""Files to write that are packed as their names say."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import zstandard


@contextmanager
def packed(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to: gzip where the name ends in .gz, Zstandard for .zst. The same bytes give the same file."""
    with path.open("wb") as file:
        if path.suffix == ".gz":
            # Without name and time, which would make every file another one.
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as zipped:
                yield cast(IO[bytes], zipped)
        elif path.suffix == ".zst":
            writer = zstandard.ZstdCompressor().stream_writer(file, closefd=False)
            with io.BufferedWriter(cast(io.RawIOBase, writer)) as buffered:
                yield buffered
        else:
            yield file
