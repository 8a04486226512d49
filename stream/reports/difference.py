"""The page of a comparison: what would change, in the order in which somebody asks."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import msgspec

from stream.durations import parse_duration
from stream.engine import Explained
from stream.engine.conditions import Explanation
from stream.engine.records import plain
from stream.replay.compare import Comparison, Example, Kind, RowDifference
from stream.replay.history import RowHistory
from stream.reports.ladders import ladder_card, ladders_of
from stream.reports.parts import anchor, card, counted, figure, link, page, span, table, when
from stream.reports.pictures import Drawer, Period, change, lasting
from stream.reports.run import About, overlap_card, pictures

Whys = Mapping[tuple[object, ...], Explained | None]
"""By the example's `place`: how it stood on the side without the change when the other side changed."""
_ROWS_DRAWN = 40
_MANY = 0.05
"""A part of the memberships that is worth a word."""
_WANTED = {
    ">=": "at least",
    ">": "more than",
    "<=": "at most",
    "<": "less than",
    "==": "exactly",
    "!=": "other than",
    "in": "one of",
}
_SHIFTS = (
    (Kind.LATER, "enter later"),
    (Kind.EARLIER, "enter earlier"),
    (Kind.LONGER, "leave later"),
    (Kind.SHORTER, "leave earlier"),
)


def sentences(name: str, row: RowDifference, before: RowHistory, after: RowHistory) -> list[str]:
    """What differs in a row, each as a clause without a full stop."""
    old, new = before.entered, after.entered
    if old != new:
        said = [f"{counted(old, 'entry', 'entries')} become {new:,} ({change(old, new)})"]
    elif row.kinds:
        said = [f"as many entries as before ({old:,})"]
    else:
        said = []
    for kind, text in (
        (Kind.LOST, "{n} no longer {happen}, of {people}"),
        (Kind.GAINED, "{n} {are} new, of {people}"),
        (Kind.LATER, "{n} {happen} later, typically by {shift}"),
        (Kind.EARLIER, "{n} {happen} earlier, typically by {shift}"),
        (Kind.LONGER, "{n} {end} later{by}"),
        (Kind.SHORTER, "{n} {end} earlier{by}"),
        (Kind.INTERRUPTED, "{n} {are} interrupted differently"),
    ):
        count = row.kinds[kind]
        if not count:
            continue
        shift = row.typical_shift(kind)
        by = f", typically by {lasting(shift)}" if shift is not None else ""
        verbs = {"happen": "happens", "are": "is", "end": "ends"} if count == 1 else {}
        said.append(
            text.format(
                n=f"{count:,}",
                people=counted(len(row.people[kind]), "person", "people"),
                shift=lasting(shift or 0),
                by=by,
                **{verb: verbs.get(verb, verb) for verb in ("happen", "are", "end")},
            )
        )
    if row.renewals:
        said.append(f"{counted(row.renewals.total(), 'renewal')} in one of them only")
    said += [
        f"{counted(count, 'change carries', 'changes carry')} another {name}"
        for name, count in row.details.items()
    ]
    return said


def short_sentence(row: RowDifference, before: RowHistory, after: RowHistory) -> str:
    """The same for those in a hurry: what most of its memberships are concerned by."""
    old, new = before.entered, after.entered
    if old == new:
        said = f"as many entries as before ({old:,})"
    elif old and new:
        said = f"{counted(new, 'entry', 'entries')} instead of {old:,} ({change(old, new)})"
    else:
        said = f"{counted(new, 'entry', 'entries')} instead of {old:,}"
    gained, lost = row.kinds[Kind.GAINED], row.kinds[Kind.LOST]
    if old and new and gained + lost >= _MANY * (row.shared + gained + lost):
        told = (f"{gained:,} new" if gained else "", f"{lost:,} gone" if lost else "")
        said += ": " + ", ".join(filter(None, told))
    shifts = []
    for kind, text in _SHIFTS:
        shift = row.typical_shift(kind)
        share = row.kinds[kind] / max(1, row.shared)
        if share >= _MANY and shift is not None:
            many = "nearly all" if share > 0.9 else f"{share:.0%}"
            shifts.append(f"{many} {text}, typically by {lasting(shift)}")
    if shifts:
        said += f"; of {'the others' if ':' in said else 'them'} " + ", and ".join(shifts)
    carried = [field for field, count in row.details.items() if count >= _MANY * row.shared]
    if carried:
        said += f"; many carry another {_listed(carried)}"
    return said


def is_minor(name: str, comparison: Comparison, about: About) -> bool:
    """Whether a row was not edited and hardly differs: a side effect."""
    return about.edited is not None and name not in about.edited and comparison.rows[name].share < _MANY


def order_of(comparison: Comparison, about: About) -> list[str]:
    """Rows that differ, those with most differences first."""
    names = [name for name, row in comparison.rows.items() if row.differs]
    place = {name: at for at, name in enumerate(about.rows)}
    return sorted(
        names,
        key=lambda name: (
            is_minor(name, comparison, about),
            about.edited is not None and name not in about.edited,
            -comparison.rows[name].kinds[Kind.LOST] - comparison.rows[name].kinds[Kind.GAINED],
            -comparison.rows[name].kinds.total(),
            place.get(name, len(place)),
            name,
        ),
    )


def headline(comparison: Comparison, about: About) -> str:
    """The answer in one sentence."""
    names = order_of(comparison, about)
    if not names:
        edited = sorted(about.edited or ())
        though = (
            f", though {_listed(edited)} {'was' if len(edited) == 1 else 'were'} edited" if edited else ""
        )
        return f"Nothing changes: nobody enters, leaves or moves in one of them only{though}."
    major = [name for name in names if not is_minor(name, comparison, about)]
    if not major:
        return f"Hardly anything changes: {_listed(names)}, in less than {_MANY:.0%} of their memberships."
    return f"{_listed(major)} {'changes' if len(major) == 1 else 'change'}."


def _listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and 3 more`."""
    if len(names) > 4:
        names = [*names[:3], f"{len(names) - 3} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def difference_page(
    comparison: Comparison,
    period: Period,
    about: About,
    sides: tuple[str, str],
    whys: Whys,
    texts: Sequence[tuple[str, str, str]] = (),
) -> str:
    """The page, as HTML. `sides`: what is compared; `texts`: (name, before, after) of definitions that differ."""
    drawer = Drawer(period)
    names = order_of(comparison, about)
    major = [name for name in names if not is_minor(name, comparison, about)]
    before, after = comparison.before.rows, comparison.after.rows
    said = f"{span(period)} · {escape(', '.join(about.logs))}" if about.logs else span(period)
    if about.records is not None and about.users is not None:
        said += f" · {counted(about.records, 'record')} of {counted(about.users, 'user')}"
    said += f"<br>before: <code>{escape(sides[0])}</code> · after: <code>{escape(sides[1])}</code>"
    body = [_verdict(comparison, about, names, major)]
    if names:
        amounts = [
            (name, before.get(name, RowHistory()).entered, after.get(name, RowHistory()).entered)
            for name in (major or names)[:12]
        ]
        if any(old or new for _, old, new in amounts):
            body.append(card([figure("Entries", "grey: before, blue: after", drawer.amounts(amounts))]))
        body.append(_table(comparison, about, names))
    body += [
        ladder_card(name, comparison.ladders[name], about.rows) for name in ladders_of(comparison, major)
    ]
    body += [_texts(texts)] if texts else []
    body += [_row_card(drawer, name, comparison, about, period, whys) for name in major[:_ROWS_DRAWN]]
    everything = [
        name for name in dict.fromkeys([*about.rows, *after]) if after.get(name, RowHistory()).entered
    ]
    if len(everything) > 1:
        body.append(overlap_card(drawer, comparison.after, everything))
    return page("What would change", said, body)


def _verdict(comparison: Comparison, about: About, names: list[str], major: list[str]) -> str:
    content = [f"<p>{escape(headline(comparison, about))}</p>"]
    items = []
    for name in major[:10]:
        before, after = (side.rows.get(name, RowHistory()) for side in (comparison.before, comparison.after))
        if name in about.removed:
            said = f"not defined any more, {counted(before.entered, 'entry', 'entries')} less"
        elif name in about.added:
            said = f"new, {counted(after.entered, 'entry', 'entries')}"
        else:
            said = short_sentence(comparison.rows[name], before, after)
        items.append(f"<li><strong>{link(name)}</strong>: {escape(said)}.</li>")
    if items:
        content.append(f"<ul>{''.join(items)}</ul>")
    if len(major) > len(items):
        content.append(f"<p>And {len(major) - len(items):,} more below.</p>")
    minor = [name for name in names if name not in major]
    if minor and major:
        content.append(
            f'<p class="about">Not edited, and touched in less than {_MANY:.0%} of their memberships: '
            f"{escape(', '.join(minor))}. Late events are judged by a user's clock, which the changes of edited "
            "segments move.</p>"
        )
    same = [name for name in dict.fromkeys([*about.rows, *comparison.rows]) if name not in names]
    if same and names:
        content.append(f'<p class="about">The same as before: {escape(", ".join(same))}.</p>')
    return card(content, kind="verdict")


def _table(comparison: Comparison, about: About, names: list[str]) -> str:
    head = (
        "segment",
        "entries before",
        "entries after",
        "change",
        "no longer",
        "new",
        "enters later / earlier",
        "leaves later / earlier",
        "members at the end",
    )
    shown: list[Sequence[str | tuple[str, str]]] = []
    for name in names:
        row = comparison.rows[name]
        old = comparison.before.rows.get(name, RowHistory())
        new = comparison.after.rows.get(name, RowHistory())
        kind = "same" if old.entered == new.entered else "more" if new.entered > old.entered else "less"
        kinds = row.kinds
        shown.append(
            (
                escape(name) if is_minor(name, comparison, about) else link(name),
                f"{old.entered:,}",
                f"{new.entered:,}",
                (kind, change(old.entered, new.entered)),
                _or_dot(kinds[Kind.LOST]),
                _or_dot(kinds[Kind.GAINED]),
                _pair(kinds[Kind.LATER], kinds[Kind.EARLIER]),
                _pair(kinds[Kind.LONGER], kinds[Kind.SHORTER]),
                f"{old.members:,} → {new.members:,}",
            )
        )
    return card(["<h3>In numbers</h3>", table(head, shown, "What changes, per segment")])


def _or_dot(count: int) -> str:
    return f"{count:,}" if count else "·"


def _pair(one: int, other: int) -> str:
    return f"{one:,} / {other:,}" if one or other else "·"


def _texts(texts: Sequence[tuple[str, str, str]]) -> str:
    content = ["<h3>What was edited</h3>"]
    for name, old, new in texts:
        lines = []
        for line in list(difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=2))[2:]:
            shown = "⋯" if line.startswith("@@") else escape(line)
            tag = {"+": "ins", "-": "del"}.get(line[:1])
            lines.append(f"<{tag}>{shown}</{tag}>" if tag else shown)
        if lines:
            content.append(f"<p>{escape(name)}</p><pre>" + "\n".join(lines) + "</pre>")
    return card(content) if len(content) > 1 else ""


def _row_card(
    drawer: Drawer, name: str, comparison: Comparison, about: About, period: Period, whys: Whys
) -> str:
    row = comparison.rows[name]
    old = comparison.before.rows.get(name, RowHistory())
    new = comparison.after.rows.get(name, RowHistory())
    content = [f"<h3>{escape(name)}</h3>"]
    if about.descriptions.get(name):
        content.append(f'<p class="description">{escape(about.descriptions[name])}</p>')
    content.append(f'<p class="facts">{escape("; ".join(sentences(name, row, old, new)))}.</p>')
    content.append(pictures(drawer, name, new, old))
    examples = [example for kind in Kind for _, example in row.examples.get(kind, ())]
    if examples:
        shown = "".join(_example(example, period, whys) for example in examples)
        content.append(
            f"<details open><summary>{counted(len(examples), 'example')}, with reasons</summary>{shown}</details>"
        )
    return card(content, name=anchor(name))


def _example(example: Example, period: Period, whys: Whys) -> str:
    who = example.user if example.instance is None else f"{example.user} [{example.instance}]"
    return (
        f'<div class="example"><h4><code>{escape(who)}</code> {escape(example.kind)}</h4><div class="sides">'
        f"<div><strong>Before</strong>: {_side(example, period, whys, is_before=True)}</div>"
        f"<div><strong>After</strong>: {_side(example, period, whys, is_before=False)}</div></div></div>"
    )


def _side(example: Example, period: Period, whys: Whys, *, is_before: bool) -> str:
    at, told = (example.before_at, example.before) if is_before else (example.after_at, example.after)
    said: list[tuple[int, str]] = []
    if at is not None and told is not None:
        value = msgspec.json.decode(told.value)
        mark = "" if value["type"] in ("exited", "retracted") else ' class="yes"'
        reason = "".join(f"<li>{_reason(leaf, mark)}</li>" for leaf in value["reason"])
        said.append((at, f'{escape(told.type)} {when(at, period)}<ul class="tree">{reason}</ul>'))
    why = whys.get(example.place)
    if why is not None and is_before != asked_after(example.kind):
        trees = "".join(
            f"<li>{escape(name)}: {_tree(node)}</li>"
            for name, node in why.conditions
            if _matters(why, name, example)
        )
        standing = _standing(why, example.kind)
        said.append((why.at, f'{standing} {when(why.at, period)}<ul class="tree">{trees}</ul>'))
    return "".join(text for _, text in sorted(said)) or "nothing"


def _standing(why: Explained, kind: Kind) -> str:
    """How it stood on the side that did not change."""
    if why.kind == "ladder":
        return f"tier {escape(why.tier)}" if why.tier else "no tier"
    if why.member:
        return "still a member" if kind in (Kind.LONGER, Kind.SHORTER) else "a member already"
    return "not yet a member" if kind in (Kind.LATER, Kind.EARLIER) else "not a member"


def _matters(why: Explained, name: str, example: Example) -> bool:
    """Of a ladder only the tier in question; how one gets out only of those who are in."""
    if why.kind == "ladder":
        return example.row.endswith(f": {name}")
    return name == "when" or why.member


def asked_after(kind: Kind) -> bool:
    """Whether it is the after side that is asked how it stood: it is the one without the change at that instant."""
    return kind in (Kind.LOST, Kind.LATER, Kind.LONGER)


def _reason(leaf: dict[str, Any], mark: str) -> str:
    said = f"<span{mark}>{escape(leaf['leaf'])}</span>"
    if "op" in leaf and leaf["bound"] is not True:
        said += _compared(_spoken(leaf["value"]), leaf["op"], _spoken(leaf["bound"]))
    return said


def _tree(node: Explanation) -> str:
    mark = {True: "yes", False: "no", None: "unknown"}[node.verdict]
    said = f'<span class="{mark}">{escape(node.text)}</span>'
    if node.operator is not None and node.bound is not True:
        value, bound = (_spoken(plain(side, node.duration)) for side in (node.value, node.bound))
        said += _compared(value, node.operator, bound)
    if node.why is not None:
        said += f' <span class="number">unknown: {escape(node.why)}</span>'
    parts = "".join(f"<li>{_tree(part)}</li>" for part in node.parts)
    return said + (f"<ul>{parts}</ul>" if parts else "")


def _compared(value: str, operator: str, bound: str) -> str:
    return (
        f' <span class="number">({value}; wanted: {_WANTED.get(operator, escape(operator))} {bound})</span>'
    )


def _spoken(value: Any) -> str:
    """A value as people say it: `432000001ms` is 5 days to them."""
    if value is None:
        return "unknown"
    if not isinstance(value, str):
        return escape(msgspec.json.encode(value).decode())
    try:
        return lasting(parse_duration(value))
    except ValueError:
        return escape(value)
