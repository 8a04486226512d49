"""Definitions: YAML files → one checked model.

`load` reads one or many files as one; all problems of all files are raised together as a `DefinitionError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stream.definitions.check import check
from stream.definitions.model import Definitions
from stream.definitions.reader import FileReader
from stream.definitions.source import Problems, Source
from stream.errors import DefinitionError, Problem

__all__ = ["Definitions", "load", "loads"]


def load(paths: Iterable[str | Path]) -> Definitions:
    """The definitions of all `paths` together. DefinitionError lists every problem of every file."""
    texts: list[tuple[str, str]] = []
    unreadable: list[Problem] = []
    for path in paths:
        try:
            texts.append((str(path), Path(path).read_text("utf-8")))
        except UnicodeDecodeError as error:
            unreadable.append(Problem(str(path), 1, 1, f"not UTF-8 text (byte {error.start})"))
        except OSError as error:
            unreadable.append(Problem(str(path), 1, 1, f"cannot be read: {error.strerror}"))
    return _read(texts, unreadable)


def loads(text: str, name: str = "<string>") -> Definitions:
    """The definitions in `text`; `name` stands for the file in messages."""
    return _read([(name, text)], [])


def _read(texts: list[tuple[str, str]], unreadable: list[Problem]) -> Definitions:
    problems = Problems()
    problems.found.extend(unreadable)
    readers = []
    for name, text in texts:
        reader = FileReader(Source(name, problems))
        reader.read(text)
        readers.append(reader)
    definitions = check(
        [selector for reader in readers for selector in reader.selectors],
        [feature for reader in readers for feature in reader.features],
        [segment for reader in readers for segment in reader.segments],
        [ladder for reader in readers for ladder in reader.ladders],
        problems,
    )
    if problems.errors:
        raise DefinitionError(problems.errors)
    return definitions
