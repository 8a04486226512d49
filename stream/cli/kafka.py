"""The commands that talk to Kafka: `run`, `topics`. What they need is imported when they run."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from stream.cli.options import config_option, read_settings, stderr


@click.command()
@config_option
def run(config_file: str | None) -> None:
    """Run the Kafka worker until it is told to stop (SIGINT, SIGTERM).

    Start as many as there are partitions, anywhere: they share the work.

    \b
    Example:
      segstream run --config segstream.yaml
    """
    from stream.runtime.kafka.app import run as run_worker

    raise click.exceptions.Exit(run_worker(read_settings(config_file)))


@click.command()
@config_option
@click.option("--create", is_flag=True, help="Create the topics that are missing.")
def topics(config_file: str | None, create: bool) -> None:
    """Compare the topics with what the settings need; what exists is never changed.

    Ends with 1 if the worker would refuse them.

    \b
    Example:
      segstream topics --config segstream.yaml --create
    """
    from stream.runtime.kafka.topics import check_topics, create_topics, plan_topics

    settings = read_settings(config_file)
    if create:
        for made in create_topics(settings):
            stderr.print(f"created {made.name}", highlight=False)
    findings = check_topics(settings)
    told: dict[str, list[str]] = {finding.topic: [] for finding in findings}
    for finding in findings:
        told[finding.topic].append(f"{finding.severity}: {finding.message}")
    table = Table("topic", "for", "state")
    for plan in plan_topics(settings):
        table.add_row(plan.name, plan.role.replace("_", " "), "\n".join(told.get(plan.name, ["as planned"])))
    Console(soft_wrap=True).print(table)
    if any(finding.severity == "error" for finding in findings):
        raise click.exceptions.Exit(1)
