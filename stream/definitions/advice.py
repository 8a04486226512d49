"""Advice: what is legal in definitions but surely not meant. Given only where there are no errors.

A warning is worth its place only if nearly everybody who meets it made a mistake; so each knows little and says why.
"""

from __future__ import annotations

from collections.abc import Iterator

from stream.definitions.bounds import WHOLE, Bounds, Needs
from stream.definitions.check import conditions_of_owner, names_of, sequences_of
from stream.definitions.emptied import always_unknown, stuck, unknown_names
from stream.definitions.events_advice import advise_fields, advise_selector
from stream.definitions.model import (
    LIFETIME,
    AtLeast,
    Condition,
    Definitions,
    Do,
    Expression,
    Feature,
    Ladder,
    Logic,
    Membership,
    Not,
    Place,
    Reference,
    Segment,
    Sequence,
    Test,
)
from stream.definitions.source import Problems
from stream.definitions.text import names, write, write_sequence
from stream.durations import DAY, format_duration

_LONG = 3650 * DAY
_COUNTING = {"count", "sum", "distinct", "days", "weeks", "months", "share"}


def advise(definitions: Definitions, problems: Problems) -> None:
    """Adds warnings about definitions that hold."""
    _Adviser(definitions, problems).advise()


class _Adviser:
    def __init__(self, definitions: Definitions, problems: Problems) -> None:
        self._all = definitions
        self._warn = problems.warn
        self._bounds = Bounds(definitions.features)

    def advise(self) -> None:
        self._unused()
        for selector in self._all.selectors.values():
            advise_selector(selector, self._all, self._warn)
        for feature in self._all.features.values():
            self._feature(feature)
            advise_fields(feature, self._warn)
        for segment in self._all.segments.values():
            self._segment(segment)
        for ladder in self._all.ladders.values():
            self._ladder(ladder)

    # --- what nothing uses -------------------------------------------------------------------------------------------

    def _unused(self) -> None:
        owners: list[Segment | Ladder] = [*self._all.segments.values(), *self._all.ladders.values()]
        places = [one.at for one in self._all.selectors.values()]
        places += [one.at for one in self._all.features.values()]
        if not owners and places:
            self._warn(places[0], "there are no segments and no ladders: nothing will come out")
            return
        features = {name for owner in owners for name in self._features_of(owner)}
        selectors = {reference.name for owner in owners for reference in _selectors_of(owner)}
        for name in features:
            selectors.update(reference.name for reference in _selectors_of_feature(self._all.features[name]))
        for feature in self._all.features.values():
            if feature.name not in features:
                self._warn(feature.at, f"feature `{feature.name}` is read by nothing and is not kept")
        for selector in self._all.selectors.values():
            if selector.name not in selectors:
                message = f"selector `{selector.name}` is used by nothing and matches nothing"
                self._warn(selector.at, message)

    def _features_of(self, owner: Segment | Ladder) -> Iterator[str]:
        for condition in conditions_of_owner(owner):
            if isinstance(condition, Test):
                for name in names_of(condition.expression):
                    if name.path in self._all.features:
                        yield name.path

    # --- features ----------------------------------------------------------------------------------------------------

    def _feature(self, feature: Feature) -> None:
        window = feature.window
        if window.kind in ("last", "session", "half_life") and window.length > _LONG:
            message = f"`{window.kind}: {format_duration(window.length)}` is longer than ten years"
            self._warn(feature.at, f"{message}; without a window a feature is of all time")
        if window.kind == "since" and window.since is not None and window.since.name == feature.selector.name:
            message = f"since the last `{window.since.name}` there is just that one `{window.since.name}`"
            self._warn(window.since.at, message)

    # --- segments ----------------------------------------------------------------------------------------------------

    def _segment(self, segment: Segment) -> None:
        if self._bounds.needs(segment.when) is None:
            self._warn(_first(segment.when), f"`when` of `{segment.name}` can never be true")
        elif self._bounds.never_false(segment.when) and segment.exit is None:
            self._warn(_first(segment.when), f"`when` of `{segment.name}` is true for everybody, always")
        else:
            self._waits(segment)
        if segment.exit is not None:
            self._exit(segment, segment.exit)
        sequences = list(sequences_of(segment.when))
        endless = [sequence for sequence in sequences if sequence.steps[-1].kind == "then"]
        if endless and segment.exit is None and segment.ttl is None:
            message = (
                f"`{write_sequence(endless[0])}` stays true for good once it is: bound the membership with `ttl` "
                "or an `exit`"
            )
            self._warn(endless[0].at, message)
        if segment.ttl is None and self._bounds.needs(segment.when) is not None:
            self._stuck(segment)
        if segment.renew and not sequences and not any(_positive_do(segment.when)):
            message = f"`renew` of `{segment.name}` never acts: `when` has neither a sequence nor a `do`"
            self._warn(segment.at, message)
        for condition in _parts(segment.when):
            self._absence(condition, covered=segment.assume_covered)
        self._actions(segment)

    def _stuck(self, segment: Segment) -> None:
        """Unknown ends no membership, and neither does an exit that is unknown."""
        features = self._all.features
        if segment.exit is not None:
            if always_unknown(segment.exit, features):
                self._becomes_unknown(segment.exit, f"`exit` of `{segment.name}`", is_exit=True)
        elif stuck(segment.when, features):
            self._becomes_unknown(segment.when, f"`when` of `{segment.name}`")

    def _becomes_unknown(self, condition: Condition, whose: str, is_exit: bool = False) -> None:
        name = next(unknown_names(condition, self._all.features), None)
        if name is not None:
            fix = f"add `or not exists({name.path})`" if is_exit else f"add `exists({name.path}) and …`"
            self._warn(
                name.at,
                f"{whose} becomes unknown, not false, when the window of `{name.path}` has run empty, and unknown ends "
                f"nothing: whoever is in stays; {fix}, or bound it with `ttl`",
            )

    def _exit(self, segment: Segment, exit_: Condition) -> None:
        if self._bounds.needs(exit_) is None:
            self._warn(_first(exit_), f"`exit` of `{segment.name}` can never be true")
        elif self._bounds.never_false(exit_):
            self._warn(_first(exit_), f"`exit` of `{segment.name}` is always true: nobody ever enters")
        elif isinstance(exit_, Test) and isinstance(segment.when, Test) and exit_.text == segment.when.text:
            self._warn(exit_.at, f"`exit` of `{segment.name}` is the same as its `when`: nobody ever enters")

    def _actions(self, owner: Segment | Ladder) -> None:
        actions = owner.actions
        if actions.cap is not None and actions.cooldown is not None:
            n, per = actions.cap
            if n * actions.cooldown >= per:
                message = (
                    f"the cap of {n} per {format_duration(per)} never acts: a cooldown of "
                    f"{format_duration(actions.cooldown)} allows fewer"
                )
                self._warn(owner.at, message)
        if actions.holdout is not None and actions.holdout[0] in (0, 100):
            nobody = "nobody is held out" if actions.holdout[0] == 0 else "everybody is held out"
            self._warn(owner.at, f"a holdout of {actions.holdout[0]:g} percent: {nobody}")

    def _absence(self, condition: Condition, *, covered: bool) -> None:
        """Whether somebody never did something is unknown on data that does not reach back to the beginning."""
        never = "unknown until the system has read everything from the beginning"
        if (
            isinstance(condition, Not)
            and isinstance(condition.operand, Do)
            and condition.operand.last is None
            and not covered
        ):
            selectors = names(condition.operand.selectors)
            message = f"that there was never a `{selectors}` is {never}; say `last: 90d`, for example"
            self._warn(condition.at, message)
        if not isinstance(condition, Test):
            return
        for expression in _conjuncts(condition.expression):
            needs = self._bounds.needs(expression)
            for name in names_of(expression):
                feature = self._all.features.get(name.path)
                if feature is None or feature.window != LIFETIME or feature.assume_covered:
                    continue
                limit = (needs or {}).get(name.path)
                if feature.aggregate in WHOLE and limit is not None and limit.high < 1:
                    message = (
                        f"`{write(expression)}` is {never}; give `{feature.name}` a window (`last: 90d`), or "
                    )
                    self._warn(name.at, message + "say `assume_covered: true`")

    # --- waits -------------------------------------------------------------------------------------------------------

    def _waits(self, segment: Segment) -> None:
        """A window that ends before the wait of a sequence beside it holds nothing when the sequence comes true."""
        parts = list(_all_of(segment.when))
        for sequence in parts:
            if not isinstance(sequence, Sequence) or sequence.restart != "last" or len(sequence.steps) != 2:
                continue
            first, closing = sequence.steps
            if closing.kind != "not" or (sequence.by is not None and segment.for_each is None):
                continue
            started = {reference.name for reference in first.selectors}
            for part in parts:
                self._wait(segment, sequence, closing.span, started, part)

    def _wait(
        self, segment: Segment, sequence: Sequence, wait: int, started: set[str], part: Condition
    ) -> None:
        said = (
            f"when `{write_sequence(sequence)}` comes true, the newest event that started it is "
            f"{format_duration(wait)} old"
        )
        if isinstance(part, Do) and part.last is not None and part.last <= wait:
            looked_for = {reference.name for reference in part.selectors}
            if looked_for <= started:
                last = format_duration(part.last)
                self._warn(part.at, f"`{names(part.selectors)}` in the last {last} can never hold: {said}")
        if not isinstance(part, Test):
            return
        for expression in _conjuncts(part.expression):
            for path, limit in (self._bounds.needs(expression) or {}).items():
                feature = self._all.features.get(path)
                if feature is None or feature.selector.name not in started or feature.by != segment.for_each:
                    continue
                window = feature.window
                counted = feature.aggregate in _COUNTING and (
                    limit.low > 0 or (limit.low == 0 and limit.low_open)
                )
                if counted and window.kind == "last" and window.length <= wait:
                    length = format_duration(window.length)
                    message = f"`{write(expression)}` within {length} can never hold: {said}"
                    self._warn(expression.at, message)
                elif feature.aggregate == "since_last" and (limit.high, not limit.high_open) < (wait, True):
                    self._warn(expression.at, f"`{write(expression)}` can never hold: {said}")

    # --- ladders -----------------------------------------------------------------------------------------------------

    def _ladder(self, ladder: Ladder) -> None:
        self._actions(ladder)
        before: list[tuple[str, Needs]] = []
        for tier in ladder.tiers:
            needs = self._bounds.needs(tier.when)
            if needs is None:
                self._warn(_first(tier.when), f"`when` of tier `{tier.name}` can never be true")
            else:
                for name, wider in before:
                    if wider and all(t in needs and needs[t].within(limit) for t, limit in wider.items()):
                        message = (
                            f"tier `{tier.name}` is never reached: whoever qualifies has tier `{name}`, which stands "
                            "before it; put the highest first"
                        )
                        self._warn(tier.at, message)
                        break
            if tier.ttl is None and needs is not None and stuck(tier.when, self._all.features):
                self._becomes_unknown(tier.when, f"`when` of tier `{tier.name}`")
            if tier.from_ is None and tier.ttl is None and self._is_simple(tier.when):
                before.append((tier.name, needs))
        reached: set[str] = {"none"}
        for _ in ladder.tiers:
            reached.update(
                tier.name
                for tier in ladder.tiers
                if tier.from_ is None or reached & {reference.name for reference in tier.from_}
            )
        for tier in ladder.tiers:
            if tier.name not in reached:
                told = ", ".join(reference.name for reference in tier.from_ or ())
                self._warn(tier.at, f"tier `{tier.name}` is never reached: nothing leads to `from: {told}`")

    def _is_simple(self, condition: Condition) -> bool:
        """Whether the bounds of a condition say all that it asks."""
        if isinstance(condition, AtLeast) and condition.form == "all":
            return all(map(self._is_simple, condition.operands))
        if not isinstance(condition, Test):
            return False
        return all(
            not isinstance(expression, (Logic, Membership)) and bool(self._bounds.needs(expression))
            for expression in _conjuncts(condition.expression)
        )


# --- walking ---------------------------------------------------------------------------------------------------------


def _first(condition: Condition) -> Place:
    """Where a condition begins, with its text if it has one."""
    return condition.expression.at if isinstance(condition, Test) else condition.at


def _parts(condition: Condition) -> Iterator[Condition]:
    """The conditions outside every `not`, and the `not`s themselves."""
    if isinstance(condition, AtLeast):
        for operand in condition.operands:
            yield from _parts(operand)
    else:
        yield condition


def _all_of(condition: Condition) -> Iterator[Condition]:
    """The conditions that must all hold."""
    if isinstance(condition, AtLeast) and condition.n == len(condition.operands):
        for operand in condition.operands:
            yield from _all_of(operand)
    else:
        yield condition


def _conjuncts(expression: Expression) -> Iterator[Expression]:
    """The expressions that `and` joins."""
    if isinstance(expression, Logic) and expression.operator == "and":
        for operand in expression.operands:
            yield from _conjuncts(operand)
    else:
        yield expression


def _positive_do(condition: Condition) -> Iterator[bool]:
    return (True for part in _parts(condition) if isinstance(part, Do))


def _selectors_of(owner: Segment | Ladder) -> Iterator[Reference]:
    for condition in conditions_of_owner(owner):
        if isinstance(condition, Do):
            yield from condition.selectors
        elif isinstance(condition, Sequence):
            for step in condition.steps:
                yield from (*step.selectors, *step.without)
    for collection in owner.attach:
        for reference in (collection.collect, collection.since, collection.remove):
            if reference is not None:
                yield reference


def _selectors_of_feature(feature: Feature) -> Iterator[Reference]:
    yield feature.selector
    if feature.window.since is not None:
        yield feature.window.since
