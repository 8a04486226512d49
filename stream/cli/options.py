"""What commands share: types of options, files to write, definitions to load."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click
from rich.console import Console

from stream.config import Settings, load_settings
from stream.definitions import Definitions, load
from stream.durations import parse_duration
from stream.instants import parse_instant
from stream.packs import locate
from stream.replay.packing import packed

OFF = -1
"""What an option that may be switched off gives for `off`."""

stderr = Console(stderr=True)
"""Everything that is not for machines."""


class Parsed(click.ParamType):
    """An option that a function reads; its ValueError becomes the usage error."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _duration_or_off(text: str) -> int:
    return OFF if text == "off" else parse_duration(text)


def _instant(text: str) -> int:
    return parse_instant(int(text) if text.isdigit() else text)


DURATION = Parsed("duration", parse_duration)
DURATION_OR_OFF = Parsed("duration", _duration_or_off)
INSTANT = Parsed("time", _instant)

segments_option = click.option(
    "--segments",
    "segments",
    multiple=True,
    metavar="FILE",
    help="Definitions: a file, or pack:NAME for one that comes along; NAME?parameter=value sets parameters. "
    "May be given several times.",
)
config_option = click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Settings of the worker.",
)


def read_settings(config_file: str | None) -> Settings:
    """The effective settings: file, then environment."""
    return load_settings(config_file, os.environ)


def load_definitions(names: Sequence[str]) -> Definitions:
    """Definitions from files and packs."""
    return load([locate(name) for name in names])


def keep_apart(reads: Iterable[str | None], *writes: str | None) -> None:
    """UsageError if a file to be written is read as well, or written twice: opening it would empty it."""
    taken = {Path(path.partition("?")[0]).resolve() for path in reads if path is not None}
    for path in writes:
        if path is None or path == "-":
            continue
        file = Path(path).resolve()
        if file in taken:
            raise click.UsageError(f"{path} is named twice: what is written there needs a file of its own")
        if file.is_file() or not file.exists():  # devices take what comes
            taken.add(file)


@contextmanager
def writing(path: str) -> Iterator[IO[bytes]]:
    """A file to write lines to, packed as its name says; `-` is standard output."""
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    else:
        with packed(Path(path)) as file:
            yield file
