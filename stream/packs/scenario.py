"""Events as people write them: a time, a user, a type, and what else there is as JSON.

    # Mia puts two shirts into the cart and goes to bed.
    shirt = {"product_id": "shirt", "category": "shirts", "price": 29.9}
    11-02 21:00  mia: product_added    {"items": [@shirt]}
    11-03 09:00  mia: page_viewed      ×3 every 10m
    11-05 00:00  clock_advanced

A line without a day is of the day of the line before it, the first line of Monday, 2 November 2026. Times are UTC.
`×3 every 10m` at the end repeats an event; `#` in its JSON is the number of the repetition, from 0. `NAME = JSON` gives
`@NAME` a meaning in the lines below; lines that start with `#` are for people.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from stream.durations import parse_duration
from stream.instants import format_instant, parse_instant

FIRST_DAY: Final = "2026-11-02"
_TIME = re.compile(r"(?:((?:\d{4}-)?\d\d-\d\d)\s+)?(\d\d:\d\d(?::\d\d(?:\.\d{3})?)?)(?=\s|$)\s*")
_REPEAT = re.compile(r"\s+×(\d+) every (\w+)\s*$")
_USER = re.compile(r"([\w-]+):\s+")
_MEANING = re.compile(r"([A-Za-z_]\w*)\s*=\s*(.+)")
Event = dict[str, Any]


@dataclass
class Days:
    """The day that lines without one are of."""

    day: str = FIRST_DAY

    def read(self, text: str) -> tuple[str, str]:
        """(RFC 3339, the rest) of a line that starts with a time; ValueError if it does not."""
        match = _TIME.match(text)
        if match is None:
            raise ValueError(f"a line starts with a time like 09:00 or 11-03 09:00, not like this: {text!r}")
        if match[1] is not None:
            self.day = match[1] if len(match[1]) > 5 else f"{self.day[:5]}{match[1]}"
        return self.instant(match[2]), text[match.end() :]

    def instant(self, clock: str) -> str:
        """RFC 3339 of a time of the day."""
        clock += ":00" if len(clock) == 5 else ""
        return f"{self.day}T{clock}{'' if '.' in clock else '.000'}Z"


def split_user(text: str) -> tuple[str | None, str]:
    """(user, the rest) of what stands behind the time."""
    user = _USER.match(text)
    return (user[1], text[user.end() :]) if user else (None, text)


def read_line(line: str, days: Days) -> Iterator[Event]:
    """The events of one line, without ids. ValueError says what is no event."""
    time, rest = days.read(line)
    user, rest = split_user(rest)
    repeat = _REPEAT.search(rest)
    rest = rest[: repeat.start()] if repeat else rest
    type_, _, more = rest.strip().partition(" ")
    for index in range(int(repeat[1]) if repeat else 1):
        start = parse_instant(time) + (index * parse_duration(repeat[2]) if repeat else 0)
        event: Event = {"type": type_, "time": format_instant(start)}
        if type_ != "clock_advanced":
            event["user_id"] = user or "u1"
        try:
            event.update(json.loads(more.replace("#", str(index))) if more else {})
        except ValueError as error:
            raise ValueError(f"no JSON in {line!r}: {error}") from None
        received = event.get("received_at")
        if received is not None and "T" not in received:
            event["received_at"] = days.instant(received)
        yield event


def read_scenario(text: str) -> list[Event]:
    """All events of a scenario in the order of their times, whatever the order in which the stories are told.

    Their ids count per user: `mia-1`, `mia-2`, … in the order of the lines.
    """
    days, numbers, events = Days(), Counter[str](), []
    for line in _spelled_out(text.splitlines()):
        for event in read_line(line, days):
            if "user_id" in event:
                user = event["user_id"]
                numbers[user] += 1
                event.setdefault("id", f"{user}-{numbers[user]}")
            events.append(event)
    return sorted(events, key=lambda event: parse_instant(event["time"]))


def _spelled_out(lines: Iterable[str]) -> Iterator[str]:
    """Lines with events, every `@NAME` replaced by what it means."""
    meanings: dict[str, str] = {}

    def meaning(match: re.Match[str]) -> str:
        if match[1] not in meanings:
            raise ValueError(f"@{match[1]} has no meaning yet; say `{match[1]} = …` above")
        return meanings[match[1]]

    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        said = re.sub(r"@(\w+)", meaning, line)
        if match := _MEANING.fullmatch(said.strip()):
            meanings[match[1]] = match[2]
        else:
            yield said
