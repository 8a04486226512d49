"""Writes the parts of these pages that are made of the program: `make docs`.

* commands.md: what `--help` says of every command;
* configuration.md: the table of settings, between its two marks;
* deploy/kubernetes/prometheusrule.yaml: the rules of deploy/prometheus for Prometheus' operator.

A test fails while they differ from the program.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import yaml

from stream.cli import main
from stream.config import REFERENCE, describe, load_settings

DOCS = Path(__file__).parent
COMMANDS = DOCS / "commands.md"
CONFIGURATION = DOCS / "configuration.md"
RULES = DOCS.parent / "deploy" / "prometheus" / "rules"
OPERATOR = DOCS.parent / "deploy" / "kubernetes" / "prometheusrule.yaml"
BEGIN = "<!-- settings: made by docs/generate.py -->\n"
END = "<!-- end of settings -->\n"

COMMANDS_INTRO = (
    "# Commands\n\n"
    "Made from `--help` by `make docs`. Everything is also reached as `python -m stream`.\n\n"
    "Exit codes: 0 all is well, 1 the input is wrong (the message says where), 2 the command line is, 3 a failure at "
    "run time; `diff` ends like diff(1): 0 nothing differs, 1 something does, 2 trouble. "
    "What machines read goes to standard output or into files, everything else to standard error. "
    "Settings: [configuration.md](configuration.md); definitions: [definitions.md](definitions.md).\n"
)
WIDTH = 100


def commands_page() -> str:
    """All of commands.md."""
    with click.Context(main, info_name="segstream") as context:
        return "\n".join([COMMANDS_INTRO, *_sections(main, context)])


def _sections(group: click.Group, context: click.Context) -> Iterator[str]:
    """The commands of a group, each group followed by its own."""
    for name in sorted(group.list_commands(context)):
        command = group.get_command(context, name)
        assert command is not None
        about = click.Context(command, info_name=name, parent=context, terminal_width=WIDTH)
        yield f"## {about.command_path}\n\n```text\n{command.get_help(about).rstrip()}\n```\n"
        if isinstance(command, click.Group):
            yield from _sections(command, about)


def settings_table() -> str:
    """The table of settings."""
    defaults = yaml.safe_load(describe(load_settings()))
    rows = ["| key | variable | default | meaning |", "|---|---|---|---|"]
    for setting in REFERENCE:
        value = defaults
        for name in setting.path:
            value = value[name]
        shown = "" if value in ([], {}) or setting.key == "topics.state" else f"`{value}`"
        rows.append(f"| `{setting.key}` | `{setting.variable}` | {shown} | {setting.doc} |")
    return "\n".join(rows) + "\n"


def configuration_page() -> str:
    """configuration.md with the table as it should be."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{settings_table()}\n{END}{after}"


def operator_rules() -> str:
    """The rules as the object that Prometheus' operator takes."""
    groups = []
    for name in ("recording.yml", "alerts.yml"):
        groups += yaml.safe_load((RULES / name).read_text(encoding="utf-8"))["groups"]
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "segstream"},
        "spec": {"groups": groups},
    }
    text = yaml.safe_dump(rule, sort_keys=False, allow_unicode=True, width=110)
    return f"# Made of deploy/prometheus/rules by `make docs`.\n{text}"


if __name__ == "__main__":
    COMMANDS.write_text(commands_page(), encoding="utf-8")
    CONFIGURATION.write_text(configuration_page(), encoding="utf-8")
    OPERATOR.write_text(operator_rules(), encoding="utf-8")
