"""`segstream config`: the settings that hold."""

from __future__ import annotations

import click

from stream.cli.options import config_option, read_settings
from stream.config import describe


@click.command()
@config_option
def config(config_file: str | None) -> None:
    """Print the settings that hold, from the file and the environment; secrets are masked.

    \b
    Example:
      segstream config --config segstream.yaml
    """
    click.echo(describe(read_settings(config_file)), nl=False)
