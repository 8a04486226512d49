"""Which constructs of the language a set of definitions uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.oracle.expressions import Node
from tests.oracle.language import (
    Condition,
    Definitions,
    Do,
    Expr,
    Feature,
    Group,
    Ladder,
    Segment,
    Seq,
    names,
    parts,
)

ALL = frozenset(
    [
        *(
            f"aggregate {name}"
            for name in ("count", "sum", "mean", "min", "max", "first_value", "last_value")
        ),
        *(
            f"aggregate {name}"
            for name in (
                "distinct",
                "days",
                "weeks",
                "months",
                "since_first",
                "since_last",
                "mean_gap",
                "share",
                "top",
            )
        ),
        *(f"window {name}" for name in ("none", "last", "between", "session", "since", "half_life")),
        *(f"calendar {name}" for name in ("hour", "day", "week", "month", "year")),
        *("feature by", "min_n", "share of a sum", "top of a sum"),
        *(
            "where",
            "where any",
            "where all",
            "where sum",
            "where count",
            "where exists",
            "where in",
            "where local_hour",
            "where local_weekday",
            "where local_date",
            "where until_anniversary",
            "where month",
            "where version",
            "where local_month",
            "type *",
            "type list",
        ),
        *("==", "!=", "<", "<=", ">", ">=", "in", "and", "or", "not", "+", "-", "*", "/", "negative"),
        *(
            "min",
            "max",
            "abs",
            "coalesce",
            "exists",
            "local_hour",
            "local_weekday",
            "local_month",
            "local_date",
        ),
        *(
            "until_anniversary",
            "month",
            "age",
            "time_in",
            "distance_km",
            "version",
            "traits",
            "segment",
            "ladder",
            "null",
        ),
        *("all", "any", "not {}", "at_least", "do", "do last", "seq do", "then", "without", "closing not"),
        *("closing list", "restart first", "seq by", "anchor name"),
        *(
            "exit do",
            "exit expression",
            "exit seq",
            "ttl",
            "min_dwell",
            "renew",
            "for_each",
            "for_each items",
        ),
        *("ladder value", "ladder from", "ladder ttl", "demote_after"),
        *("cooldown", "cap", "holdout", "consent", "quiet_hours", "priority"),
        *("attach", "attach since", "attach remove", "attach max"),
    ]
)


def constructs(raw: dict[str, Any]) -> frozenset[str]:
    definitions = Definitions(raw)
    return (
        frozenset(found for subject in definitions.order for found in of_subject(definitions, subject)) & ALL
    )


def of_subject(definitions: Definitions, subject: Segment | Ladder) -> Iterator[str]:
    for item in definitions.conditions(subject):
        yield from of_condition(definitions, item)
    yield from (name for name in subject.actions if name != "group")
    for body in subject.attach.values():
        yield from ("attach", *(f"attach {key}" for key in body))
    if isinstance(subject, Ladder):
        yield "ladder value"
        yield from ["demote_after"] * bool(subject.demote_after)
        for tier in subject.tiers:
            yield from ["ladder from"] * (tier.sources is not None) + ["ladder ttl"] * (tier.ttl is not None)
        return
    for part, _ in parts(subject.exit):
        yield "exit " + {Do: "do", Expr: "expression", Seq: "seq", Group: "group"}[type(part)]
    yield from ["ttl"] * (subject.ttl is not None) + ["min_dwell"] * bool(subject.min_dwell)
    yield from ["renew"] * subject.renew
    if subject.for_each is not None:
        yield from ["for_each"] + ["for_each items"] * subject.for_each.startswith("items.")
    if subject.anchor is not None and subject.anchor.name is not None:
        yield "anchor name"


def of_condition(definitions: Definitions, item: Condition) -> Iterator[str]:
    for part, _ in parts(item):
        if isinstance(part, Group):
            yield "not {}" if part.kind == "not" else part.kind
        elif isinstance(part, Do):
            yield from (
                "do",
                *["do last"] * (part.last is not None),
                *of_selector(definitions, part.selector),
            )
        elif isinstance(part, Seq):
            yield from of_sequence(definitions, part)
        else:
            yield from of_expression(part.node)
            for name in names(part.node):
                if name in definitions.features:
                    yield from of_feature(definitions, definitions.features[name])


def of_sequence(definitions: Definitions, seq: Seq) -> Iterator[str]:
    yield "seq do"
    yield from of_selector(definitions, seq.first)
    for then in seq.thens:
        yield from ("then", *["without"] * bool(then.without))
    yield from ["closing not"] * bool(seq.closing) + ["closing list"] * (len(seq.closing) > 1)
    yield from ["restart first"] * (seq.restart == "first") + ["seq by"] * (seq.by is not None)


def of_feature(definitions: Definitions, feature: Feature) -> Iterator[str]:
    yield f"aggregate {feature.aggregate}"
    yield (
        f"calendar {feature.reach}" if feature.window == "calendar" else f"window {feature.window or 'none'}"
    )
    yield from ["feature by"] * (feature.by is not None) + ["min_n"] * bool(feature.min_n)
    yield from [f"{feature.aggregate} of a sum"] * (feature.field is not None)
    yield from of_selector(definitions, feature.selector)


def of_selector(definitions: Definitions, name: str) -> Iterator[str]:
    selector = definitions.selectors[name]
    if selector.types is None:
        yield "type *"
    elif len(selector.types) > 1:
        yield "type list"
    if selector.where is not None:
        yield from ("where", *(f"where {found}" for found in of_expression(selector.where)))


def of_expression(node: Node) -> Iterator[str]:
    for part in node.walk():
        if part.op == "call":
            yield part.args[0]
        elif part.op == "name":
            yield part.args[0].partition(".")[0]
        elif part.op == "literal":
            yield from ["null"] * (part.args[0] is None)
        else:
            yield part.op
