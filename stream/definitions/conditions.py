"""Nodes of a file → conditions: expressions, `all any not at_least do seq`, and the steps of sequences."""

from __future__ import annotations

from typing import Literal, cast

import yaml

from stream.definitions.model import AGGREGATES, AtLeast, Condition, Do, Not, Place, Sequence, Step, Test
from stream.definitions.nodes import Fields, NodeReader, broken
from stream.definitions.source import kind, listing, suggest

STEPS = ("do", "then", "not")
_FORMS = {
    "all": ("all",),
    "any": ("any",),
    "not": ("not",),
    "at_least": ("at_least", "of"),
    "do": ("do", "last"),
    "seq": ("seq", "by", "restart", "name"),
}
_STEP_KEYS = {"do": ("do",), "then": ("then", "within", "without"), "not": ("not", "for")}
Form = Literal["all", "any", "at_least"]
_ELSEWHERE = {
    "do": {
        "where": 'a `where` belongs to the selector: {events: {big: {type: order_completed, where: "value >= 100"}}}',
        "times": "how often is a feature, `{count: …, last: …}`, that an expression compares",
        "within": "write `last: 7d`",
    }
}


class ConditionReader(NodeReader):
    """Reads conditions. One that is wrong is reported and answered as `broken`."""

    def condition(self, node: yaml.Node, what: str, in_exit: bool = False) -> Condition:
        """The condition of a node; `what` names it in messages."""
        source = self._source
        at = source.place(node)
        expected = f"{what} must be an expression or one of {listing(_FORMS)}"
        if isinstance(node, yaml.ScalarNode):
            if node.value == "":
                source.error(node, f"{what} must be a condition, found nothing")
                return broken(at)
            expression = self.expression(node, what)
            text = self._parameters.interpolate(" ".join(node.value.split()))
            return broken(at) if expression is None else Test(expression, text, at)
        if not isinstance(node, yaml.MappingNode):
            hint = "; for several conditions write {all: […]} or {any: […]}"
            source.error(node, f"{expected}, not {kind(node)}{hint}")
            return broken(at)
        keys = [str(key.value) for key, _ in node.value]
        forms = [form for form in _FORMS if form in keys]
        if not forms:
            unknown = keys[0] if keys else ""
            hint = suggest(unknown, _FORMS)
            if unknown in AGGREGATES:
                hint = f"; a value stands in `features:` under a name, and `{what}` compares it: `name >= 3`"
            source.error(node, f"{expected}, not `{unknown}`{hint}")
            return broken(at)
        if len(forms) > 1:
            joined = ", ".join(f"{{{form}: …}}" for form in forms)
            source.error(node, f"{what} has {listing(forms)}; join them: {{all: [{joined}]}}")
            return broken(at)
        form = forms[0]
        fields = source.fields(node, f"`{form}`", _FORMS[form], elsewhere=_ELSEWHERE.get(form, {}))
        if fields is None or form not in fields:
            return broken(at)
        if form == "not":
            return Not(self.condition(fields["not"][1], "not", in_exit), at)
        if form == "do":
            return self._do(fields, at, in_exit)
        if form == "seq":
            return self._sequence(fields, at)
        return self._at_least(cast(Form, form), fields, at, in_exit)

    def _at_least(self, form: Form, fields: Fields, at: Place, in_exit: bool) -> Condition:
        source = self._source
        listed = "of" if form == "at_least" else form
        if listed not in fields:
            source.problems.error(at, "`at_least: n` needs `of:`, the list of conditions")
            return broken(at)
        node = fields[listed][1]
        items = source.items(node, f"`{listed}`")
        if items is None:
            return broken(at)
        if not items:
            source.error(node, f"`{listed}` needs at least one condition")
            return broken(at)
        operands = tuple(self.condition(item, f"a condition of `{listed}`", in_exit) for item in items)
        n: int | None = {"all": len(items), "any": 1}.get(form, 0)
        if form == "at_least":
            n = source.integer(fields["at_least"][1], "at_least", 1)
            if n is not None and n > len(items):
                source.error(
                    fields["at_least"][1], f"at_least {n} of {len(items)} conditions can never be true"
                )
        return AtLeast(form, n or 1, operands, at)

    def _do(self, fields: Fields, at: Place, in_exit: bool) -> Condition:
        selectors = self.references(fields["do"][1], "do")
        if in_exit and "last" in fields:
            message = "`do` in an exit means any such event after the entry; drop `last`"
            self._source.error(fields["last"][0], message)
            return Do(selectors, None, at)
        last = self.optional_duration(fields, "last")
        return Do(selectors, last, at) if selectors else broken(at)

    # --- sequences ---------------------------------------------------------------------------------------------------

    def _sequence(self, fields: Fields, at: Place) -> Condition:
        source = self._source
        node = fields["seq"][1]
        by, name = self.optional_field(fields, "by"), self.optional_text(fields, "name")
        restart: str | None = "last"
        if "restart" in fields:
            restart = source.choice(fields["restart"][1], "restart", ("last", "first"))
        nodes = source.items(node, "seq")
        if nodes is None:
            return broken(at)
        read = [self._step(one) for one in nodes]
        steps = tuple(step for step in read if step is not None)
        ordered = len(steps) == len(read) and self._ordered(node, steps)
        if ordered and restart == "first" and steps[-1].kind != "not":
            message = "`restart: first` needs a sequence that closes with `not … for …`"
            source.error(fields["restart"][1], message)
        return Sequence(steps, by, cast(Literal["last", "first"], restart or "last"), name, at)

    def _ordered(self, node: yaml.Node, steps: tuple[Step, ...]) -> bool:
        """Whether the steps stand in an order that means something; a problem if not."""
        problems = self._source.problems
        if len(steps) < 2:
            message = "a sequence needs at least two steps, the first `do`; for one event write {do: …}"
            self._source.error(node, message)
            return False
        for index, step in enumerate(steps):
            message = ""
            if index == 0 and step.kind != "do":
                message = f"the first step of a sequence must be `do`, not `{step.kind}`"
            elif index > 0 and step.kind == "do":
                message = "only the first step of a sequence can be `do`; use `then: …, within: …`"
            elif step.kind == "not" and index != len(steps) - 1:
                message = "`not … for …` must be the last step; inside a sequence use `without:` of a `then`"
            if message:
                problems.error(step.at, message)
                return False
        return True

    def _step(self, node: yaml.Node) -> Step | None:
        source = self._source
        keys = [str(key.value) for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        kinds = [step for step in STEPS if step in keys]
        if len(kinds) != 1:
            found = f"`{keys[0]}`{suggest(keys[0], STEPS)}" if keys and not kinds else kind(node)
            found = f"{listing(kinds)} together; make each a step of its own" if kinds else found
            hint = f"; write {{do: {text}}}" if (text := _text_of(node)) else ""
            source.error(node, f"a step of a sequence has one of {listing(STEPS)}, not {found}{hint}")
            return None
        step = kinds[0]
        fields = source.fields(node, f"step `{step}`", _STEP_KEYS[step])
        if fields is None:
            return None
        selectors = self.references(fields[step][1], step)
        span: int | None = None
        limit = {"then": "within", "not": "for"}.get(step)
        if limit is not None:
            span = self.optional_duration(fields, limit)
            if limit not in fields:
                example = {"then": "{then: buy, within: 1d}", "not": "{not: buy, for: 30m}"}[step]
                message = f"step `{step}` needs `{limit}:`, a duration, like {example}"
                source.lacks(node, node, _STEP_KEYS[step], message)
        without = self.references(fields["without"][1], "without") if "without" in fields else ()
        return Step(
            cast(Literal["do", "then", "not"], step), selectors, span or 0, without, source.place(node)
        )


def _text_of(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""
