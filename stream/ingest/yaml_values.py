"""Plain values of a YAML file, without the guesses of YAML 1.1 that authors of mappings trip over."""

from __future__ import annotations

from typing import Any

import yaml

_TEXT = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp")
_BOOL = "tag:yaml.org,2002:bool"


def is_text(node: yaml.Node) -> bool:
    """Whether a scalar is a text: also `no`, `on` and `NO`, which are columns and countries, and dates."""
    if not isinstance(node, yaml.ScalarNode):
        return False
    if node.tag == _BOOL:
        return node.value.lower() not in ("true", "false")
    return node.tag in _TEXT or ":" in node.value  # 12:30 is no number to the base of sixty


def plain(node: yaml.Node) -> Any:
    """The value of a node as JSON knows it."""
    if isinstance(node, yaml.SequenceNode):
        return [plain(each) for each in node.value]
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): plain(value) for key, value in node.value}
    return node.value if is_text(node) else yaml.SafeLoader("").construct_document(node)
