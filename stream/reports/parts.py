"""Pieces of HTML that pages are made of. What comes from logs and definitions is escaped here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from zoneinfo import ZoneInfo

from stream.reports.pictures import CAUSES, Period


def page(title: str, about: str, body: Iterable[str]) -> str:
    """A whole document; `about` and `body` are HTML."""
    style = resources.files("stream.reports").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<header><h1>{escape(title)}</h1><p class="about">{about}</p></header>\n<main>\n'
        + "\n".join(body)
        + "\n</main>\n<footer>Made by segstream. Nothing in this page is fetched from anywhere.</footer>\n"
        + "</body>\n</html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str | tuple[str, str]]], caption: str) -> str:
    """A table; head and cells are HTML, a cell may come with a class: (class, cell)."""

    def cell(content: str | tuple[str, str], place: int) -> str:
        kind, shown = ("", content) if isinstance(content, str) else content
        if place == 0:
            return f'<th scope="row">{shown}</th>'
        return f'<td class="{kind}">{shown}</td>' if kind else f"<td>{shown}</td>"

    body = "".join(f"<tr>{''.join(cell(one, at) for at, one in enumerate(row))}</tr>\n" for row in rows)
    heads = "".join(f'<th scope="col">{name}</th>' for name in head)
    return (
        f'<div class="scroll"><table aria-label="{escape(caption)}"><thead><tr>{heads}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def figure(caption: str, note: str, svg: str) -> str:
    """A picture with its caption."""
    small = f" <small>{escape(note)}</small>" if note else ""
    return f"<figure><figcaption>{escape(caption)}{small}</figcaption>{svg}</figure>"


def card(content: Iterable[str], *, name: str = "", kind: str = "") -> str:
    """A box; `name` is where links lead."""
    anchor = f' id="{escape(name)}"' if name else ""
    return f'<section class="card{f" {kind}" if kind else ""}"{anchor}>' + "\n".join(content) + "</section>"


def cause_legend(causes: Iterable[str], is_comparison: bool) -> str:
    """What the colours of entries mean."""
    items = [
        f'<li><i style="background:{CAUSES[cause][0]}"></i>{escape(CAUSES[cause][1])}</li>'
        for cause in CAUSES
        if cause in set(causes)
    ]
    if is_comparison:
        items.append('<li><i class="before"></i>before (outline)</li>')
    return f'<ul class="legend" aria-label="Colours">{"".join(items)}</ul>'


def link(row: str) -> str:
    """A row's name, leading to its card."""
    return f'<a href="#{anchor(row)}">{escape(row)}</a>'


def anchor(row: str) -> str:
    """The name of a row's card."""
    return "row-" + "".join(letter if letter.isalnum() else "-" for letter in row)


def when(instant: int, period: Period) -> str:
    """An instant as people read it, in the zone of the page."""
    shown = period.local(instant)
    seconds = f"{shown:%S}" if shown.second else ""
    return f"{shown:%d %b %Y %H:%M}{':' if seconds else ''}{seconds}"


def span(period: Period) -> str:
    """From when to when, and whose days."""
    first, last = period.local(period.start), period.local(period.end)
    zone = period.zone.key if isinstance(period.zone, ZoneInfo) else "UTC"
    return f"{first:%d %b %Y} to {last:%d %b %Y}, days of {escape(zone)}"


def counted(number: int, thing: str, things: str | None = None) -> str:
    """`1 entry`, `1,200 entries`."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"
