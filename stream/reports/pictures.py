"""Pictures of runs, as SVG to stand in a page: drawn by matplotlib, text left as text.

Every picture takes one run, or two to compare: then what is now is drawn in colour and what was before as a dark
outline, so that the two are told apart without colour too.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from html import escape
from importlib.util import find_spec
from math import floor, log2
from typing import TYPE_CHECKING, Any

from stream.durations import DAY, HOUR, MINUTE, SECOND
from stream.errors import OperatorError
from stream.instants import EPOCH
from stream.replay.history import RowHistory

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOW, BEFORE, GRID, TEXT = "#2456a6", "#1b1b1b", "#e3e6ea", "#3c4450"
CAUSES = {
    "event": ("#2456a6", "something they did"),
    "timer": ("#e08a00", "time passed"),
    "late_event": ("#b0479a", "an event came late"),
    "evicted": ("#7a5c3e", "made room for others"),
    "definition_change": ("#4b8b6a", "the definition changed"),
}
_OTHER_CAUSE = "#7d8590"
_WIDTH, _HEIGHT = 4.3, 2.2
_MANY_DAYS = 100
_STEPS = 400
"""More steps of a line than that nobody sees."""
_LANDMARKS = (
    (MINUTE, "1 min"),
    (10 * MINUTE, "10 min"),
    (HOUR, "1 h"),
    (6 * HOUR, "6 h"),
    (DAY, "1 day"),
    (7 * DAY, "1 week"),
    (30 * DAY, "30 days"),
    (180 * DAY, "½ year"),
)
_PER_DOUBLING = 2
_IDS = re.compile(r'(\bid="|url\(#|href="#)')


@dataclass(frozen=True)
class Period:
    """What the pictures cover: from, to (epoch milliseconds), and the zone whose days are meant."""

    start: int
    end: int
    zone: tzinfo

    def local(self, instant: int) -> datetime:
        """The wall clock at an instant, without its zone: what axes are made of."""
        return (EPOCH + timedelta(milliseconds=instant)).astimezone(self.zone).replace(tzinfo=None)

    @property
    def step(self) -> int:
        """Days of one bar."""
        return 1 if (self.end - self.start) / DAY <= _MANY_DAYS else 7


def check_matplotlib() -> None:
    """OperatorError where there is nothing to draw with: better told before a long replay than after it."""
    if find_spec("matplotlib") is None:
        raise OperatorError("pictures need matplotlib: pip install 'segstream[plots]'")


class Drawer:
    """Draws the pictures of one page. OperatorError where matplotlib is missing."""

    def __init__(self, period: Period) -> None:
        check_matplotlib()
        import matplotlib as mpl
        from matplotlib.figure import Figure

        self._figure = Figure
        self._style = mpl.rc_context
        self._period = period
        self._count = 0

    @property
    def bar(self) -> str:
        """What one bar of entries stands for."""
        return "day" if self._period.step == 1 else "week"

    # --- one row -----------------------------------------------------------------------------------------------------

    def members(self, name: str, now: RowHistory, before: RowHistory | None) -> str:
        """Members over time."""

        def draw(axes: Axes) -> None:
            instants, counts = self._steps(now)
            axes.fill_between(instants, counts, step="post", color=NOW, alpha=0.18, linewidth=0)
            axes.step(instants, counts, where="post", color=NOW, linewidth=1.6)
            if before is not None:
                axes.step(
                    *self._steps(before), where="post", color=BEFORE, linewidth=1.1, linestyle=(0, (4, 2))
                )
            self._days(axes)

        told = f"Members of {name} over time: {now.members:,} at the end, {now.peak:,} at most."
        if before is not None:
            told += f" Before: {before.members:,} at the end, {before.peak:,} at most."
        return self._draw(f"Members of {name} over time", told, draw)

    def entries(self, name: str, now: RowHistory, before: RowHistory | None) -> str:
        """Entries per day, by cause."""
        step = self._period.step
        what = self.bar

        def draw(axes: Axes) -> None:
            days = self._all_days()
            base = [0] * len(days)
            for cause in _in_order(now.entries_at):
                counts = self._per_day(now.entries_at[cause])
                heights = [counts[day] for day in days]
                colour = CAUSES.get(cause, (_OTHER_CAUSE, cause))[0]
                axes.bar(days, heights, step * 0.86, base, align="edge", color=colour, linewidth=0)
                base = [low + height for low, height in zip(base, heights, strict=True)]
            if before is not None and days:
                counts = sum((self._per_day(each) for each in before.entries_at.values()), Counter())
                edges = [*days, days[-1] + timedelta(days=step)]
                axes.stairs([counts[day] for day in days], _numbers(edges), color=BEFORE, linewidth=1.1)
            self._days(axes)

        causes = ", ".join(f"{now.entries[cause]:,} by {cause}" for cause in _in_order(now.entries_at))
        told = f"Entries into {name} per {what}: {now.entered:,} in all ({causes or 'none'})."
        if before is not None:
            told += f" Before: {before.entered:,} in all."
        return self._draw(f"Entries into {name} per {what}", told, draw)

    def stays(self, name: str, now: RowHistory, before: RowHistory | None) -> str:
        """How long it took until they left."""

        def draw(axes: Axes) -> None:
            both = [row for row in (now, before) if row is not None and row.stays]
            if not both:
                axes.text(
                    0.5, 0.5, "nobody left", transform=axes.transAxes, ha="center", va="center", color=TEXT
                )
                axes.set_axis_off()
                return
            bins = [_bin(length) for row in both for length in row.stays]
            places = range(min(bins), max(bins) + 2)
            edges = [_edge(place) for place in places]
            if now.stays:
                axes.stairs(_shares(now, places), edges, fill=True, color=NOW, alpha=0.35)
                axes.stairs(_shares(now, places), edges, color=NOW, linewidth=1.4)
            if before is not None and before.stays:
                axes.stairs(
                    _shares(before, places), edges, color=BEFORE, linewidth=1.1, linestyle=(0, (4, 2))
                )
            axes.set_xscale("log")
            marks: list[tuple[int, str]] = []
            apart = (edges[-1] / edges[0]) ** 0.15  # in the picture, so that labels do not touch
            for mark in reversed(_LANDMARKS):
                if edges[0] <= mark[0] <= edges[-1] and (not marks or marks[-1][0] / mark[0] >= apart):
                    marks.append(mark)
            axes.set_xticks([mark[0] for mark in marks], [mark[1] for mark in marks])
            axes.set_xticks([], minor=True)
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")

        typical = now.typical_stay()
        told = f"How long people stay in {name}: "
        told += (
            "nobody left." if typical is None else f"half of those who left did so within {lasting(typical)}."
        )
        if before is not None and (was := before.typical_stay()) is not None:
            told += f" Before: within {lasting(was)}."
        return self._draw(f"Time until leaving {name}", told, draw)

    # --- all rows ----------------------------------------------------------------------------------------------------

    def overlap(self, names: Sequence[str], people: Sequence[Sequence[int]]) -> str:
        """Of those ever in a row, the share who were in a column at the same time."""
        shares = [
            [people[i][j] / people[i][i] if people[i][i] else 0.0 for j in range(len(names))]
            for i in range(len(names))
        ]

        def draw(axes: Axes) -> None:
            edges = [place - 0.5 for place in range(len(names) + 1)]
            axes.pcolormesh(
                edges, edges, shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1
            )
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.set_xticks(range(len(names)), names, rotation=38, ha="left", rotation_mode="anchor")
            axes.xaxis.tick_top()
            labels = [f"{name}  ({people[place][place]:,})" for place, name in enumerate(names)]
            axes.set_yticks(range(len(names)), labels)
            axes.tick_params(length=0)
            axes.grid(visible=False)
            for spine in axes.spines.values():
                spine.set_visible(False)
            for i, row in enumerate(shares):
                for j, share in enumerate(row):
                    if i != j and people[i][i]:
                        colour = "white" if share > 0.55 else TEXT
                        shown = f"{share:.0%}" if not 0 < share < 0.005 else "<1%"
                        axes.text(j, i, shown, ha="center", va="center", fontsize=7.5, color=colour)
                    elif i == j:
                        axes.add_patch(_square(i))

        told = "; ".join(f"{name}: {people[place][place]:,} people" for place, name in enumerate(names))
        size = (2.6 + 0.62 * len(names), 1.5 + 0.34 * len(names))
        return self._draw("Who is in what at the same time", told, draw, size)

    def amounts(self, rows: Sequence[tuple[str, int, int]]) -> str:
        """Entries before and after, side by side, for each (name, before, after)."""

        def draw(axes: Axes) -> None:
            places = range(len(rows))
            most = max((max(row[1:]) for row in rows), default=1) or 1
            axes.barh([place - 0.19 for place in places], [row[1] for row in rows], 0.36, color="#9aa3ae")
            axes.barh([place + 0.19 for place in places], [row[2] for row in rows], 0.36, color=NOW)
            for place, (_, old, new) in enumerate(rows):
                axes.text(old + most * 0.01, place - 0.19, f"{old:,}", va="center", fontsize=8, color=TEXT)
                axes.text(
                    new + most * 0.01, place + 0.19, f"{new:,}  ({change(old, new)})", va="center", fontsize=8,
                    color=NOW, fontweight="bold",
                )  # fmt: skip
            axes.set_yticks(places, [row[0] for row in rows])
            axes.set_xlim(0, most * 1.25)
            axes.invert_yaxis()
            axes.set_xticks([])
            axes.grid(visible=False)
            axes.spines["bottom"].set_visible(False)
            axes.tick_params(axis="y", length=0, labelsize=9)

        told = "; ".join(f"{name}: {old:,} before, {new:,} after" for name, old, new in rows)
        return self._draw("Entries before and after", told, draw, (8.4, 0.35 + 0.52 * len(rows)))

    # --- how ---------------------------------------------------------------------------------------------------------

    def _draw(
        self,
        title: str,
        told: str,
        draw: Callable[[Axes], None],
        size: tuple[float, float] = (_WIDTH, _HEIGHT),
    ) -> str:
        style: dict[str, Any] = {
            "svg.fonttype": "none",
            "svg.hashsalt": "segstream",
            "text.parse_math": False,
            "font.size": 8.5,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "#9aa3ae",
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": GRID,
            "text.color": TEXT,
            "xtick.color": TEXT,
            "ytick.color": TEXT,
        }
        from matplotlib.ticker import MaxNLocator

        with self._style(style):
            figure = self._figure(figsize=size, layout="constrained")
            figure.patch.set_alpha(0)
            axes = figure.subplots()
            axes.patch.set_alpha(0)
            draw(axes)
            _, top = axes.get_ylim()
            if size == (_WIDTH, _HEIGHT) and axes.get_yticks().size and top > 0:
                axes.set_ylim(bottom=0)
                axes.grid(visible=False, axis="x")
                if top > 1 and axes.get_xscale() == "linear":
                    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
            file = io.StringIO()
            figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        return self._inline(file.getvalue(), title, told)

    def _inline(self, svg: str, title: str, told: str) -> str:
        """An SVG document as an element of a page, named for those who do not see it."""
        self._count += 1  # what is named inside a picture must not clash with another one's
        own = f"p{self._count}-"
        body = _IDS.sub(lambda match: match[1] + own, svg[svg.index("<svg") :])
        opening, _, rest = body.partition(">")
        box = re.search(r'viewBox="([^"]*)"', opening)
        assert box is not None
        width = float(box[1].split()[2])
        label = f'<title id="{own}t">{escape(title)}</title><desc id="{own}d">{escape(told)}</desc>'
        rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
        rest = re.sub(r"font: ([^;\"]*?)'[^;\"]*", r"font: \1system-ui, sans-serif", rest)
        return (
            f'<svg viewBox="{box[1]}" role="img" aria-labelledby="{own}t {own}d" '
            f'style="max-width:{width * 1.33:.0f}px">{label}{rest}'
        )

    def _steps(self, row: RowHistory) -> tuple[list[Any], list[int]]:
        instants, counts = row.series()
        period = self._period
        inside = [(at, count) for at, count in zip(instants, counts, strict=True) if at >= period.start]
        start = next(
            (count for at, count in reversed(list(zip(instants, counts, strict=True))) if at < period.start),
            row.before,
        )
        if len(inside) > _STEPS:  # the last of every few
            every = len(inside) // _STEPS + 1
            inside = inside[-1::-every][::-1]
        points = [(period.start, start), *inside, (period.end, inside[-1][1] if inside else start)]
        return _numbers(period.local(at) for at, _ in points), [count for _, count in points]

    def _per_day(self, buckets: Counter[int]) -> Counter[Any]:
        days: Counter[Any] = Counter()
        for at, count in buckets.items():
            days[self._day(at)] += count
        return days

    def _day(self, instant: int) -> datetime:
        """The beginning of the bar that an instant belongs to."""
        local = self._period.local(instant).replace(hour=0, minute=0, second=0, microsecond=0)
        return local - timedelta(days=local.weekday()) if self._period.step == 7 else local

    def _all_days(self) -> list[Any]:
        day, last = self._day(self._period.start), self._day(self._period.end)
        days = [day]
        while days[-1] < last:
            days.append(days[-1] + timedelta(days=self._period.step))
        return days

    def _days(self, axes: Axes) -> None:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        first, last = self._day(self._period.start), self._day(self._period.end)
        axes.set_xlim(*_numbers([first, last + timedelta(days=self._period.step)]))
        locator = AutoDateLocator(minticks=3, maxticks=7)
        axes.xaxis_date()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def lasting(milliseconds: int) -> str:
    """A duration as one says it: `30 min`, `1 day 4 h`, `2.5 s`; two units at most."""
    if milliseconds < MINUTE:
        return f"{milliseconds / SECOND:.3g} s"
    parts = []
    left = milliseconds
    for size, one, many in ((DAY, "day", "days"), (HOUR, "h", "h"), (MINUTE, "min", "min")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count:,} {one if count == 1 else many}")
    return " ".join(parts[:2])


def change(before: int, after: int) -> str:
    """`+12 %`, `−3 %`, `same`, `new`."""
    if before == after:
        return "same"
    if not before:
        return "new"
    if not after:
        return "none any more"
    percent = 100 * (after - before) / before
    shown = f"{abs(percent):,.0f}" if abs(percent) >= 1 else f"{abs(percent):.1f}"
    return f"{'+' if percent > 0 else '−'}{shown} %"


def _in_order(causes: Iterable[str]) -> list[str]:
    known = list(CAUSES)
    return sorted(causes, key=lambda cause: (known.index(cause) if cause in known else len(known), cause))


def _numbers(days: Iterable[datetime]) -> list[Any]:
    from matplotlib.dates import date2num

    return [date2num(day) for day in days]


def _bin(length: int) -> int:
    """Durations on a scale of doublings; what is shorter than half a minute is no stay worth telling apart."""
    return floor(_PER_DOUBLING * log2(max(30 * SECOND, length)) + 1e-9)


def _edge(place: int) -> float:
    return float(2 ** (place / _PER_DOUBLING))


def _shares(row: RowHistory, places: range) -> list[float]:
    counts: Counter[int] = Counter()
    for length, count in row.stays.items():
        counts[_bin(length)] += count
    total = row.stays.total()
    return [counts[place] / total for place in places[:-1]]


def _square(place: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((place - 0.5, place - 0.5), 1, 1, facecolor="#f1f3f5", linewidth=0)
