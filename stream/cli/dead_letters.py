"""`segstream dead-letters`: records that could not be read, why, and what becomes of them after a fix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

import click

from stream.cli.options import INSTANT, config_option, keep_apart, read_settings, stderr, writing
from stream.cli.tables import counted
from stream.errors import OperatorError, RecordError
from stream.ingest import DeadLetter, Ingest, load_mapping
from stream.ingest.rows import Rows
from stream.replay import Log


class LettersError(OperatorError):
    """A file that holds no dead letters."""

    exit_code = 1


@click.command("dead-letters")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@config_option
@click.option("--reason", metavar="CODE", help="Only those with this reason.")
@click.option("--from", "start", type=INSTANT, help="Only those that reached the topic from this time on.")
@click.option("--to", "stop", type=INSTANT, help="Only those that reached it before this time.")
@click.option("--list", "show", is_flag=True, help="Each one as a line of JSON.")
@click.option("--resubmit", is_flag=True, help="Send back what can be read by now.")
@click.option("--again", is_flag=True, help="Also those of the topic that were re-submitted already.")
@click.option("--mapping", metavar="NAME|FILE", help="How records of files are read.  [default: canonical]")
@click.option("--out", default="-", show_default=True, metavar="FILE", help="Events of re-submitted files.")
def dead_letters(
    files: tuple[str, ...],
    config_file: str | None,
    reason: str | None,
    start: int | None,
    stop: int | None,
    show: bool,
    resubmit: bool,
    again: bool,
    mapping: str | None,
    out: str,
) -> None:
    """Show records that could not be read, by reason, and re-submit them once they can.

    Without FILE they are read from the dead-letter topic of the settings; FILE is what `--dead-letters` of another
    command wrote. With --resubmit, records of topics go back to the topic they came from, as they were; those of files
    become events, for a replay of their own. What still cannot be read is told and stays; what was sent back is not
    shown and not sent again, unless with --again. Should a record be re-submitted twice after all, its events have
    the same ids and count once.

    \b
    Example:
      segstream dead-letters --config segstream.yaml --reason bad_time --resubmit
    """
    letters: Iterable[DeadLetter]
    passed: Callable[[], int] = int
    keep_apart((*files, mapping, config_file), out)
    if files:
        if start is not None or stop is not None or again:
            raise click.UsageError("--from, --to and --again are about the topic: leave FILE out")
        letters = _of_files(files)
    else:
        from stream.runtime.kafka.deadletters import Letters

        of_topic = Letters(read_settings(config_file), start, stop, again=again)
        letters, passed = of_topic, lambda: of_topic.passed
    chosen = (letter for letter in letters if reason in (None, letter.reason))
    if resubmit:
        if files:
            _to_events(chosen, mapping or "canonical", out)
        else:
            _to_topics(chosen, config_file)
    elif show:
        for letter in chosen:
            click.echo(letter.to_json())
    else:
        _print(chosen)
    if passed() and not show:
        stderr.print(f"{counted(passed(), 'dead letter')} re-submitted before (--again)", highlight=False)


def _of_files(files: Iterable[str]) -> Iterator[DeadLetter]:
    for name in files:
        for record in Log(name).records():
            try:
                yield DeadLetter.from_json(record.raw or b"")
            except ValueError as error:
                raise LettersError(f"{name}:{record.line}: {error}") from None


def _print(letters: Iterable[DeadLetter]) -> None:
    """How many of each reason and source, with the last one as an example."""
    counts: Counter[tuple[str, str]] = Counter()
    newest: dict[tuple[str, str], DeadLetter] = {}
    for letter in letters:
        group = (letter.reason, _source(letter))
        counts[group] += 1
        newest[group] = letter
    for (reason, source), count in counts.most_common():
        letter = newest[reason, source]
        click.echo(f"{count:>9,}  {reason:<14}{source}  {_place(letter)}: {letter.message}")
    stderr.print(counted(counts.total(), "dead letter"), highlight=False)


def _source(letter: DeadLetter) -> str:
    place = letter.coordinates
    return str(place.get("topic") or place.get("file") or "?")


def _place(letter: DeadLetter) -> str:
    place = letter.coordinates
    return f"line {place['line']}" if "line" in place else f"{place.get('partition')}:{place.get('offset')}"


def _to_topics(letters: Iterable[DeadLetter], config_file: str | None) -> None:
    from stream.runtime.kafka.deadletters import Resubmission

    resubmission = Resubmission(read_settings(config_file))
    refused = Counter(error.reason for _, error in map(_tell, resubmission.send(letters)))
    _summarise(resubmission.sent, "record", refused)


def _to_events(letters: Iterable[DeadLetter], mapping: str, out: str) -> None:
    compiled = load_mapping(mapping)
    ingest = Ingest(compiled)
    refused: Counter[str] = Counter()
    sent = 0
    with ExitStack() as files:
        to = files.enter_context(writing(out))
        for letter in letters:
            try:
                row = None
                if "columns" in letter.coordinates:
                    delimiter = compiled.rows.delimiter if compiled.rows else None
                    tab = str(letter.coordinates.get("file", "")).endswith(".tsv")
                    rows = Rows(delimiter or ("\t" if tab else ","), tuple(letter.coordinates["columns"]))
                    row = rows.cut(letter.raw)
                made = ingest.canonical(letter.raw, row=row, origin=letter)
            except RecordError as error:
                refused[error.reason] += 1
                _tell((letter, error))
            else:
                sent += len(made)
                to.writelines(value + b"\n" for _, value in made)
    _summarise(sent, "event", refused)


def _tell(refused: tuple[DeadLetter, RecordError]) -> tuple[DeadLetter, RecordError]:
    letter, error = refused
    stderr.print(
        f"{_source(letter)}, {_place(letter)}: still {error}", markup=False, highlight=False, soft_wrap=True
    )
    return refused


def _summarise(sent: int, what: str, refused: Counter[str]) -> None:
    told = f"{counted(sent, what)} re-submitted"
    if refused:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in refused.most_common())
        told += f"; {counted(refused.total(), 'record')} still cannot be read ({reasons})"
    stderr.print(told, highlight=False, soft_wrap=True)
