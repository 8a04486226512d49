"""The shape of the records that a mapping reads: what of them is worth decoding.

Decoding a record into dictionaries makes an object of everything in it, also of what nobody reads. From the paths of a
mapping follow structs that hold just what is read: an object that is only stepped through becomes a struct, everything
else is of any type. A record that does not fit (text where an object was expected) is decoded the general way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from stream.ingest.paths import Step

Steps = tuple[Step, ...]


class Shape:
    """The structs of a mapping, by where they stand; `root` is that of the record."""

    def __init__(self, read: Iterable[Steps]) -> None:
        whole = set(read)
        for steps in list(whole):  # a list that is stepped into is of any type
            whole.update(steps[:at] for at, step in enumerate(steps) if isinstance(step, int))
        through = {steps[:at] for steps in whole for at in range(len(steps))}
        self._structs: dict[Steps, type[msgspec.Struct]] = {}
        names: dict[Steps, list[str]] = {}
        for steps in whole | through:
            if steps and all(steps[:at] not in whole for at in range(len(steps))):
                names.setdefault(steps[:-1], []).append(str(steps[-1]))
        self._fields = {steps: sorted(set(found)) for steps, found in names.items()}
        self.root = self._make(())

    def _make(self, steps: Steps) -> type[msgspec.Struct]:
        fields: list[tuple[str, Any, Any]] = []
        for number, name in enumerate(self._fields[steps]):
            inner = (*steps, name)
            kind: Any = self._make(inner) | None if inner in self._fields else Any
            fields.append((f"f{number}", kind, msgspec.field(default=None, name=name)))
        made = msgspec.defstruct("Record", fields, gc=False)
        self._structs[steps] = made
        return made

    def is_struct(self, steps: Steps) -> bool:
        """Whether a struct stands there."""
        return steps in self._structs

    def attribute(self, steps: Steps, step: Step) -> str:
        """The attribute of the struct at `steps` that holds a field."""
        return f"f{self._fields[steps].index(str(step))}"

    def blank(self, steps: Steps) -> msgspec.Struct:
        """A struct of nothing, for where there is none."""
        return self._structs[steps]()
