"""Features compiled: each becomes a value read from summaries, and equal summaries become one.

What is shared is found by form, never by name, so that a renamed feature keeps its state and two segments that ask the
same pay for it once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from stream.definitions import model
from stream.definitions.canonical import Canon, field_form
from stream.definitions.check import names_of
from stream.definitions.model import Definitions, Reference
from stream.definitions.reader import MAX_KEYS
from stream.definitions.vocabulary import LINE_FIELDS
from stream.engine import cells, shares, values, windows
from stream.engine.calendar import Periods
from stream.engine.fields import read_field
from stream.engine.keys import (
    compile_days,
    compile_fold,
    compile_keys,
    count_keys,
    present,
    times_keys,
    with_keys,
)
from stream.engine.lines import LinesSummary
from stream.engine.selectors import compile_where
from stream.engine.summaries import (
    Bundle,
    Cells,
    CellSummary,
    DecaySummary,
    KeysOf,
    NewestSummary,
    RecentSummary,
    Summary,
    WindowSummary,
    key_of,
)
from stream.engine.values import Value
from stream.events import Event, Reader, envelope_field, stray_field

Where = Callable[[Event], bool | None]

_SHAPES: dict[str, cells.Shape] = {
    "count": cells.TIMES,
    "since_first": cells.TIMES,
    "since_last": cells.TIMES,
    "mean_gap": cells.TIMES,
    "sum": cells.SUMS,
    "mean": cells.SUMS,
    "min": cells.RANGES,
    "max": cells.RANGES,
    "first_value": cells.ENDS,
    "last_value": cells.ENDS,
}
_FEATURES: dict[str, type[values.Feature]] = {
    "count": values.Count,
    "sum": values.Sum,
    "mean": values.Mean,
    "min": values.Min,
    "max": values.Max,
    "first_value": values.FirstValue,
    "last_value": values.LastValue,
    "since_first": values.SinceFirst,
    "since_last": values.SinceLast,
    "mean_gap": values.MeanGap,
}


class FeatureCompiler:
    """Makes summaries and the values read from them, sharing whatever has the same form."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.canon = Canon(definitions)
        self._bits: dict[str, int] = {}
        self._summaries: dict[str, Any] = {}
        self._bundles: dict[str, Bundle] = {}
        self._keys_of: dict[str, KeysOf] = {}
        self.selectors: list[tuple[frozenset[str] | None, Where | None]] = []
        self.keys: list[str] = []
        self.covered: set[int] = set()
        self.bundles: list[Bundle] = []
        self.adds: dict[int, list[tuple[Bundle, int]]] = {}
        self.asked: set[int] = set()
        """Slots of the summaries asked for since this was last emptied."""
        self.extra_fields: set[str] = set()
        self.read_fields: set[str] = set()

    def bit(self, reference: Reference) -> int:
        """The number of a selector; selectors of one form are one."""
        selector = self.definitions.selectors[reference.name]
        key = key_of(self.canon.selector(selector))
        if key not in self._bits:
            self._bits[key] = len(self.selectors)
            types = None if selector.types is None else frozenset(selector.types)
            self.selectors.append((types, compile_where(selector)))
            if selector.where is not None:
                self.need_fields(*(name.path for name in names_of(selector.where)))
        return self._bits[key]

    def need_fields(self, *paths: str) -> None:
        """Whatever reads events says which fields here: no others are decoded."""
        self.extra_fields.update(name for name in map(stray_field, paths) if name is not None)
        self.read_fields.update(map(envelope_field, paths))

    def keys_of(self, field: str) -> KeysOf:
        """The keys of an event by a field; one function per field."""
        form = field_form(field)
        if form not in self._keys_of:
            self.need_fields(field, "items")
            self._keys_of[form] = compile_keys(field)
        return self._keys_of[form]

    def share(
        self,
        form: Any,
        make: Callable[[], Summary],
        feeds: Iterable[tuple[Reference, int]],
        by: str | None = None,
        max_keys: int = MAX_KEYS,
    ) -> Any:
        """The summary of a form; a new one is fed by (selector, role), and with `by` split by a field."""
        key = key_of(form)
        if key not in self._summaries:
            self._summaries[key] = summary = make()
            self._bundle(list(feeds), by, max_keys).join(summary, len(self.keys))
            self.keys.append(key)
        self.asked.add(self._summaries[key].slot)
        return self._summaries[key]

    def _bundle(self, feeds: list[tuple[Reference, int]], by: str | None, max_keys: int) -> Bundle:
        """The bundle of all summaries with these feeds and keys."""
        sources = sorted((self.bit(reference), role) for reference, role in feeds)
        key = key_of([sources, self.by_form(by, max_keys)])
        if key not in self._bundles:
            keys_of = None if by is None else self.keys_of(by)
            self._bundles[key] = bundle = Bundle(len(self.bundles), keys_of, max_keys)
            self.bundles.append(bundle)
            for reference, role in feeds:
                self.adds.setdefault(self.bit(reference), []).append((bundle, role))
        return self._bundles[key]

    # --- shared summaries --------------------------------------------------------------------------------------------

    def by_form(self, field: str | None, max_keys: int = MAX_KEYS) -> Any:
        """How a summary is split, as a part of its form."""
        return None if field is None else [field_form(field), max_keys]

    def times(self, reference: Reference, by: str | None = None) -> CellSummary:
        """The lifetime times of a selector."""
        form = ["cell", "times", self.canon.reference(reference), None, self.by_form(by)]
        found: CellSummary = self.share(form, lambda: CellSummary(cells.TIMES, None), [(reference, 0)], by)
        return found

    def recent(self, reference: Reference, by: str | None = None, max_keys: int = MAX_KEYS) -> RecentSummary:
        """The newest events of a selector, as evidence."""
        form = ["recent", self.canon.reference(reference), self.by_form(by, max_keys)]
        found: RecentSummary = self.share(form, RecentSummary, [(reference, 0)], by, max_keys)
        return found

    def lines(self, reference: Reference) -> LinesSummary:
        """The newest events of a selector with their lines."""
        form = ["lines", self.canon.reference(reference)]
        self.need_fields("items", *LINE_FIELDS)
        found: LinesSummary = self.share(form, LinesSummary, [(reference, 0)])
        return found

    # --- features ----------------------------------------------------------------------------------------------------

    def feature(self, feature: model.Feature) -> Value:
        """The value node of a feature."""
        before, self.asked = self.asked, set()
        value = self._feature(feature)
        if feature.assume_covered:  # also what others read: it is the state that has seen everything
            self.covered |= self.asked
        self.asked |= before
        return value

    def _feature(self, feature: model.Feature) -> Value:
        by = feature.by
        recent = self.recent(feature.selector, None if feature.aggregate == "top" else by, feature.max_keys)
        if feature.window.kind == "half_life":
            return self._decay(feature, recent)
        if feature.aggregate in ("share", "top"):
            return self._compare_keys(feature, recent)
        window = self.window(feature, by)
        if feature.aggregate in ("distinct", "days", "weeks", "months"):
            return self._different(feature, window, recent)
        shape = _SHAPES[feature.aggregate]
        summary = self.cells(feature, shape, window, self._read(feature), by)
        return _FEATURES[feature.aggregate](feature.name, summary, window, recent, feature.min_n)

    def _read(self, feature: model.Feature) -> Reader | None:
        if feature.field is None:
            return None
        self.need_fields(feature.field)
        return read_field(feature.field)

    def cells(
        self,
        feature: model.Feature,
        shape: cells.Shape,
        window: windows.Window,
        read: Reader | None,
        by: str | None,
        purpose: str = "",
    ) -> Cells:
        """The summary of a feature's events as cells. `purpose` names what is read, where it is not the field."""
        state = self.canon.state(feature)
        source = [purpose, state["selector"], state["field"], self.by_form(by, feature.max_keys)]
        feeds = [(feature.selector, 0)]
        found: Cells
        if isinstance(window, windows.Lifetime):
            form = ["cell", shape.name, *source[1:]] if not purpose else ["cell", shape.name, *source]
            found = self.share(form, lambda: CellSummary(shape, read), feeds, by, feature.max_keys)
        else:
            form = ["window", shape.name, *source, state["window"]]
            found = self.share(form, lambda: WindowSummary(shape, read, window), feeds, by, feature.max_keys)
        return found

    def _different(self, feature: model.Feature, window: windows.Window, recent: RecentSummary) -> Value:
        """`distinct`, and `days`, `weeks` and `months`."""
        by, is_sample = feature.by, feature.aggregate == "distinct"
        read = self._read(feature)
        fold = compile_days(feature.aggregate, feature.timezone) if read is None else compile_fold(read)
        summary: Cells
        if feature.window.kind == "between":  # the newest event of a value does not speak for its older ones
            source = fold if read is None else read
            purpose = {"distinct": "", "days": feature.timezone}.get(
                feature.aggregate, f"{feature.aggregate} in {feature.timezone}"
            )
            summary = self.cells(feature, cells.SETS, window, source, by, purpose)
        else:
            form = ["newest", feature.aggregate, feature.timezone, self.canon.state(feature)]
            feeds = [(feature.selector, 0)]
            summary = self.share(
                form, lambda: NewestSummary(fold, is_sample, window), feeds, by, feature.max_keys
            )
        kind = values.Distinct if is_sample or feature.window.kind == "between" else values.Days
        value = kind(feature.name, summary, window, recent, 0)
        if not feature.min_n:
            return value
        count = self.cells(
            feature, cells.TIMES, window, None if read is None else present(read), by, "present"
        )
        return shares.Gate(value, count, feature.min_n, recent)

    def _compare_keys(self, feature: model.Feature, recent: RecentSummary) -> Value:
        """`share` and `top`."""
        assert feature.by is not None
        keys_of, read = self.keys_of(feature.by), self._read(feature)
        window = self.window(feature, feature.by)
        if read is None:  # what a key has of them is how many there are
            part = self.cells(feature, cells.TIMES, window, None, feature.by)
        else:
            part = self.cells(feature, cells.SUMS, window, read, feature.by, "part")
        events = count_keys(keys_of) if read is None else times_keys(read, keys_of)
        if feature.aggregate == "share":
            total = self.cells(feature, cells.SUMS, window, events, None, f"pairs by {feature.by}")
            return shares.Share(feature.name, part, total, read is None, feature.min_n, recent)
        value = shares.Top(feature.name, part, read is None, recent)
        if not feature.min_n:
            return value
        count = self.cells(feature, cells.TIMES, window, present(events), None, f"events by {feature.by}")
        return shares.Gate(value, count, feature.min_n, recent)

    def _decay(self, feature: model.Feature, recent: RecentSummary) -> Value:
        read, length = self._read(feature), feature.window.length
        feeds = [(feature.selector, 0)]
        state = self.canon.state(feature)
        part = self.share(
            ["decay", state], lambda: DecaySummary(read, length), feeds, feature.by, feature.max_keys
        )
        if feature.aggregate not in ("share", "top"):
            return shares.Decay(feature.name, part, recent, feature.min_n)
        assert feature.by is not None
        keys_of = self.keys_of(feature.by)
        pairs = count_keys(keys_of) if read is None else times_keys(read, keys_of)
        total = self.share(["decay of pairs", state], lambda: DecaySummary(pairs, length), feeds)
        kind = shares.DecayShare if feature.aggregate == "share" else shares.DecayTop
        return kind(feature.name, part, total, recent, feature.min_n)

    def window(self, feature: model.Feature, by: str | None) -> windows.Window:
        window = feature.window
        match window.kind:
            case "lifetime" | "half_life":
                return windows.Lifetime()
            case "last":
                return windows.Last(window.length)
            case "between":
                return windows.Between(window.length, window.until)
            case "calendar":
                return windows.Calendar(Periods(window.period, feature.timezone))
            case "session":
                run = self._run_of(feature, by)
                return windows.Session(window.length, run.unit, run.place)
            case "since":
                assert window.since is not None
                marks = self.times(window.since)
                return windows.Since(marks.unit, marks.place)

    def _run_of(self, feature: model.Feature, by: str | None) -> Summary:
        """The times of all of a selector's events (with `by`: those with a key), of which sessions are runs."""
        read = None if by is None else with_keys(self.keys_of(by))
        form = ["run", self.canon.reference(feature.selector), self.by_form(by)]
        found: Summary = self.share(
            form, lambda: WindowSummary(cells.TIMES, read, windows.Suffix()), [(feature.selector, 0)]
        )
        return found
