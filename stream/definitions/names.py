"""Everything that has a name in a set of definitions, and what to say of a name that is nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from stream.definitions.model import Feature, Ladder, Name, Reference, Segment, Selector
from stream.definitions.source import Problems, suggest


@dataclass(slots=True)
class Names:
    """What the files define. `declared` and `unread` also know of what could not be read, by section."""

    selectors: dict[str, Selector]
    features: dict[str, Feature]
    segments: dict[str, Segment]
    ladders: dict[str, Ladder]
    declared: Mapping[str, set[str]] = field(default_factory=dict)
    """Names that a section gives, those of broken definitions too."""
    unread: frozenset[str] = frozenset()
    """Sections of which not even the names could be read: any name may be in them."""
    incomplete: frozenset[str] = frozenset()
    """Ladders of which not all tiers could be read."""

    def may_be(self, section: str, name: str) -> bool:
        """Whether a name may be that of a definition that could not be read: one that was, or one unlike all others."""
        if name in self.declared.get(section, ()):
            return True
        return section in self.unread and not suggest(name, self.declared.get(section, ()))

    def check_selector(self, reference: Reference, problems: Problems) -> None:
        """Reports a selector that does not exist."""
        name = reference.name
        if name not in self.selectors and not self.may_be("events", name):
            problems.error(reference.at, f"unknown selector `{name}`{self._selector_hint(name)}")

    def _selector_hint(self, name: str) -> str:
        head, _, field_ = name.partition(".")
        if field_ and head in self.selectors:
            return f"; the events of `{head}` are meant whole here, drop `.{field_}`"
        if name in self.features:
            return "; that is a feature, and here the name of a selector of `events:` stands"
        typed = [one.name for one in self.selectors.values() if one.types and name in one.types]
        if typed:
            return f"; that is a type, its selector is `{typed[0]}`"
        near = suggest(name, self.selectors)
        return near or f"; define it: {{events: {{{name}: {{type: …}}}}}}"

    def unknown_feature(self, name: Name) -> str:
        """What is wrong with a name in an expression that is no feature."""
        path = name.path
        head, _, rest = path.partition(".")
        said = f"unknown feature `{path}`"
        if path in self.selectors:
            return f"{said}; that is a selector, ask {{do: {path}}} or count its events with a feature"
        if path in self.segments or path in self.ladders:
            kind = "segment" if path in self.segments else "ladder"
            return f"{said}; that is a {kind}, write `{kind}.{path}`"
        owners = [
            ladder.name for ladder in self.ladders.values() if any(t.name == path for t in ladder.tiers)
        ]
        if owners:
            return f"{said}; the tiers of `ladder.{owners[0]}` are texts, write '{path}'"
        if rest and head in self.features:
            return f"{said}; `{head}` is a feature and has no parts"
        if rest and head in self.selectors:
            return f"{said}; fields of events are read by a feature, like {{last_value: {path}}}"
        if head in ("traits", "segment", "ladder") and not rest:
            return f"{said}; say which: `{head}.x`"
        near = suggest(path, self.of_expressions())
        return said + (near or f"; features stand in `features:`, a text is written '{path}'")

    def of_expressions(self) -> Iterable[str]:
        """What a name in a condition can be, besides a trait."""
        yield from self.features
        yield from (f"segment.{name}" for name in self.segments)
        yield from (f"ladder.{name}" for name in self.ladders)

    def unknown_outcome(self, kind: str, name: str) -> str:
        """What is wrong with `segment.x` or `ladder.x`."""
        known, other, others = (
            (self.segments, "ladder", self.ladders)
            if kind == "segment"
            else (self.ladders, "segment", self.segments)
        )
        if name in others:
            return f"unknown {kind} `{name}`; that is a {other}, write `{other}.{name}`"
        return f"unknown {kind} `{name}`{suggest(name, known)}"
