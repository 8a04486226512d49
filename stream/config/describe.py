"""The effective settings, for people to read: secrets are masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from stream.config.kinds import MASK
from stream.config.settings import CLIENT, REFERENCE, Settings

_SECRET_WORDS: Final = ("password", "secret", "token", "credential", "passphrase", "jaas")


def _is_secret(key: str) -> bool:
    return any(word in key.lower() for word in _SECRET_WORDS)


def describe(settings: Settings) -> str:
    """The settings as YAML that could be read again, but for secrets: those are masked."""
    document: dict[str, Any] = {}
    for setting in REFERENCE:
        value: Any = settings
        for name in setting.path:
            value = getattr(value, name)
        table = document
        for name in setting.path[:-1]:
            table = table.setdefault(name, {})
        if setting is CLIENT:
            table[setting.path[-1]] = _masked(value)
        else:
            table[setting.path[-1]] = setting.kind.show(value)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _masked(value: Mapping[str, Any]) -> dict[str, Any]:
    """`value` without secrets, at any depth."""
    masked: dict[str, Any] = {}
    for key, item in value.items():
        if _is_secret(key):
            masked[key] = MASK
        elif isinstance(item, Mapping):
            masked[key] = _masked(item)
        else:
            masked[key] = item if isinstance(item, str | int | float | bool | None) else str(item)
    return masked
