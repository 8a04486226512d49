"""Tables of a profile against a plain dict, through any sequence of what the engine does to them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.engine import tables
from stream.engine.tables import Table

KEYS = ("a", "b", "é", "aa", "p-1", "p-2", "q-1", "zp-1", "p-1-p-1", "\0", "키")
"""Some with the same check, some part of others."""


def entry(key: str, value: Any) -> list[Any]:
    return [key, None, value]


def stored(table: Table) -> Table:
    """The table as the next one to need the profile finds it."""
    index, entries = msgspec.msgpack.decode(msgspec.msgpack.encode(table.packed()))
    return Table(index, entries)


def contents(table: Table) -> dict[str, list[Any]]:
    found = {one[0]: one for one in table.all()}
    assert len(found) == len(table.all()) == len(table)
    return found


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("put", "put", "put", "read", "drop", "all", "pack", "store")),
            st.sampled_from(KEYS),
            st.integers(0, 2**40) | st.text(max_size=40),
        ),
        max_size=60,
    )
)
def test_it_is_a_dict_that_is_packed(steps: list[tuple[str, str, Any]]) -> None:
    table, never_stored, plain = Table(), Table(), dict[str, list[Any]]()
    for step, key, value in steps:
        if step == "put":
            for one in (table, never_stored):
                known = one.take(key)
                assert known == plain.get(key)
                if known is None:
                    one.add(entry(key, value))
                else:
                    known[2] = value
            plain[key] = entry(key, value)
        elif step == "read":
            assert table.entry(key) == plain.get(key)
        elif step == "drop" and key in plain:
            table.drop(key)
            never_stored.drop(key)
            del plain[key]
        elif step == "all":
            assert contents(table) == plain
        elif step == "pack":
            assert contents(Table(*map(bytes, table.packed()))) == plain
        elif step == "store":
            table = stored(table)
        assert len(table) == len(plain)
    assert contents(stored(table)) == plain
    assert table.packed() == never_stored.packed()
    assert {key: table.entry(key) for key in KEYS} == {key: plain.get(key) for key in KEYS}


def test_what_nobody_takes_out_stays_as_it_is_and_what_changed_stands_last() -> None:
    table = Table()
    for key in ("a", "b", "c"):
        table.add(entry(key, 1))
    table = stored(table)
    before = table.packed()
    assert table.entry("a") == entry("a", 1)
    assert table.packed() == before
    first = table.take("a")
    assert first is not None
    first[2] = 2
    assert [one[0] for one in stored(table).all()] == ["b", "c", "a"]


def test_an_entry_too_large_for_the_index_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    if not tables.__file__.endswith(".py"):
        pytest.skip("a compiled constant cannot be another")
    monkeypatch.setattr(tables, "_SIZE", 20)
    table = Table()
    table.add(entry("key", "x" * 40))
    with pytest.raises(OverflowError, match="the key 'key' takes more than 20 bytes"):
        table.packed()
