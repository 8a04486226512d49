"""Sequences back as text, for reasons and explanations."""

from __future__ import annotations

import pytest

from stream.definitions import loads
from stream.definitions.model import Sequence
from stream.definitions.text import write_sequence

HEAD = """
version: 1
events: {view: {type: a}, cart: {type: b}, buy: {type: c}}
segments: {s: {when: {seq: %s}, ttl: 1d}}
"""


@pytest.mark.parametrize(
    ("steps", "written"),
    [
        ("[{do: cart}, {not: buy, for: 30m}]", "no buy for 30m since cart"),
        ("[{do: [cart, view]}, {not: [buy, cart], for: 7d}]", "no buy or cart for 7d since cart or view"),
        ("[{do: view}, {then: cart, within: 24h}]", "view then cart within 1d"),
        (
            "[{do: view}, {then: cart, within: 1h, without: buy}, {not: buy, for: 30m}]",
            "no buy for 30m since view then cart within 1h without buy",
        ),
    ],
)
def test_a_sequence_reads_like_its_definition(steps: str, written: str) -> None:
    when = loads(HEAD % steps).segments["s"].when
    assert isinstance(when, Sequence)
    assert write_sequence(when) == written
