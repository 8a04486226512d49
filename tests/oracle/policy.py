"""What may be done about a change, and what is attached to it. Neither has any influence on membership."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from hashlib import sha256
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tests.oracle import zones
from tests.oracle.expressions import duration
from tests.oracle.language import Definitions
from tests.oracle.moment import History
from tests.oracle.selection import Event, lines, read, trait
from tests.oracle.values import is_number

REASONS = ("cooldown", "cap", "holdout", "consent", "priority")
NEWEST = 64
FIELDS = ("name", "price", "category", "brand")

Policy = dict[str, Any]


class Entry:
    """An entry, move or renewal that was decided, as later ones remember it."""

    def __init__(self, kind: str, segment: str, instance: str | None, at: int) -> None:
        self.kind = kind
        self.segment = segment
        self.instance = instance
        self.at = at
        self.suppressed_by: list[str] = []

    @property
    def counts(self) -> bool:
        """A renewal neither starts a cooldown nor counts for a cap."""
        return self.kind != "renewed" and not self.suppressed_by


def judge(
    definitions: Definitions,
    user: str,
    history: History,
    past: list[Entry],
    entry: Entry,
    others: dict[tuple[str, str | None], int],
) -> Policy:
    """The policy of a new entry. `others` are the open memberships (ladders too) and when they took effect."""
    actions = definitions.subjects[entry.segment].actions
    own = [each for each in past if each.segment == entry.segment]
    acted = [each.at for each in own if each.counts]
    found = set()
    if "cooldown" in actions and acted and entry.at - max(acted) < duration(actions["cooldown"]):
        found.add("cooldown")
    if "cap" in actions:
        per = duration(actions["cap"]["per"])
        if sum(1 for at in acted if at > entry.at - per) >= actions["cap"]["n"]:
            found.add("cap")
    policy: Policy = {}
    if "holdout" in actions:
        control = fraction(actions["holdout"]["salt"], user) * 100 < actions["holdout"]["percent"]
        policy["variant"] = "control" if control else "treatment"
        if control:
            found.add("holdout")
    if "consent" in actions and trait(history.events, f"consent.{actions['consent']}") is not True:
        found.add("consent")
    if "group" in actions and outranked(definitions, past, entry, others):
        found.add("priority")
    entry.suppressed_by = [reason for reason in REASONS if reason in found]
    policy["suppressed_by"] = entry.suppressed_by
    policy["actionable"] = not found
    policy["entry"] = sum(1 for each in own if each.kind != "renewed") + (entry.kind != "renewed")
    policy["not_before"] = None
    if "quiet_hours" in actions:
        policy["not_before"] = quiet_until(actions["quiet_hours"], entry.at, zone_of(definitions, history))
    return policy


def fraction(salt: str, user: str) -> float:
    return int.from_bytes(sha256(f"{salt}\n{user}".encode()).digest()[:8], "big") / 2**64


def outranked(
    definitions: Definitions, past: list[Entry], entry: Entry, others: dict[tuple[str, str | None], int]
) -> bool:
    mine = definitions.subjects[entry.segment].actions
    for (segment, instance), effective_at in others.items():
        theirs = definitions.subjects[segment].actions
        if theirs.get("group") != mine["group"] or (segment, instance) == (entry.segment, entry.instance):
            continue
        rank = (-theirs["priority"], effective_at, segment, instance or "")
        if rank > (-mine["priority"], entry.at, entry.segment, entry.instance or ""):
            continue
        entries = [each for each in past if (each.segment, each.instance) == (segment, instance)]
        entries = [each for each in entries if each.kind != "renewed"]
        if entries and not entries[-1].suppressed_by:
            return True
    return False


def zone_of(definitions: Definitions, history: History) -> ZoneInfo:
    name = trait(history.events, "timezone")
    try:
        return ZoneInfo(name) if isinstance(name, str) and name else definitions.zone
    except (ZoneInfoNotFoundError, ValueError):
        return definitions.zone


def quiet_until(hours: list[str], instant: int, zone: ZoneInfo) -> int | None:
    """The end of the quiet hours that an instant lies in."""
    begin, end = (time.fromisoformat(text) for text in hours)
    local = zones.wall(instant, zone)
    quiet = begin <= local.time() < end if begin <= end else local.time() >= begin or local.time() < end
    if not quiet:
        return None
    day = local.date() if local.time() < end else local.date() + timedelta(days=1)
    return zones.start(datetime.combine(day, end), zone)


# attachments


def attachment(history: History, raw: dict[str, Any]) -> dict[str, Any]:
    """The lines of what was collected, less what was removed, since the last mark."""
    marks = [event.time for event in history.matched(raw["since"])[-NEWEST:]] if "since" in raw else []

    def current(selector: str) -> list[Event]:
        newest = history.matched(selector)[-NEWEST:]
        return [event for event in newest if not marks or event.time >= max(marks)]

    merged: dict[str, dict[str, Any]] = {}
    for event in current(raw["collect"]):
        here = []
        for line in products(event):
            product = line["product_id"]
            before = merged.pop(product, {"product_id": product, "quantity": 0})
            known = {name: line[name] for name in FIELDS if line.get(name) is not None}
            here.append({**before, **known, "quantity": before["quantity"] + line["quantity"]})
        # newest first in the end, so within an event the first line comes last here
        merged |= {line["product_id"]: line for line in reversed(here)}
    for event in current(raw["remove"]) if "remove" in raw else ():
        for line in products(event):
            if line["product_id"] in merged:
                merged[line["product_id"]]["quantity"] -= line["quantity"]
    left = [line for line in reversed(merged.values()) if line["quantity"] > 0]
    return {
        "count": len(left),
        "quantity": sum(line["quantity"] for line in left),
        "value": sum(line["price"] * line["quantity"] for line in left if is_number(line.get("price"))),
        "items": left[: raw.get("max", 20)],
    }


def products(event: Event) -> list[dict[str, Any]]:
    """The lines of an event that name a product: its `items`, else its own product fields."""
    found = lines(event)
    if found is None:
        found = [{name: read(event, name) for name in ("product_id", "quantity", *FIELDS)}]
    kept = [line for line in found if isinstance(line.get("product_id"), str)]
    return [{**line, "quantity": line["quantity"] if is_number(line.get("quantity")) else 1} for line in kept]
