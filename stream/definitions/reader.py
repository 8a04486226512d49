"""One definitions file → unchecked model: the shape of the file, not yet the meaning of its names."""

from __future__ import annotations

import re
from collections.abc import Sequence as Series
from typing import Literal, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from stream.definitions.expression import ExpressionError, parse_expression
from stream.definitions.model import (
    LIFETIME,
    Actions,
    AtLeast,
    Collection,
    Condition,
    Do,
    Expression,
    Feature,
    Ladder,
    Not,
    Place,
    QuietHours,
    Reference,
    Segment,
    Selector,
    Sequence,
    Step,
    Test,
    Tier,
    Window,
)
from stream.definitions.source import Source, kind, listing, suggest

AGGREGATES = (
    "count", "sum", "mean", "min", "max", "first_value", "last_value", "distinct",
    "days", "since_first", "since_last", "mean_gap", "share", "top",
)  # fmt: skip
NEED_FIELD = {"sum", "mean", "min", "max", "first_value", "last_value", "distinct"}
TAKE_FIELD = NEED_FIELD | {"share", "top"}
NEED_KEYS = {"share", "top"}
WINDOWS = ("last", "between", "calendar", "session", "since", "half_life")
PERIODS = ("hour", "day", "week", "month", "year")
STEPS = ("do", "then", "not")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_RESERVED = {"and", "or", "not", "in", "true", "false", "null", "traits", "segment", "ladder", "none"}

Entry = tuple[yaml.Node, yaml.Node]


class FileReader:
    """Reads one file; what it finds stands in `selectors`, `features`, `segments` and `ladders`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._timezone = "UTC"
        self._assume_covered = False
        self.selectors: list[Selector] = []
        self.features: list[Feature] = []
        self.segments: list[Segment] = []
        self.ladders: list[Ladder] = []

    def read(self, text: str) -> None:
        source = self._source
        root = source.compose(text)
        if root is None:
            if not source.problems.errors:
                source.problems.error(Place(source.file, 1, 1), "the file is empty; start with `version: 1`")
            return
        allowed = ("version", "timezone", "assume_covered", "events", "features", "segments", "ladders")
        fields = source.fields(root, "a definitions file", allowed)
        if fields is None:
            return
        if "version" not in fields:
            source.error(root, "`version: 1` is missing at the top of the file")
        elif source.text(fields["version"][1], "version") not in ("1", None):
            source.error(fields["version"][1], "this release reads `version: 1` only")
        if "timezone" in fields:
            self._timezone = self._zone(fields["timezone"][1]) or "UTC"
        if "assume_covered" in fields:
            self._assume_covered = bool(source.boolean(fields["assume_covered"][1], "assume_covered"))
        for name, key, value in self._named(fields, "events"):
            if selector := self._selector(name, key, value):
                self.selectors.append(selector)
        for name, key, value in self._named(fields, "features"):
            if feature := self._feature(name, key, value):
                self.features.append(feature)
        for name, key, value in self._named(fields, "segments"):
            if segment := self._segment(name, key, value):
                self.segments.append(segment)
        for name, key, value in self._named(fields, "ladders"):
            if ladder := self._ladder(name, key, value):
                self.ladders.append(ladder)

    # --- names and scalars -------------------------------------------------------------------------------------------

    def _named(self, fields: dict[str, Entry], section: str) -> list[tuple[str, yaml.Node, yaml.Node]]:
        if section not in fields:
            return []
        entries = self._source.fields(fields[section][1], f"`{section}`", None) or {}
        good = []
        for name, (key, value) in entries.items():
            if not _NAME.fullmatch(name):
                self._source.error(
                    key, f"`{name}` is no name: use letters, digits and _, not starting with a digit"
                )
            elif name in _RESERVED:
                self._source.error(key, f"`{name}` is a word of the language; choose another name")
            else:
                good.append((name, key, value))
        return good

    def _zone(self, node: yaml.Node) -> str | None:
        name = self._source.text(node, "timezone")
        if name is None:
            return None
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self._source.error(node, f"unknown timezone `{name}`; use an IANA name like Asia/Seoul or UTC")
            return None
        return name

    def _reference(self, node: yaml.Node, what: str) -> Reference | None:
        name = self._source.text(node, what)
        return None if name is None else Reference(name, self._source.place(node))

    def _references(self, node: yaml.Node, what: str) -> tuple[Reference, ...] | None:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not nodes:
            self._source.error(node, f"{what} names no selector")
            return None
        found = [self._reference(item, what) for item in nodes]
        return None if None in found else tuple(cast(list[Reference], found))

    def _expression(self, node: yaml.Node, what: str) -> Expression | None:
        text = self._source.text(node, what)
        if text is None:
            return None
        at = self._source.place(node)
        inside = 1 if cast(yaml.ScalarNode, node).style in ("'", '"') else 0
        block = cast(yaml.ScalarNode, node).style in ("|", ">")
        line, column = (at.line + 1, 1) if block else (at.line, at.column + inside)
        try:
            return parse_expression(text, at.file, line, column)
        except ExpressionError as error:
            place = Place(at.file, line, column) if block else Place(at.file, line, column + error.offset)
            self._source.problems.error(place, f"in `{text.strip()}`: {error}")
            return None

    # --- selectors and features --------------------------------------------------------------------------------------

    def _selector(self, name: str, key: yaml.Node, node: yaml.Node) -> Selector | None:
        fields = self._source.fields(node, f"selector `{name}`", ("type", "where"))
        if fields is None:
            return None
        if "type" not in fields:
            self._source.error(
                key, f"selector `{name}` needs a `type:`, one event type, a list of them, or '*'"
            )
            return None
        node = fields["type"][1]
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found = [self._source.text(item, "type") for item in nodes]
        if None in found:
            return None
        if not found:
            self._source.error(node, "`type` names no event type")
            return None
        types = None if "*" in found else tuple(dict.fromkeys(cast(list[str], found)))
        where = None
        if "where" in fields:
            where = self._expression(fields["where"][1], "where")
            if where is None:
                return None
        return Selector(name, types, where, self._source.place(key))

    def _feature(self, name: str, key: yaml.Node, node: yaml.Node) -> Feature | None:
        allowed = (*AGGREGATES, *WINDOWS, "by", "min_n", "max_keys", "assume_covered")
        fields = self._source.fields(node, f"feature `{name}`", allowed)
        if fields is None:
            return None
        aggregates = [aggregate for aggregate in AGGREGATES if aggregate in fields]
        if len(aggregates) != 1:
            what = f"has {listing(aggregates)}" if aggregates else "has no aggregate"
            self._source.error(key, f"feature `{name}` {what}; give exactly one of {', '.join(AGGREGATES)}")
            return None
        aggregate = aggregates[0]
        target = fields[aggregate][1]
        text = self._source.text(target, aggregate)
        window = self._window(name, fields)
        by = self._source.text(fields["by"][1], "by") if "by" in fields else None
        min_n = self._source.integer(fields["min_n"][1], "min_n", 1) if "min_n" in fields else 0
        max_keys = self._source.integer(fields["max_keys"][1], "max_keys", 1) if "max_keys" in fields else 100
        covered: bool | None = self._assume_covered
        if "assume_covered" in fields:
            covered = self._source.boolean(fields["assume_covered"][1], "assume_covered")
        if text is None or window is None or min_n is None or max_keys is None or covered is None:
            return None
        selector, _, field = text.partition(".")
        at = self._source.place(target)
        if aggregate in NEED_FIELD and not field:
            message = (
                f"`{aggregate}` needs a field of the event: `{aggregate}: {selector}.value`, for example"
            )
            self._source.problems.error(at, message)
            return None
        if field and aggregate not in TAKE_FIELD:
            self._source.problems.error(
                at, f"`{aggregate}` takes a selector without a field: `{aggregate}: {selector}`"
            )
            return None
        if aggregate in NEED_KEYS and by is None:
            self._source.error(key, f"`{aggregate}` needs `by:`, the field whose values are compared")
            return None
        return Feature(
            name, aggregate, Reference(selector, at), field or None, window, by, min_n, max_keys, covered,
            self._timezone, self._source.place(key),
        )  # fmt: skip

    def _window(self, name: str, fields: dict[str, Entry]) -> Window | None:
        given = [window for window in WINDOWS if window in fields]
        if not given:
            return LIFETIME
        if len(given) > 1:
            self._source.error(
                fields[given[1]][0], f"feature `{name}` has several windows, {listing(given)}; keep one"
            )
            return None
        window, node = given[0], fields[given[0]][1]
        if window == "calendar":
            period = self._source.choice(node, "calendar", PERIODS)
            return None if period is None else Window("calendar", period=period)
        if window == "since":
            since = self._reference(node, "since")
            return None if since is None else Window("since", since=since)
        if window == "between":
            return self._between(node)
        length = self._source.duration(node, window)
        if length is None:
            return None
        return Window(cast(Literal["last", "session", "half_life"], window), length)

    def _between(self, node: yaml.Node) -> Window | None:
        items = self._source.items(node, "between")
        if items is None:
            return None
        if len(items) != 2:
            self._source.error(node, "between takes two durations, the longer first: [60d, 30d]")
            return None
        length, until = (self._source.duration(item, "between") for item in items)
        if length is None or until is None:
            return None
        if length <= until:
            self._source.error(node, "between takes the longer duration first: [60d, 30d]")
            return None
        return Window("between", length, until)

    # --- conditions --------------------------------------------------------------------------------------------------

    def condition(self, node: yaml.Node, what: str, inside_exit: bool = False) -> Condition | None:
        at = self._source.place(node)
        if isinstance(node, yaml.ScalarNode):
            expression = self._expression(node, what)
            return None if expression is None else Test(expression, " ".join(node.value.split()), at)
        forms = ("all", "any", "not", "at_least", "do", "seq")
        if not isinstance(node, yaml.MappingNode):
            self._source.error(
                node, f"{what} must be an expression or one of {listing(forms)}, not {kind(node)}"
            )
            return None
        keys = [key.value for key, _ in node.value]
        form = next((form for form in forms if form in keys), None)
        if form is None:
            unknown = keys[0] if keys else ""
            hint = suggest(str(unknown), forms)
            self._source.error(
                node, f"{what} must be an expression or one of {listing(forms)}, not `{unknown}`{hint}"
            )
            return None
        allowed = {
            "at_least": ("at_least", "of"),
            "do": ("do", "last"),
            "seq": ("seq", "by", "restart", "name"),
        }
        fields = self._source.fields(node, f"`{form}`", allowed.get(form, (form,)))
        if fields is None:
            return None
        if form in ("all", "any", "at_least"):
            return self._at_least(cast(Literal["all", "any", "at_least"], form), fields, at, inside_exit)
        value = fields[form][1]
        if form == "not":
            operand = self.condition(value, "not", inside_exit)
            return None if operand is None else Not(operand, at)
        if form == "do":
            return self._do(fields, at, inside_exit)
        return self._sequence(fields, at)

    def _at_least(
        self, form: Literal["all", "any", "at_least"], fields: dict[str, Entry], at: Place, inside_exit: bool
    ) -> AtLeast | None:
        listed = "of" if form == "at_least" else form
        if listed not in fields:
            self._source.problems.error(at, "`at_least: n` needs `of:`, the list of conditions")
            return None
        items = self._source.items(fields[listed][1], f"`{listed}`")
        if items is None:
            return None
        if not items:
            self._source.error(fields[listed][1], f"`{listed}` needs at least one condition")
            return None
        operands = [self.condition(item, f"a condition of `{listed}`", inside_exit) for item in items]
        n: int | None = {"all": len(items), "any": 1}.get(form, 0)
        if form == "at_least":
            n = self._source.integer(fields["at_least"][1], "at_least", 1)
            if n is not None and n > len(items):
                self._source.error(
                    fields["at_least"][1], f"at_least {n} of {len(items)} conditions can never be true"
                )
                return None
        if n is None or None in operands:
            return None
        return AtLeast(form, n, tuple(cast(list[Condition], operands)), at)

    def _do(self, fields: dict[str, Entry], at: Place, inside_exit: bool) -> Do | None:
        selectors = self._references(fields["do"][1], "do")
        last = None
        if "last" in fields:
            if inside_exit:
                self._source.error(
                    fields["last"][0], "`do` in an exit means any such event after the entry; drop `last`"
                )
                return None
            last = self._source.duration(fields["last"][1], "last")
            if last is None:
                return None
        return None if selectors is None else Do(selectors, last, at)

    def _sequence(self, fields: dict[str, Entry], at: Place) -> Sequence | None:
        nodes = self._source.items(fields["seq"][1], "seq")
        if nodes is None:
            return None
        steps = [self._step(node) for node in nodes]
        by = self._source.text(fields["by"][1], "by") if "by" in fields else None
        name = self._source.text(fields["name"][1], "name") if "name" in fields else None
        restart = "last"
        if "restart" in fields:
            chosen = self._source.choice(fields["restart"][1], "restart", ("last", "first"))
            if chosen is None:
                return None
            restart = chosen
        if None in steps or not self._ordered(fields["seq"][1], cast(list[Step], steps)):
            return None
        if restart == "first" and cast(list[Step], steps)[-1].kind != "not":
            self._source.error(
                fields["restart"][1], "`restart: first` needs a sequence that closes with `not … for …`"
            )
            return None
        return Sequence(tuple(cast(list[Step], steps)), by, cast(Literal["last", "first"], restart), name, at)

    def _ordered(self, node: yaml.Node, steps: Series[Step]) -> bool:
        if len(steps) < 2:
            self._source.error(
                node, "a sequence needs at least two steps, the first `do`; for one event write `{do: …}`"
            )
            return False
        for index, step in enumerate(steps):
            if (index == 0) != (step.kind == "do"):
                where = (
                    "the first step must be `do`"
                    if index == 0
                    else "only the first step can be `do`; use `then`"
                )
                self._source.problems.error(step.at, where)
                return False
            if step.kind == "not" and index != len(steps) - 1:
                message = "`not … for …` must be the last step; inside a sequence use `without:` of a `then`"
                self._source.problems.error(step.at, message)
                return False
        return True

    def _step(self, node: yaml.Node) -> Step | None:
        keys = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        step = next((step for step in STEPS if step in keys), None)
        if step is None:
            self._source.error(
                node, f"a step of a sequence must be one of {listing(STEPS)}, not {kind(node)}"
            )
            return None
        allowed = {"do": ("do",), "then": ("then", "within", "without"), "not": ("not", "for")}[step]
        fields = self._source.fields(node, f"step `{step}`", allowed)
        if fields is None:
            return None
        selectors = self._references(fields[step][1], step)
        span: int | None = 0
        limit = {"then": "within", "not": "for"}.get(step)
        if limit is not None:
            if limit not in fields:
                self._source.error(node, f"step `{step}` needs `{limit}:`, a duration")
                return None
            span = self._source.duration(fields[limit][1], limit)
        without: tuple[Reference, ...] | None = ()
        if "without" in fields:
            without = self._references(fields["without"][1], "without")
        if selectors is None or span is None or without is None:
            return None
        return Step(
            cast(Literal["do", "then", "not"], step), selectors, span, without, self._source.place(node)
        )

    # --- segments and ladders ----------------------------------------------------------------------------------------

    def _segment(self, name: str, key: yaml.Node, node: yaml.Node) -> Segment | None:
        allowed = (
            "description", "when", "exit", "ttl", "min_dwell", "for_each", "renew", "anchor", "version", "announce",
            "actions", "attach",
        )  # fmt: skip
        source = self._source
        fields = source.fields(node, f"segment `{name}`", allowed)
        if fields is None:
            return None
        if "when" not in fields:
            source.error(key, f"segment `{name}` needs `when:`, the condition for entering")
            return None
        when = self.condition(fields["when"][1], "when")
        exit_ = self.condition(fields["exit"][1], "exit", inside_exit=True) if "exit" in fields else None
        ttl = source.duration(fields["ttl"][1], "ttl") if "ttl" in fields else None
        dwell = (source.duration(fields["min_dwell"][1], "min_dwell") if "min_dwell" in fields else 0) or 0
        if ttl is not None and dwell > ttl:
            source.error(
                fields["min_dwell"][1], "min_dwell is longer than ttl: the membership would outlive itself"
            )
        for_each = source.text(fields["for_each"][1], "for_each") if "for_each" in fields else None
        renew = source.boolean(fields["renew"][1], "renew") if "renew" in fields else False
        anchor = self._reference(fields["anchor"][1], "anchor") if "anchor" in fields else None
        description, version, announce = self._common(fields)
        actions = self._actions(fields)
        attach = self._attach(fields)
        if when is None or ("exit" in fields and exit_ is None) or actions is None or attach is None:
            return None
        return Segment(
            name, description, when, exit_, ttl, dwell, for_each, bool(renew), anchor, version, announce,
            actions, attach, self._timezone, source.place(key),
        )  # fmt: skip

    def _ladder(self, name: str, key: yaml.Node, node: yaml.Node) -> Ladder | None:
        allowed = ("description", "tiers", "demote_after", "version", "announce", "actions", "attach")
        source = self._source
        fields = source.fields(node, f"ladder `{name}`", allowed)
        if fields is None:
            return None
        if "tiers" not in fields:
            source.error(key, f"ladder `{name}` needs `tiers:`, a list, the highest first")
            return None
        nodes = source.items(fields["tiers"][1], "tiers")
        demote_after = (
            source.duration(fields["demote_after"][1], "demote_after") if "demote_after" in fields else None
        )
        description, version, announce = self._common(fields)
        actions = self._actions(fields)
        attach = self._attach(fields)
        if nodes is None or actions is None or attach is None:
            return None
        if not nodes:
            source.error(fields["tiers"][1], f"ladder `{name}` needs at least one tier")
            return None
        tiers = [self._tier(item) for item in nodes]
        if None in tiers:
            return None
        seen: set[str] = set()
        for tier in cast(list[Tier], tiers):
            if tier.name in seen:
                source.problems.error(tier.at, f"tier `{tier.name}` stands twice in ladder `{name}`")
            seen.add(tier.name)
        return Ladder(
            name, description, tuple(cast(list[Tier], tiers)), demote_after, version, announce, actions, attach,
            self._timezone, source.place(key),
        )  # fmt: skip

    def _tier(self, node: yaml.Node) -> Tier | None:
        source = self._source
        fields = source.fields(node, "a tier", ("name", "when", "from", "ttl"))
        if fields is None:
            return None
        for needed in ("name", "when"):
            if needed not in fields:
                source.error(node, f"a tier needs `{needed}:`")
                return None
        name = source.text(fields["name"][1], "name")
        if name is not None and (name in _RESERVED or not _NAME.fullmatch(name)):
            source.error(fields["name"][1], f"`{name}` cannot name a tier; use letters, digits and _")
            return None
        when = self.condition(fields["when"][1], "when")
        from_ = self._references(fields["from"][1], "from") if "from" in fields else None
        ttl = source.duration(fields["ttl"][1], "ttl") if "ttl" in fields else None
        if name is None or when is None:
            return None
        return Tier(name, when, from_, ttl, source.place(node))

    def _common(self, fields: dict[str, Entry]) -> tuple[str, int | None, bool]:
        source = self._source
        description = source.text(fields["description"][1], "description") if "description" in fields else ""
        version = source.integer(fields["version"][1], "version", 1) if "version" in fields else None
        announce = source.boolean(fields["announce"][1], "announce") if "announce" in fields else False
        return description or "", version, bool(announce)

    # --- actions and attachments -------------------------------------------------------------------------------------

    def _actions(self, fields: dict[str, Entry]) -> Actions | None:
        if "actions" not in fields:
            return Actions()
        source = self._source
        allowed = ("cooldown", "cap", "holdout", "consent", "quiet_hours", "priority", "group")
        given = source.fields(fields["actions"][1], "`actions`", allowed)
        if given is None:
            return None
        cooldown = source.duration(given["cooldown"][1], "cooldown") if "cooldown" in given else None
        consent = source.text(given["consent"][1], "consent") if "consent" in given else None
        group = source.text(given["group"][1], "group") if "group" in given else None
        priority = source.integer(given["priority"][1], "priority", 0) if "priority" in given else None
        if (group is None) != (priority is None):
            present = "group" if group is not None else "priority"
            source.error(given[present][0], "`priority` and `group` go together: give both")
        cap = self._cap(given["cap"][1]) if "cap" in given else None
        holdout = self._holdout(given["holdout"][1]) if "holdout" in given else None
        quiet = self._quiet_hours(given["quiet_hours"][1]) if "quiet_hours" in given else None
        return Actions(cooldown, cap, holdout, consent, quiet, priority, group)

    def _cap(self, node: yaml.Node) -> tuple[int, int] | None:
        fields = self._source.fields(node, "`cap`", ("n", "per"))
        if fields is None:
            return None
        if len(fields) < 2:
            self._source.error(node, "`cap` needs `n:` and `per:`, like {n: 3, per: 7d}")
            return None
        n = self._source.integer(fields["n"][1], "n", 1)
        per = self._source.duration(fields["per"][1], "per")
        return None if n is None or per is None else (n, per)

    def _holdout(self, node: yaml.Node) -> tuple[float, str] | None:
        fields = self._source.fields(node, "`holdout`", ("percent", "salt"))
        if fields is None:
            return None
        if len(fields) < 2:
            self._source.error(
                node, "`holdout` needs `percent:` and `salt:`, like {percent: 10, salt: spring-2026}"
            )
            return None
        percent = self._source.number(fields["percent"][1], "percent", 0, 100)
        salt = self._source.text(fields["salt"][1], "salt")
        return None if percent is None or salt is None else (percent, salt)

    def _quiet_hours(self, node: yaml.Node) -> QuietHours | None:
        items = self._source.items(node, "quiet_hours")
        minutes = []
        for item in items or ():
            text = self._source.text(item, "quiet_hours") or ""
            match = _CLOCK.fullmatch(text)
            if match is None:
                self._source.error(item, f"`{text}` is no time of day like 22:00")
                return None
            minutes.append(int(match[1]) * 60 + int(match[2]))
        if items is None:
            return None
        if len(minutes) != 2 or minutes[0] == minutes[1]:
            self._source.error(node, "quiet_hours takes a start and an end that differ: [22:00, 08:00]")
            return None
        return QuietHours(*minutes)

    def _attach(self, fields: dict[str, Entry]) -> tuple[Collection, ...] | None:
        if "attach" not in fields:
            return ()
        entries = self._source.fields(fields["attach"][1], "`attach`", None)
        if entries is None:
            return None
        found = []
        for name, (key, node) in entries.items():
            given = self._source.fields(node, f"attachment `{name}`", ("collect", "since", "remove", "max"))
            if given is None:
                return None
            if "collect" not in given:
                self._source.error(
                    key, f"attachment `{name}` needs `collect:`, the selector whose lines are collected"
                )
                return None
            collect = self._reference(given["collect"][1], "collect")
            since = self._reference(given["since"][1], "since") if "since" in given else None
            remove = self._reference(given["remove"][1], "remove") if "remove" in given else None
            most = self._source.integer(given["max"][1], "max", 1) if "max" in given else 20
            if collect is None or most is None:
                return None
            found.append(Collection(name, collect, since, remove, most, self._source.place(key)))
        return tuple(found)
