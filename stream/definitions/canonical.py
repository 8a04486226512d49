"""Canonical forms: what a definition says once names are gone.

State is kept under the hash of a feature's form, a membership's id under the hash of its segment's form. Both must stay
the same when something is renamed, moved to another file or described differently, and change when its meaning does.
"""

from __future__ import annotations

from typing import Any

from stream.definitions.check import sequences_of
from stream.definitions.model import (
    Arithmetic,
    AtLeast,
    Call,
    Comparison,
    Condition,
    Constant,
    Definitions,
    Do,
    Expression,
    Feature,
    Ladder,
    Logic,
    Membership,
    Name,
    Not,
    Reference,
    Segment,
    Selector,
    Sequence,
    Step,
    Test,
    Window,
)
from stream.definitions.sameness import asks_local_time
from stream.events import stray_field


class Canon:
    """Canonical forms of the parts of one set of definitions, as JSON values."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    def segment(self, segment: Segment) -> Any:
        """What decides a membership in the segment."""
        return {
            "when": self.condition(segment.when),
            "exit": None if segment.exit is None else self.condition(segment.exit),
            "ttl": segment.ttl,
            "min_dwell": segment.min_dwell,
            "for_each": segment.for_each,
            "renew": segment.renew,
            "anchor": None if segment.anchor is None else self._anchor(segment, segment.anchor),
            "timezone": segment.timezone,
        }

    def ladder(self, ladder: Ladder) -> Any:
        """What decides the ladder's value. The names of tiers are its values, so they take part."""
        return {
            "tiers": [
                {
                    "name": tier.name,
                    "when": self.condition(tier.when),
                    "from": None
                    if tier.from_ is None
                    else sorted(reference.name for reference in tier.from_),
                    "ttl": tier.ttl,
                }
                for tier in ladder.tiers
            ],
            "demote_after": ladder.demote_after,
            "timezone": ladder.timezone,
        }

    def feature(self, feature: Feature) -> Any:
        """The whole feature."""
        return {**self.state(feature), "aggregate": feature.aggregate, "min_n": feature.min_n}

    def state(self, feature: Feature) -> Any:
        """What the feature has to remember. Thresholds are not part of it, so they can change and keep the state."""
        return {
            "selector": self.reference(feature.selector),
            "field": None if feature.field is None else field_form(feature.field),
            "window": self.window(feature.window, feature.timezone),
            "by": None if feature.by is None else field_form(feature.by),
            "max_keys": feature.max_keys if feature.by is not None else None,
        }

    def window(self, window: Window, timezone: str) -> Any:
        form: dict[str, Any] = {"kind": window.kind}
        if window.length:
            form["length"] = window.length
        if window.until:
            form["until"] = window.until
        if window.period:
            form.update(period=window.period, timezone=timezone)
        if window.since is not None:
            form["since"] = self.reference(window.since)
        return form

    def selector(self, selector: Selector) -> Any:
        form = {
            "types": None if selector.types is None else sorted(selector.types),
            "where": None if selector.where is None else self.expression(selector.where, in_where=True),
        }
        if selector.where is not None and asks_local_time(selector.where):
            form["timezone"] = selector.timezone
        return form

    def reference(self, reference: Reference) -> Any:
        return self.selector(self._definitions.selectors[reference.name])

    def references(self, references: tuple[Reference, ...]) -> Any:
        return [self.reference(reference) for reference in references]

    def condition(self, condition: Condition) -> Any:
        match condition:
            case Test(expression=expression):
                return self.expression(expression)
            case AtLeast(n=n, operands=operands):
                return ["at_least", n, *map(self.condition, operands)]
            case Not(operand=operand):
                return ["not", self.condition(operand)]
            case Do(selectors=selectors, last=last):
                return ["do", self.references(selectors), last]
            case Sequence():
                return self.sequence(condition)

    def sequence(self, sequence: Sequence) -> Any:
        by = None if sequence.by is None else field_form(sequence.by)
        return ["seq", by, sequence.restart, *map(self._step, sequence.steps)]

    def _step(self, step: Step) -> Any:
        return [step.kind, self.references(step.selectors), step.span, self.references(step.without)]

    def _anchor(self, segment: Segment, anchor: Reference) -> Any:
        return next(
            i for i, sequence in enumerate(sequences_of(segment.when)) if sequence.name == anchor.name
        )

    def expression(self, expression: Expression, in_where: bool = False) -> Any:
        match expression:
            case Constant(value=value):
                return ["constant", float(value) if type(value) is int else value]
            case Name(path=path):
                feature = None if in_where else self._definitions.features.get(path)
                if feature is not None:
                    return ["feature", self.feature(feature)]
                return ["name", field_form(path) if in_where else path]
            case Call(function=function, arguments=arguments):
                return ["call", function, *(self.expression(argument, in_where) for argument in arguments)]
            case (
                Arithmetic(operator=operator, left=left, right=right)
                | Comparison(operator=operator, left=left, right=right)
            ):
                return [operator, self.expression(left, in_where), self.expression(right, in_where)]
            case Membership(item=item, options=options):
                return [
                    "in",
                    self.expression(item, in_where),
                    *(self.expression(o, in_where) for o in options),
                ]
            case Logic(operator=operator, operands=operands):
                return [operator, *(self.expression(operand, in_where) for operand in operands)]


def field_form(path: str) -> str:
    """`props.size` for `size`: the two mean the same field."""
    return f"props.{path}" if stray_field(path) is not None and not path.startswith("props.") else path
