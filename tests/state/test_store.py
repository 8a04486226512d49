"""Both stores behave alike; RocksDB's survives and is honest about damage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.state import MemoryStore, Store, StoreBusyError, StoreDamagedError
from stream.state.rocks import Memory, RocksStore, destroy


@pytest.fixture(params=["memory", "rocks"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store: Store = MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "0")
    yield store
    store.close()


def test_a_new_store_is_empty(store: Store) -> None:
    assert store.marker() is None
    assert list(store.scan()) == []
    assert store.get_many(["ann"]) == [None]


def test_profiles_come_back_in_the_order_asked(store: Store) -> None:
    store.write({"ann": b"1", "böb": b"2", "": b"3"}, b"m1")
    assert store.get_many(["böb", "nobody", "ann", ""]) == [b"2", None, b"1", b"3"]
    assert sorted(store.scan()) == [("", b"3"), ("ann", b"1"), ("böb", b"2")]
    assert store.marker() == b"m1"


def test_none_deletes(store: Store) -> None:
    store.write({"ann": b"1", "bob": b"2"}, b"m1")
    store.write({"ann": None, "nobody": None}, b"m2")
    assert dict(store.scan()) == {"bob": b"2"}
    assert store.marker() == b"m2"


def test_loading_leaves_the_marker(store: Store) -> None:
    store.write({"ann": b"1"}, b"m1")
    store.load({"böb".encode(): b"2", b"ann": None})
    assert dict(store.scan()) == {"böb": b"2"}
    assert store.marker() == b"m1"


def test_wiping_forgets_everything(store: Store) -> None:
    store.write({"ann": b"1"}, b"m1")
    store.wipe()
    assert store.marker() is None
    assert list(store.scan()) == []
    store.write({"bob": b"2"}, b"m2")
    assert store.get_many(["ann", "bob"]) == [None, b"2"]


def test_rocks_survives_closing(tmp_path: Path) -> None:
    memory = Memory(8 << 20)
    store = RocksStore(tmp_path / "0", memory)
    store.write({f"u{n}": b"x" * 100 for n in range(1000)}, b"m1")
    assert store.size() > 0
    store.close()
    store = RocksStore(tmp_path / "0", memory)
    assert store.marker() == b"m1"
    assert len(list(store.scan())) == 1000
    store.close()


def test_rocks_refuses_a_folder_in_use(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "0")
    with pytest.raises(StoreBusyError, match="another worker"):
        RocksStore(tmp_path / "0")
    store.close()


def test_flipped_bits_are_found_when_read(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "0")
    users = [f"u{n}" for n in range(5000)]
    store.write({user: (user * 50).encode() for user in users}, b"m1")
    store.flush()
    store.close()
    for file in (tmp_path / "0").glob("*.sst"):
        data = bytearray(file.read_bytes())
        for position in range(100, len(data) - 2000, 500):
            data[position] ^= 0xFF
        file.write_bytes(data)
    with pytest.raises(StoreDamagedError, match="cannot be read"):
        RocksStore(tmp_path / "0").get_many(users)
    destroy(tmp_path / "0")
    assert RocksStore(tmp_path / "0").marker() is None


def test_a_missing_file_is_damage(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "0")
    store.write({"ann": b"1"}, b"m1")
    store.flush()
    store.close()
    for file in (tmp_path / "0").glob("*.sst"):
        file.unlink()
    with pytest.raises(StoreDamagedError):
        RocksStore(tmp_path / "0").get_many(["ann"])
