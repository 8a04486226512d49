"""A segment change as a subscriber sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from stream.changes import SCHEMA
from stream.errors import RecordError
from stream.instants import parse_instant


class UnreadableChangeError(RecordError):
    """A record of the changes topic that is no change of a schema known here."""


class SegmentChange(msgspec.Struct, frozen=True):
    """What a worker published: `fields` is all of it, as docs/events.md describes it."""

    fields: dict[str, Any]
    source: str
    """The deployment that published it; `seq` counts within one."""

    @property
    def event_id(self) -> str:
        return str(self.fields["event_id"])

    @property
    def type(self) -> str:
        """entered, exited, moved, renewed or retracted."""
        return str(self.fields["type"])

    @property
    def segment(self) -> str:
        return str(self.fields["segment"]["key"])

    @property
    def value(self) -> str | None:
        """The tier of a ladder."""
        value: str | None = self.fields["segment"].get("value")
        return value

    @property
    def user(self) -> str:
        return str(self.fields["user"]["id"])

    @property
    def instance(self) -> str | None:
        """The `for_each` key of the membership, if it has one."""
        instance: str | None = self.fields.get("instance")
        return instance

    @property
    def seq(self) -> int:
        return int(self.fields["seq"])

    @property
    def effective_at(self) -> int:
        """Epoch ms."""
        return parse_instant(self.fields["effective_at"])

    @property
    def actionable(self) -> bool:
        """A messaging system may act on it: nothing in the definition's policy speaks against."""
        return bool(self.fields.get("policy", {}).get("actionable", True))

    @property
    def place(self) -> tuple[str, str, str]:
        """(source, user, segment): within it, seq rises by one."""
        return self.source, self.user, self.segment


def read_change(value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> SegmentChange:
    """A record of the changes topic. UnreadableChangeError if it is none."""
    try:
        fields = msgspec.json.decode(value or b"", type=dict[str, Any])
        change = SegmentChange(fields, (dict(headers).get("ce_source") or b"").decode())
        known = fields["schema"] == SCHEMA and bool(change.place) and change.seq > 0
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
        raise UnreadableChangeError("bad_change", f"this is no segment change: {error!r}") from error
    if not known:
        raise UnreadableChangeError("bad_schema", f"expected schema {SCHEMA!r}, found {fields['schema']!r}")
    return change
