"""Nodes of a file → `actions` and `attach`: what may be done about a membership, and what is told with it."""

from __future__ import annotations

import re

import yaml

from stream.definitions.model import Actions, Collection, QuietHours
from stream.definitions.nodes import Fields, NodeReader

_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_ACTIONS = ("cooldown", "cap", "holdout", "consent", "quiet_hours", "priority", "group")


class ActionReader(NodeReader):
    """Reads the actions and attachments of a segment or ladder; what is wrong in them is reported and left out."""

    def actions(self, fields: Fields) -> Actions:
        """What `actions:` says."""
        if "actions" not in fields:
            return Actions()
        source = self._source
        given = source.fields(fields["actions"][1], "`actions`", _ACTIONS)
        if given is None:
            return Actions()
        if ("group" in given) != ("priority" in given):
            present = "group" if "group" in given else "priority"
            source.error(given[present][0], "`priority` and `group` go together: give both")
        return Actions(
            self.optional_duration(given, "cooldown"),
            self._cap(given["cap"][1]) if "cap" in given else None,
            self._holdout(given["holdout"][1]) if "holdout" in given else None,
            self.optional_text(given, "consent"),
            self._quiet_hours(given["quiet_hours"][1]) if "quiet_hours" in given else None,
            self.optional_integer(given, "priority", 0),
            self.optional_text(given, "group"),
        )

    def _cap(self, node: yaml.Node) -> tuple[int, int] | None:
        fields = self._both(node, "cap", ("n", "per"), "{n: 3, per: 7d}")
        n = self.optional_integer(fields, "n", 1)
        per = self.optional_duration(fields, "per")
        return None if n is None or per is None else (n, per)

    def _holdout(self, node: yaml.Node) -> tuple[float, str] | None:
        fields = self._both(node, "holdout", ("percent", "salt"), "{percent: 10, salt: spring-2026}")
        percent = None
        if "percent" in fields:
            percent = self._source.number(fields["percent"][1], "percent", 0, 100)
        salt = self.optional_text(fields, "salt")
        return None if percent is None or salt is None else (percent, salt)

    def _both(self, node: yaml.Node, name: str, keys: tuple[str, str], example: str) -> Fields:
        """The fields of a mapping that needs both of its keys."""
        fields = self._source.fields(node, f"`{name}`", keys)
        if fields is None:
            return {}
        if len(fields) < 2:
            self._source.error(node, f"`{name}` needs `{keys[0]}:` and `{keys[1]}:`, like {example}")
        return fields

    def _quiet_hours(self, node: yaml.Node) -> QuietHours | None:
        items = self._source.items(node, "quiet_hours", "[22:00, 08:00]")
        if items is None:
            return None
        minutes = []
        for item in items:
            text = self._source.text(item, "quiet_hours")
            match = None if text is None else _CLOCK.fullmatch(text)
            if match is not None:
                minutes.append(int(match[1]) * 60 + int(match[2]))
            elif text is not None:
                padded = f"0{text}" if re.fullmatch(r"\d:\d\d", text) else ""
                hint = f"; did you mean `{padded}`?" if _CLOCK.fullmatch(padded) else ""
                self._source.error(item, f"`{text}` is no time of day like 22:00{hint}")
        if len(minutes) != len(items):
            return None
        if len(minutes) != 2 or minutes[0] == minutes[1]:
            self._source.error(node, "quiet_hours takes a start and an end that differ: [22:00, 08:00]")
            return None
        return QuietHours(*minutes)

    def attachments(self, fields: Fields) -> tuple[Collection, ...]:
        """What `attach:` says."""
        if "attach" not in fields:
            return ()
        source = self._source
        found = []
        for name, (key, node) in (source.fields(fields["attach"][1], "`attach`", None) or {}).items():
            given = source.fields(node, f"attachment `{name}`", ("collect", "since", "remove", "max"))
            if given is None:
                continue
            if "collect" not in given:
                message = f"attachment `{name}` needs `collect:`, the selector whose lines are collected"
                source.error(key, message)
                continue
            collect = self.optional_reference(given, "collect")
            since, remove = self.optional_reference(given, "since"), self.optional_reference(given, "remove")
            most = self.optional_integer(given, "max", 1)
            if collect is not None:
                found.append(Collection(name, collect, since, remove, most or 20, source.place(key)))
        return tuple(found)
