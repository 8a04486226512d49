"""One definitions file → unchecked model: the shape of the file, not yet the meaning of its names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, cast

import yaml

from stream.definitions.actions import ActionReader
from stream.definitions.conditions import ConditionReader
from stream.definitions.model import (
    AGGREGATES,
    LIFETIME,
    Feature,
    Formula,
    Ladder,
    Place,
    Reference,
    Segment,
    Selector,
    Tier,
    Window,
)
from stream.definitions.nodes import Entry, Fields, NodeReader
from stream.definitions.parameters import Given, Parameters
from stream.definitions.source import Source, listing
from stream.definitions.zones import find_zone
from stream.durations import format_duration

NEED_FIELD = {"sum", "mean", "min", "max", "first_value", "last_value", "distinct"}
TAKE_FIELD = NEED_FIELD | {"share", "top"}
NEED_KEYS = {"share", "top"}
WINDOWS = ("last", "between", "calendar", "session", "since", "half_life")
PERIODS = ("hour", "day", "week", "month", "year")
SECTIONS = ("events", "features", "segments", "ladders")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = {"and", "or", "not", "in", "true", "false", "null", "traits", "segment", "ladder", "none"}
_COMMON = ("description", "version", "announce", "actions", "attach")
_SELECTOR = ("type", "where")
_FEATURE = (*AGGREGATES, "formula", *WINDOWS, "by", "min_n", "max_keys", "assume_covered")
_SEGMENT = ("when", "exit", "ttl", "min_dwell", "for_each", "renew", "anchor", *_COMMON)
_LADDER = ("tiers", "demote_after", *_COMMON)
_TIER = ("name", "when", "from", "ttl")
MAX_KEYS = 100


class FileReader(NodeReader):
    """Reads one file; what it finds stands in `selectors`, `features`, `segments` and `ladders`."""

    def __init__(self, source: Source) -> None:
        super().__init__(source, Parameters(source))
        self._conditions = ConditionReader(source, self._parameters)
        self._actions = ActionReader(source, self._parameters)
        self._timezone = "UTC"
        self._assume_covered = False
        self.selectors: list[Selector] = []
        self.features: list[Feature] = []
        self.formulas: list[Formula] = []
        self.segments: list[Segment] = []
        self.ladders: list[Ladder] = []
        self.declared: dict[str, set[str]] = {section: set() for section in SECTIONS}
        """Names that each section gives, those of broken definitions too."""
        self.unread: set[str] = set()
        """Sections of which not even the names could be read."""
        self.incomplete: set[str] = set()
        """Ladders of which not all tiers could be read."""

    @property
    def parameters(self) -> Parameters:
        """What the file leaves to those who use it."""
        return self._parameters

    def read(self, text: str, given: Mapping[str, Given] | None = None) -> None:
        """Reads the text of the file; `given` are values for its parameters."""
        source = self._source
        root = source.compose(text)
        if root is None:
            if not source.failed:
                source.problems.error(Place(source.file, 1, 1), "the file is empty; start with `version: 1`")
            self.unread.update(SECTIONS)
            return
        fields = source.fields(
            root, "a definitions file", ("version", "timezone", "assume_covered", "parameters", *SECTIONS)
        )
        if fields is None:
            self.unread.update(SECTIONS)
            return
        declared = fields.pop("parameters", None)
        self._parameters.read(None if declared is None else declared[1], given or {})
        fields = {name: (key, self._parameters.fill(value)) for name, (key, value) in fields.items()}
        if "version" not in fields:
            source.error(root, "`version: 1` is missing at the top of the file")
        elif source.text(fields["version"][1], "version") not in ("1", None):
            source.error(fields["version"][1], "this release reads `version: 1` only")
        if "timezone" in fields:
            self._timezone = find_zone(source, fields["timezone"][1]) or "UTC"
        self._assume_covered = self.flag(fields, "assume_covered")
        for name, key, value in self._named(fields, "events"):
            if selector := self._selector(name, key, value):
                self.selectors.append(selector)
        for name, key, value in self._named(fields, "features"):
            feature = self._feature(name, key, value)
            if isinstance(feature, Formula):
                self.formulas.append(feature)
            elif feature is not None:
                self.features.append(feature)
        for name, key, value in self._named(fields, "segments"):
            if segment := self._segment(name, key, value):
                self.segments.append(segment)
        for name, key, value in self._named(fields, "ladders"):
            if ladder := self._ladder(name, key, value):
                self.ladders.append(ladder)
        self._parameters.warn_of_unused()

    # --- names and scalars -------------------------------------------------------------------------------------------

    def _named(self, fields: Fields, section: str) -> list[tuple[str, yaml.Node, yaml.Node]]:
        if section not in fields:
            return []
        node = fields[section][1]
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
            return []  # a heading with nothing below it yet
        entries = self._source.fields(node, f"`{section}`", None)
        if entries is None:
            self.unread.add(section)
            return []
        good = []
        for name, (key, value) in entries.items():
            self.declared[section].add(name)
            if not _NAME.fullmatch(name):
                plain = re.sub(r"\W+", "_", name).strip("_")
                hint = f"; did you mean `{plain}`?" if _NAME.fullmatch(plain) else ""
                message = f"`{name}` is no name: use letters, digits and _, not starting with a digit{hint}"
                self._source.error(key, message)
            elif name in _RESERVED:
                self._source.error(key, f"`{name}` is a word of the language; choose another name")
            else:
                good.append((name, key, value))
        return good

    # --- selectors and features --------------------------------------------------------------------------------------

    def _selector(self, name: str, key: yaml.Node, node: yaml.Node) -> Selector | None:
        source = self._source
        fields = source.fields(node, f"selector `{name}`", _SELECTOR, "{{type: {}}}")
        if fields is None:
            return None
        found: list[str | None] = []
        if "type" not in fields:
            message = f"selector `{name}` needs a `type:`, one event type, a list of them, or '*'"
            source.lacks(key, node, _SELECTOR, message)
        else:
            types = fields["type"][1]
            nodes = types.value if isinstance(types, yaml.SequenceNode) else [types]
            found = [source.text(item, "type") for item in nodes]
            if not found:
                source.error(types, "`type` names no event type")
            if "" in found:
                source.error(types, "`type` must name an event type, like product_viewed")
        where = self.expression(fields["where"][1], "where") if "where" in fields else None
        named = tuple(dict.fromkeys(one for one in found if one))
        return Selector(name, None if "*" in named else named, where, self._timezone, source.place(key))

    def _feature(self, name: str, key: yaml.Node, node: yaml.Node) -> Feature | Formula | None:
        source = self._source
        fields = source.fields(node, f"feature `{name}`", _FEATURE, "{{count: {}}}, for example")
        if fields is None:
            return None
        if "formula" in fields:
            return self._formula(name, key, fields)
        aggregates = [aggregate for aggregate in AGGREGATES if aggregate in fields]
        window = self._window(name, fields)
        by = self.optional_field(fields, "by")
        min_n = self.optional_integer(fields, "min_n", 1)
        max_keys = self.optional_integer(fields, "max_keys", 1)
        if "max_keys" in fields and "by" not in fields:
            at = source.place(fields["max_keys"][0])
            source.problems.warn(at, "`max_keys` bounds the keys of `by:`, and there is no `by` here")
        covered = self.flag(fields, "assume_covered") if "assume_covered" in fields else self._assume_covered
        if len(aggregates) != 1:
            what = f"has {listing(aggregates)}" if aggregates else "has no aggregate"
            message = f"feature `{name}` {what}; give exactly one of {', '.join(AGGREGATES)}"
            source.lacks(key, node, _FEATURE, message)
            return None
        aggregate = aggregates[0]
        target = fields[aggregate][1]
        text = source.text(target, aggregate)
        if text is None:
            return None
        selector, _, field = text.partition(".")
        at = source.place(target)
        if aggregate in NEED_FIELD and not field:
            message = (
                f"`{aggregate}` needs a field of the event: `{aggregate}: {selector}.value`, for example"
            )
            source.problems.error(at, message)
        if field and aggregate not in TAKE_FIELD:
            message = f"`{aggregate}` takes a selector without a field: `{aggregate}: {selector}`"
            source.problems.error(at, message)
        if aggregate in NEED_KEYS and "by" not in fields:
            source.error(key, f"`{aggregate}` needs `by:`, the field whose values are compared")
        return Feature(
            name, aggregate, Reference(selector, at), field or None, window, by, min_n or 0, max_keys or MAX_KEYS,
            covered, self._timezone, source.place(key),
        )  # fmt: skip

    def _formula(self, name: str, key: yaml.Node, fields: Fields) -> Formula | None:
        for other, (other_key, _) in fields.items():
            if other != "formula":
                message = f"a formula stands alone; `{other}` belongs to the features that it is made of"
                self._source.error(other_key, message)
        expression = self.expression(fields["formula"][1], "formula")
        return None if expression is None else Formula(name, expression, self._source.place(key))

    def _window(self, name: str, fields: dict[str, Entry]) -> Window:
        """The window of a feature; lifetime in the place of one that cannot be read."""
        given = [window for window in WINDOWS if window in fields]
        if not given:
            return LIFETIME
        if len(given) > 1:
            message = f"feature `{name}` has several windows, {listing(given)}; keep one"
            self._source.error(fields[given[1]][0], message)
        window, node = given[0], fields[given[0]][1]
        if window == "calendar":
            period = self._source.choice(node, "calendar", PERIODS)
            return LIFETIME if period is None else Window("calendar", period=period)
        if window == "since":
            since = self.reference(node, "since")
            return LIFETIME if since is None else Window("since", since=since)
        if window == "between":
            return self._between(node)
        length = self._source.duration(node, window)
        if length is None:
            return LIFETIME
        return Window(cast(Literal["last", "session", "half_life"], window), length)

    def _between(self, node: yaml.Node) -> Window:
        items = self._source.items(node, "between")
        lengths = [self._source.duration(item, "between") for item in items or ()]
        if items is None or None in lengths:
            return LIFETIME
        if len(items) != 2 or cast(int, lengths[0]) <= cast(int, lengths[1]):
            found = ", ".join(item.value for item in cast(list[yaml.ScalarNode], items))
            message = f"between takes two durations, the longer first, like [60d, 30d], not [{found}]"
            self._source.error(node, message)
            return LIFETIME
        return Window("between", cast(int, lengths[0]), cast(int, lengths[1]))

    # --- segments and ladders ----------------------------------------------------------------------------------------

    def _segment(self, name: str, key: yaml.Node, node: yaml.Node) -> Segment | None:
        source = self._source
        fields = source.fields(node, f"segment `{name}`", _SEGMENT, '{{when: "{}"}}')
        if fields is None:
            return None
        ttl, dwell = self.optional_duration(fields, "ttl"), self.optional_duration(fields, "min_dwell")
        if ttl is not None and dwell is not None and dwell > ttl:
            message = (
                f"min_dwell ({format_duration(dwell)}) is longer than ttl ({format_duration(ttl)}): the membership "
                "would outlive itself"
            )
            source.error(fields["min_dwell"][1], message)
        for_each, anchor = self.optional_field(fields, "for_each"), self.optional_reference(fields, "anchor")
        renew = self.flag(fields, "renew")
        actions, attach = self._actions.actions(fields), self._actions.attachments(fields)
        description, version, announce = self._common(fields)
        exit_ = self._conditions.condition(fields["exit"][1], "exit", True) if "exit" in fields else None
        if "when" not in fields:
            message = f"segment `{name}` needs `when:`, the condition for entering"
            source.lacks(key, node, _SEGMENT, message)
            return None
        when = self._conditions.condition(fields["when"][1], "when")
        return Segment(
            name, description, when, exit_, ttl, dwell or 0, for_each, renew, anchor, version, announce, actions,
            attach, self._assume_covered, self._timezone, source.place(key),
        )  # fmt: skip

    def _ladder(self, name: str, key: yaml.Node, node: yaml.Node) -> Ladder | None:
        source = self._source
        fields = source.fields(node, f"ladder `{name}`", _LADDER)
        if fields is None:
            return None
        demote_after = self.optional_duration(fields, "demote_after")
        actions, attach = self._actions.actions(fields), self._actions.attachments(fields)
        description, version, announce = self._common(fields)
        if "tiers" not in fields:
            source.lacks(key, node, _LADDER, f"ladder `{name}` needs `tiers:`, a list, the highest first")
            return None
        nodes = source.items(fields["tiers"][1], "tiers")
        if nodes is None:
            return None
        if not nodes:
            source.error(fields["tiers"][1], f"ladder `{name}` needs at least one tier")
            return None
        read = [self._tier(item) for item in nodes]
        tiers = tuple(tier for tier in read if tier is not None)
        seen: dict[str, Tier] = {}
        for tier in tiers:
            if tier.name in seen:
                message = f"tier `{tier.name}` stands twice in ladder `{name}`, first in line {seen[tier.name].at.line}"
                source.problems.error(tier.at, message)
            seen.setdefault(tier.name, tier)
        if len(tiers) < len(read):
            self.incomplete.add(name)
        return Ladder(
            name, description, tiers, demote_after, version, announce, actions, attach,
            self._assume_covered, self._timezone, source.place(key),
        )  # fmt: skip

    def _tier(self, node: yaml.Node) -> Tier | None:
        source = self._source
        fields = source.fields(node, "a tier", _TIER)
        if fields is None:
            return None
        name, ttl = self.optional_text(fields, "name"), self.optional_duration(fields, "ttl")
        if name is not None and (name in _RESERVED or not _NAME.fullmatch(name)):
            why = "it is a word of the language" if name in _RESERVED else "use letters, digits and _"
            source.error(fields["name"][1], f"`{name}` cannot name a tier; {why}")
            name = None
        from_ = (
            self.references(fields["from"][1], "from", "tier; write `none` for users without one")
            if "from" in fields
            else None
        )
        for needed in ("name", "when"):
            if needed not in fields:
                source.lacks(node, node, _TIER, f"a tier needs `{needed}:`")
        when = self._conditions.condition(fields["when"][1], "when") if "when" in fields else None
        if name is None or when is None:
            return None
        return Tier(name, when, from_, ttl, source.place(node))

    def _common(self, fields: Fields) -> tuple[str, int | None, bool]:
        description = self.optional_text(fields, "description")
        return (
            self._parameters.interpolate(description or ""),
            self.optional_integer(fields, "version", 1),
            self.flag(fields, "announce"),
        )
