"""The commands that talk to Kafka: run, topics, record, produce. What they need is imported when they run."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from stream.cli.options import INSTANT, config_option, keep_apart, read_settings, stderr, writing
from stream.cli.progress import counting_progress, reading_progress
from stream.cli.tables import counted
from stream.ingest import DeadLetter, load_mapping

topic_option = click.option(
    "--topic", metavar="TOPIC", help="Which.  [default: the events topic of the settings]"
)


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
def ingest(config_file: str | None) -> None:
    """Run the ingest stage of `sources` in a process of its own, until it is told to stop (SIGINT, SIGTERM).

    It reads the topics of `sources`, each by its mapping, and writes canonical events to the events topic, keyed by
    user. With `ingest: worker`, the default, workers do this themselves.

    \b
    Example:
      segstream ingest --config segstream.yaml
    """
    from stream.runtime.kafka.ingest_app import run_ingest

    raise click.exceptions.Exit(run_ingest(read_settings(config_file)))


@click.command()
@config_option
@click.option("--create", is_flag=True, help="Create the topics that are missing.")
@click.option(
    "--repair-members",
    is_flag=True,
    help="Write the newest change of each membership again where an older one stands last in the members topic.",
)
def topics(config_file: str | None, create: bool, repair_members: bool) -> None:
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
    if repair_members:
        from stream.runtime.kafka.members import repair_members as repair

        repaired = counted(repair(settings), "membership")
        stderr.print(f"{repaired} put right in {settings.topics.members}", highlight=False)
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


@click.command()
@config_option
@topic_option
@click.option("--out", required=True, metavar="FILE", help="The log; .gz and .zst are packed.")
@click.option("--from", "start", type=INSTANT, help="Only records from this time on.")
@click.option("--to", "stop", type=INSTANT, help="Only records before this time.")
def record(config_file: str | None, topic: str | None, out: str, start: int | None, stop: int | None) -> None:
    """Write a topic, as long as it is now, to a log that replay reads: values, keys, headers, timestamps, offsets.

    --from and --to go by Kafka's timestamps.

    \b
    Example:
      segstream record --topic events --from 2026-11-01T00:00:00Z --out november.jsonl.zst
    """
    from stream.runtime.kafka.logs import record as record_topic

    settings = read_settings(config_file)
    topic = topic or settings.topics.events
    with counting_progress(topic) as progress:
        done = record_topic(settings, topic, Path(out), start=start, stop=stop, progress=progress)
    stderr.print(f"{counted(done, 'record')} of {topic} in {out}", highlight=False)


@click.command()
@click.argument("log")
@config_option
@topic_option
@click.option("--mapping", metavar="NAME|FILE", help="Turns rows into canonical events on the way.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="At most so many records a second.")
@click.option(
    "--speed", type=click.FloatRange(0, min_open=True), help="The log's own pace, so many times faster."
)
@click.option(
    "--close",
    type=INSTANT,
    help="End with a clock_advanced in each partition: all that is due by then fires.",
)
@click.option("--dead-letters", metavar="FILE", help="Records that the mapping cannot read.")
def produce(
    log: str,
    config_file: str | None,
    topic: str | None,
    mapping: str | None,
    rate: float | None,
    speed: float | None,
    close: int | None,
    dead_letters: str | None,
) -> None:
    """Send a log to a topic; the Kafka timestamp is the recorded one, else received_at, else the event's time.

    Recorded headers go along, and clock_advanced records go to every partition. What --mapping cannot read is counted
    and left out.

    \b
    Example:
      segstream produce shop.jsonl --topic events --speed 60
    """
    from stream.runtime.kafka.produce import produce as produce_log

    keep_apart((log, mapping, config_file), dead_letters)
    settings = read_settings(config_file)
    topic = topic or settings.topics.events
    compiled = load_mapping(mapping) if mapping else None
    with ExitStack() as files:
        letters = files.enter_context(writing(dead_letters)) if dead_letters else None

        def keep(letter: DeadLetter) -> None:
            if letters is not None:
                letters.write(letter.to_json() + b"\n")

        progress = files.enter_context(reading_progress([log]))
        produced = produce_log(
            settings,
            log,
            topic,
            mapping=compiled,
            rate=rate,
            speed=speed,
            close=close,
            on_dead_letter=keep,
            on_warning=lambda told: stderr.print(f"warning: {told}", highlight=False, soft_wrap=True),
            progress=progress,
        )
    told = f"{counted(produced.records, 'record')} of {log} in {topic}"
    if produced.refused:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in produced.refused.most_common())
        told += f"; {counted(produced.refused.total(), 'record')} left out ({reasons})"
    stderr.print(told, highlight=False, soft_wrap=True)
