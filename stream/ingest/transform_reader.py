"""`as:` of a mapping: YAML → transforms."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

import yaml

from stream.definitions.source import Source, kind
from stream.ingest import numbers, times
from stream.ingest.paths import Path
from stream.ingest.pivot import pivot
from stream.ingest.transforms import OF_A_ZONE, TRANSFORMS, WITH_ARGUMENT, Transform, split

_EXAMPLES = {
    "date": "{date: '%d.%m.%Y %H:%M'}",
    "decimal": "{decimal: ','}",
    "times": "{times: 1000}",
    "divide": "{divide: 100}",
    "split": "{split: ','}",
    "pivot": "{pivot: {key: name, value: value}}",
}


class TransformReader:
    """Reads the transforms of one mapping; `zone` is that of its local times."""

    def __init__(self, source: Source, path: Callable[[yaml.Node, str], Path | None]) -> None:
        self._source = source
        self._path = path
        self.zone: ZoneInfo | None = None

    def read(self, node: yaml.Node) -> list[Transform]:
        """`as:` a transform, or a list of them in order."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found = [self._transform(each) for each in nodes]
        return [transform for transform in found if transform is not None]

    def _transform(self, node: yaml.Node) -> Transform | None:
        source = self._source
        if not isinstance(node, yaml.MappingNode):
            name = source.choice(node, "a transform", (*TRANSFORMS, "excel", *WITH_ARGUMENT))
            if name is None:
                return None
            if name in WITH_ARGUMENT:
                source.error(node, f"`{name}` is told something: {_EXAMPLES[name]}")
                return None
            if name == "excel" and self.zone is None:
                self._lacks_zone(node, f"`{name}`")
            return OF_A_ZONE[name](self.zone) if name in OF_A_ZONE else TRANSFORMS[name]
        fields = source.fields(node, "a transform", WITH_ARGUMENT) or {}
        if len(fields) != 1:
            if len(node.value) != 1:
                source.error(node, "one transform at a time; several stand in a list: [trim, lower]")
            return None
        ((name, (_, argument)),) = fields.items()
        make: Callable[[yaml.Node], Transform | None] = getattr(self, f"_{name}")
        return make(argument)

    def _lacks_zone(self, node: yaml.Node, what: str) -> None:
        message = f"{what} gives local times: say once whose, with `timezone:` at the top of the mapping"
        self._source.error(node, message)

    def _date(self, node: yaml.Node) -> Transform | None:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        formats = []
        for each in nodes:
            pattern = self._source.text(each, "date")
            wrong = None if pattern is None else times.check_format(pattern)
            if wrong is not None:
                self._source.error(each, wrong)
            elif pattern is not None:
                if times.is_local(pattern) and self.zone is None:
                    self._lacks_zone(each, f"`{pattern}`")
                formats.append(pattern)
        return times.date(tuple(formats), self.zone) if formats else None

    def _decimal(self, node: yaml.Node) -> Transform | None:
        sign = self._source.choice(node, "decimal", (",", "."))
        return None if sign is None else numbers.decimal(sign)

    def _times(self, node: yaml.Node) -> Transform | None:
        factor = self._factor(node, "times")
        return None if factor is None else numbers.scale(factor)

    def _divide(self, node: yaml.Node) -> Transform | None:
        divisor = self._factor(node, "divide")
        return None if divisor is None else numbers.scale(1 / divisor)

    def _factor(self, node: yaml.Node, what: str) -> Decimal | None:
        value = self._source.text(node, what)
        try:
            factor = Decimal(value or "")
            if factor.is_finite() and factor and abs(factor.adjusted()) < 30:
                return factor
        except InvalidOperation:
            pass
        self._source.error(node, f"`{what}` takes a number other than 0, not {kind(node)}")
        return None

    def _split(self, node: yaml.Node) -> Transform | None:
        separator = self._source.text(node, "split")
        if separator == "":
            self._source.error(node, "`split` needs what stands between the parts, like `split: ','`")
        return split(separator) if separator else None

    def _pivot(self, node: yaml.Node) -> Transform | None:
        fields = self._source.fields(node, "`pivot`", ("key", "value"), "{{key: {}, value: …}}") or {}
        if "key" not in fields or "value" not in fields:
            self._source.lacks(
                node, node, ("key", "value"), "`pivot` needs `key:` and `value:`, paths in each item"
            )
            return None
        key = self._path(fields["key"][1], "key")
        value_node = fields["value"][1]
        nodes = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
        values = [self._path(each, "value") for each in nodes]
        for path in (key, *values):
            if path is not None and (path.root != "item" or path.up):
                self._source.error(node, f"`{path.text}`: a pivot looks only into its items")
        if key is None or None in values:
            return None
        return pivot(key.steps, tuple(path.steps for path in values if path is not None))
