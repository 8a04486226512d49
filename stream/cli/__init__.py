"""The command line: one module per family of commands.

Exit codes: 0 all is well, 1 the input is wrong (the message says where), 2 the command is, 3 a failure at run time.
`diff` ends like diff(1), where 1 means that something differs and 2 that the input or the command is wrong.
What machines read goes to standard output or into files, everything else to standard error.
"""

from __future__ import annotations

import sys
import traceback
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click

from stream.compiled import describe_engine, is_outdated
from stream.errors import DefinitionError, SegstreamError

# Imported when called: no command waits for what another needs.
_COMMANDS = {
    "demo": "stream.cli.demo",
    "check": "stream.cli.check",
    "convert": "stream.cli.convert",
    "dead-letters": "stream.cli.dead_letters",
    "packs": "stream.cli.packs",
    "new": "stream.cli.new",
    "replay": "stream.cli.replay",
    "diff": "stream.cli.diff",
    "explain": "stream.cli.explain",
    "run": "stream.cli.kafka",
    "ingest": "stream.cli.kafka",
    "topics": "stream.cli.kafka",
    "record": "stream.cli.kafka",
    "produce": "stream.cli.kafka",
    "simulate": "stream.cli.simulate",
    "config": "stream.cli.config",
    "bench": "stream.cli.bench",
}


class Failure(click.ClickException):
    """An error of ours, as click ends with it: one message, no traceback."""

    def __init__(self, error: SegstreamError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code
        self._places = isinstance(error, DefinitionError)

    def show(self, file: Any = None) -> None:
        if self._places:  # file:line:column at the start of each line, where editors look for it
            click.echo(self.message, file=file, err=True)
        else:
            super().show(file)


class Commands(click.Group):
    """The group of all commands, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(import_module(module), cmd_name.replace("-", "_"))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = get_close_matches(args[0], _COMMANDS, n=1)
            if near:
                error.message += f" Did you mean {near[0]!r}?"
            raise

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except Exception:  # noqa: BLE001  # a bug of ours: tell it in full, but do not blame the input
            traceback.print_exc()
            sys.exit(3)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SegstreamError as error:
            raise Failure(error) from error
        except BrokenPipeError:
            sys.stdout = None  # whoever read us has left: nothing to flush at exit
            ctx.exit(0)
        except OSError as error:
            what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            failure = click.ClickException(what)
            failure.exit_code = 3
            raise failure from error


def _tell_version(ctx: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    """The version, and which engine runs: they differ in speed alone, but who measures wants to know."""
    if not asked or ctx.resilient_parsing:
        return
    engine = "compiled of other sources than those beside it" if is_outdated() else describe_engine()
    click.echo(f"segstream, version {version('segstream')} (engine: {engine})")
    ctx.exit()


@click.group(cls=Commands, context_settings={"max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Show the version and exit.",
)
def main() -> None:
    """Turns a stream of user events into segment changes the moment they become true."""
