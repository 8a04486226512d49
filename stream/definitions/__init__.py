"""Definitions: YAML files → one checked model.

`load` reads one or many files as one; all problems of all files are raised together as a `DefinitionError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from stream.definitions.advice import advise
from stream.definitions.check import check
from stream.definitions.model import Definitions
from stream.definitions.parameters import Given, Parameter, split_name
from stream.definitions.reader import SECTIONS, FileReader
from stream.definitions.source import Problems, Source
from stream.errors import DefinitionError, Problem

__all__ = ["Definitions", "Parameter", "load", "loads", "read_parameters"]

Text = tuple[str, str, Mapping[str, Given]]
"""Name and text of a file, and what is given for its parameters."""


def load(paths: Iterable[str | Path]) -> Definitions:
    """The definitions of all `paths` together. DefinitionError lists every problem of every file.

    A path may give values to the file's parameters: `shop.yaml?cart_wait=45m&currency=EUR`.
    """
    texts: list[Text] = []
    unreadable: list[Problem] = []
    for name in paths:
        path, given = split_name(str(name))
        try:
            texts.append((path, Path(path).read_text("utf-8-sig"), given))
        except UnicodeDecodeError as error:
            unreadable.append(Problem(path, 1, 1, f"not UTF-8 text (byte {error.start})"))
        except OSError as error:
            unreadable.append(Problem(path, 1, 1, f"cannot be read: {error.strerror}"))
    return _read(texts, unreadable)


def loads(text: str, name: str = "<string>") -> Definitions:
    """The definitions in `text`; `name` stands for the file in messages."""
    return _read([(name, text, {})], [])


def read_parameters(path: str | Path) -> tuple[Parameter, ...]:
    """The parameters of a file with their values; of one that `load` accepts."""
    file, given = split_name(str(path))
    reader = FileReader(Source(file, Problems()))
    reader.read(Path(file).read_text("utf-8-sig"), given)
    return tuple(reader.parameters.by_name.values())


def _read(texts: list[Text], unreadable: list[Problem]) -> Definitions:
    problems = Problems()
    problems.found.extend(unreadable)
    readers = []
    for problem in unreadable:
        reader = FileReader(Source(problem.file, problems))
        reader.unread.update(SECTIONS)
        readers.append(reader)
    for name, text, given in texts:
        reader = FileReader(Source(name, problems))
        reader.read(text, given)
        readers.append(reader)
    definitions = check(readers, problems)
    if problems.errors:
        raise DefinitionError(problems.errors)
    advise(definitions, problems)
    return replace(definitions, warnings=tuple(problems.warnings))
