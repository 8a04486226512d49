"""Definitions: YAML files → one checked model.

`load` reads one or many files as one; all problems of all files are raised together as a `DefinitionError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from stream.definitions.advice import advise
from stream.definitions.check import check
from stream.definitions.model import Definitions
from stream.definitions.reader import SECTIONS, FileReader
from stream.definitions.source import Problems, Source
from stream.errors import DefinitionError, Problem

__all__ = ["Definitions", "load", "loads"]


def load(paths: Iterable[str | Path]) -> Definitions:
    """The definitions of all `paths` together. DefinitionError lists every problem of every file."""
    texts: list[tuple[str, str]] = []
    unreadable: list[Problem] = []
    for path in paths:
        try:
            texts.append((str(path), Path(path).read_text("utf-8-sig")))
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
    for problem in unreadable:
        reader = FileReader(Source(problem.file, problems))
        reader.unread.update(SECTIONS)
        readers.append(reader)
    for name, text in texts:
        reader = FileReader(Source(name, problems))
        reader.read(text)
        readers.append(reader)
    definitions = check(readers, problems)
    if problems.errors:
        raise DefinitionError(problems.errors)
    advise(definitions, problems)
    return replace(definitions, warnings=tuple(problems.warnings))
