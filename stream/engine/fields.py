"""Readers of an event's fields, compiled with the engine: every event is read a dozen times."""

from __future__ import annotations

from typing import Any

from stream.events import ENVELOPE_FIELDS, ENVELOPE_TYPES, OBJECT_FIELDS, Event, Reader, stray_attribute


def read_field(path: str) -> Reader:
    """A reader of `value`, `props.size.eu`, `context.device`, `traits.city`; a bare name means `props.name`.

    What is not there is None, and so is an envelope field of a wrong type and anything below what is not an object.
    """
    head, _, rest = path.partition(".")
    if head in OBJECT_FIELDS and rest:
        if head == "props":
            return _read_props(rest)
        return _read_path(head, tuple(rest.split(".")))
    if path in ENVELOPE_FIELDS:
        return _read_attribute(path)
    return _read_props(path)


def _read_attribute(name: str) -> Reader:
    types = ENVELOPE_TYPES.get(name, (str,))

    def read(event: Event) -> Any:
        value = getattr(event, name)
        return value if type(value) in types else None

    return read


def _read_path(attribute: str, keys: tuple[str, ...]) -> Reader:
    def read(event: Event) -> Any:
        return _below(getattr(event, attribute), keys)

    return read


def _read_props(path: str) -> Reader:
    first, *rest = path.split(".")
    stray, keys = stray_attribute(first), tuple(rest)

    def read(event: Event) -> Any:
        props = event.props
        node = None
        if type(props) is dict:
            fields: dict[str, Any] = props
            node = fields.get(first)
        if node is None:
            node = getattr(event, stray, None)
        return _below(node, keys) if keys else node

    return read


def _below(node: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if type(node) is not dict:
            return None
        node = node.get(key)
    return node
