"""Names of time zones, as every file that holds one reads them."""

from __future__ import annotations

from difflib import get_close_matches
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import yaml

from stream.definitions.source import Source


def find_zone(source: Source, node: yaml.Node) -> str | None:
    """The IANA name of a `timezone:`; None, and a problem with a near miss, where there is none of that name."""
    name = source.text(node, "timezone")
    if name is None:
        return None
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = get_close_matches(name, available_timezones(), n=1, cutoff=0.6)
        hint = f"did you mean `{near[0]}`?" if near else "use an IANA name like Asia/Seoul or UTC"
        source.error(node, f"unknown timezone `{name}`; {hint}")
        return None
    return name
