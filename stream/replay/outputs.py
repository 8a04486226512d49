"""Segment changes as entries into and exits from rows: a row is a segment, or one tier of a ladder.

A ladder's `moved` is an exit from one row and an entry into another. So segments and ladders are counted, drawn and
compared alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from stream.changes import SCHEMA, Change
from stream.instants import parse_instant
from stream.replay.logs import Log, LogError
from stream.replay.spool import Spool

ENTERS, LEAVES, RENEWS = "enters", "leaves", "renews"


class Move(NamedTuple):
    """One entry, exit or renewal."""

    at: int
    row: str
    user: str
    instance: str | None
    what: str
    """ENTERS, LEAVES or RENEWS."""
    type: str
    """The change's own type: entered, moved, exited, retracted, renewed."""
    cause: str
    change: Change


class _Segment(msgspec.Struct, gc=False):
    key: str
    kind: str = "segment"
    value: str | None = None
    previous: str | None = None


class _User(msgspec.Struct, gc=False):
    id: str


class _Told(msgspec.Struct, gc=False):
    """What is needed of a change's value."""

    schema: str
    event_id: str
    type: str
    segment: _Segment
    user: _User
    seq: int
    effective_at: str
    cause: str
    instance: str | None = None


_decode = msgspec.json.Decoder(_Told).decode


def tier_row(ladder: str, tier: str) -> str:
    """The name of a tier's row."""
    return f"{ladder}: {tier}"


def moves(changes: Iterable[Change]) -> Iterator[Move]:
    """What changes mean for rows, in their order."""
    for change in changes:
        told = _decode(change.value)
        segment = told.segment
        if segment.kind != "ladder":
            what = {"entered": ENTERS, "renewed": RENEWS}.get(change.type, LEAVES)
            yield _move(change, change.segment, what)
            continue
        if segment.previous is not None:
            yield _move(change, tier_row(change.segment, segment.previous), LEAVES)
        if segment.value is not None:
            yield _move(change, tier_row(change.segment, segment.value), ENTERS)


def _move(change: Change, row: str, what: str) -> Move:
    return Move(
        change.effective_at, row, change.user, change.instance, what, change.type, change.cause, change
    )


def read_output(path: str) -> Spool:
    """Changes from a file, in the order of a replay's output: what replay wrote, or a changes topic that was recorded.

    Repeats, which a topic may hold, are dropped. LogError names the line that is no segment change.
    """
    spool, unique = Spool(), Spool()
    for record in Log(path).records():
        try:
            if record.error is not None:
                raise ValueError(record.error.message)
            spool.add((_change(record.raw or b""),))
        except (ValueError, msgspec.MsgspecError) as error:
            raise LogError(
                f"{path}:{record.line}: expected a segment change, as `segstream replay` writes it: {error}"
            ) from None
    last: tuple[Any, ...] | None = None
    for change in spool:
        if change.sort_key != last:
            unique.add((change,))
        last = change.sort_key
    return unique


def _change(value: bytes) -> Change:
    told = _decode(value)
    if told.schema != SCHEMA:
        raise ValueError(f"schema {told.schema}, not {SCHEMA}")
    return Change(
        user=told.user.id,
        segment=told.segment.key,
        instance=told.instance,
        seq=told.seq,
        type=told.type,
        cause=told.cause,
        effective_at=parse_instant(told.effective_at),
        event_id=told.event_id,
        value=value,
    )
