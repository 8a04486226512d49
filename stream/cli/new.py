"""`segstream new`: the folder of a project of one's own, which checks and replays as it is."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

import click

from stream.cli.options import load_definitions
from stream.cli.packs import story_of, text_of
from stream.cli.tables import counted
from stream.packs import PREFIX
from stream.packs.scenario import Event

_FILES: Final = {
    "segstream.yaml": "segstream.yaml",
    "docker-compose.yml": "docker-compose.yml",
    "README.md": "README.md",
    "gitignore": ".gitignore",
}
"""What stands in `project/` → its name in the folder."""
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


class _Form(Template):
    """A file with `@name` in the places to fill; `$` belongs to shells and to compose."""

    delimiter = "@"


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--pack",
    "packs",
    multiple=True,
    metavar="NAME",
    default=("retail",),
    show_default=True,
    help="Segments to begin with; NAME?parameter=value sets parameters. May be given several times.",
)
@click.option("--app", metavar="NAME", help="The consumer group.  [default: the folder's name]")
def new(folder: Path, packs: tuple[str, ...], app: str | None) -> None:
    """Start a project of one's own in FOLDER: settings, definitions, a compose file, sample events.

    The definitions are copies of packs, to be edited; what NAME sets becomes their default. The sample is the packs'
    stories: a few people and what they do.

    \b
    Example:
      segstream new shop --pack 'retail?currency=USD' --pack voice
      segstream check shop/definitions/*.yaml
      segstream replay shop/events.jsonl --config shop/segstream.yaml --out changes.jsonl
    """
    names = [pack.partition("?")[0] for pack in packs]
    if len(set(names)) < len(names):
        raise click.UsageError("a pack is named twice; set all its parameters in one --pack, joined by &")
    if folder.exists() and any(folder.iterdir()):
        raise click.UsageError(f"{folder} is not empty; name a new folder")
    definitions = load_definitions([f"{PREFIX}{pack}" for pack in packs])  # says what does not go together
    app = app or _NO_NAME.sub("-", folder.resolve().name).strip("-._") or "segstream"
    if _NO_NAME.search(app):
        raise click.UsageError(
            f"--app {app}: topics are named after it; use letters, digits, `.`, `_` and `-`"
        )
    copies = [f"definitions/{name}.yaml" for name in names]
    texts = dict(zip(copies, map(text_of, packs), strict=True))
    project = re.sub(r"[^a-z0-9_-]", "-", app.lower()).strip("-_") or "segstream"  # compose allows no more
    fill = {"app": app, "project": project, "definitions": "\n".join(f"  - {copy}" for copy in copies)}
    forms = files("stream.cli") / "project"
    for form, target in _FILES.items():
        texts[target] = _Form((forms / form).read_text("utf-8")).substitute(fill)
    events = _sample(names)
    texts["events.jsonl"] = "".join(f"{json.dumps(event, ensure_ascii=False)}\n" for event in events)
    (folder / "definitions").mkdir(parents=True, exist_ok=True)
    for target, text in texts.items():
        (folder / target).write_text(text, "utf-8")
    parts = (
        (len(definitions.segments), "segment"),
        (len(definitions.ladders), "ladder"),
        (len(events), "event"),
    )
    told = ", ".join(counted(number, thing) for number, thing in parts)
    click.echo(f"{folder}: {told}. What is in it, and what to do next: {folder / 'README.md'}")


def _sample(names: list[str]) -> list[Event]:
    """The stories of packs as one log. Of several, each pack's people are told apart by its name: `voice.ann`."""
    if len(names) == 1:
        return story_of(names[0])
    events: list[Event] = []
    for name in names:
        for event in story_of(name):
            if "user_id" in event:
                event.update(id=f"{name}.{event['id']}", user_id=f"{name}.{event['user_id']}")
            events.append(event)
    events.sort(key=lambda event: str(event["time"]))
    return [event for event in events[:-1] if "user_id" in event] + events[-1:]
