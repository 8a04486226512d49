"""Both stores behave alike; RocksDB's survives and is honest about damage."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.state import USER, MemoryStore, Store, StoreBusyError, StoreDamagedError, rocks
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
    store.load({USER + "böb".encode(): b"2", USER + b"ann": None})
    assert dict(store.scan()) == {"böb": b"2"}
    assert store.marker() == b"m1"


def test_what_is_loaded_in_any_order_is_read_afterwards(store: Store) -> None:
    store.write({"ann": b"1", "bob": b"2"}, b"m1")
    store.begin_loading()
    for part in range(20):
        keys = [USER + b"%d" % (number * 7919 % 20_000) for number in range(part * 1000, part * 1000 + 1000)]
        store.load({key: key * 50 for key in keys})
        store.load({keys[0]: None, keys[1]: b"again"})
    store.load({USER + b"ann": None})
    store.end_loading()
    found = dict(store.scan())
    assert len(found) == 20_000 - 20 + 1
    assert [found.get(user) for user in ("ann", "bob", "0", "7919", "15838")] == [
        None,
        b"2",
        None,
        b"again",
        b"u:15838" * 50,
    ]
    assert store.marker() == b"m1"
    store.write({"ann": b"3"}, b"m2")
    assert store.get_many(["ann", "7919"]) == [b"3", b"again"]


def test_a_store_that_was_closed_or_wiped_while_loading_is_an_ordinary_one(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "0")
    store.begin_loading()
    store.load({USER + b"ann": b"1"})
    store.close()
    store = RocksStore(tmp_path / "0")
    assert store.get_many(["ann"]) == [b"1"]
    store.begin_loading()
    store.wipe()
    store.end_loading()
    store.write({"bob": b"2"}, b"m")
    assert dict(store.scan()) == {"bob": b"2"}
    store.close()


def test_a_store_that_is_loaded_faster_than_it_can_flush_is_congested(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "0")
    store.begin_loading()
    deadline, number = time.monotonic() + 60, 0
    while not store.is_congested():
        store.load({USER + b"%d %d" % (number, user): random.randbytes(4000) for user in range(500)})
        number += 1
        assert time.monotonic() < deadline
    while store.is_congested():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    store.end_loading()
    assert len(list(store.scan())) == number * 500
    store.close()


def test_many_files_left_by_loading_do_not_stop_what_is_written_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rocks, "_LOAD_BUFFER", 64 << 10)
    store = RocksStore(tmp_path / "0")
    store.begin_loading()
    for number in range(60):
        store.load({USER + b"%d %d" % (user, number): random.randbytes(1000) for user in range(100)})
        store.flush()
    store.end_loading()
    assert not store._db.property_int_value("rocksdb.is-write-stopped")
    store.write({"ann": b"1"}, b"m")
    assert len(list(store.scan())) == 6_001
    store.close()


def test_a_store_tells_when_its_own_threads_work(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "0")
    assert not store.is_working()
    profiles = {f"{number}": random.randbytes(2_000) for number in range(5_000)}

    def is_seen_working() -> bool:
        store.write(profiles, b"m")
        store.flush()
        return store.is_working()

    assert any(is_seen_working() for _ in range(20))
    give_up = time.monotonic() + 60
    while store.is_working() and time.monotonic() < give_up:
        time.sleep(0.01)
    assert not store.is_working()
    store.close()


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


@pytest.mark.parametrize("kind", ["flipped", "cut", "deleted"])
def test_a_damaged_store_is_whole_or_says_so(tmp_path: Path, kind: str) -> None:
    """Whatever happens to one file: all of some step is read, or StoreDamagedError is raised. Nothing between."""
    sound = RocksStore(tmp_path / "sound")
    first, second = ({f"u{n}": f"{step} {n}".encode() * 20 for n in range(2000)} for step in (1, 2))
    sound.write(first, b"m1")
    sound.close()
    sound = RocksStore(tmp_path / "sound")
    sound.write(second, b"m2")
    sound.close()
    chance, damaged = random.Random(kind), 0
    for file in sorted((tmp_path / "sound").iterdir()):
        for _ in range(4 if file.stat().st_size and kind != "deleted" else 1):
            copy = tmp_path / "copy"
            shutil.copytree(tmp_path / "sound", copy)
            hurt(copy / file.name, kind, chance)
            try:
                store = RocksStore(copy)
            except StoreDamagedError:
                damaged += 1
            else:
                try:
                    found = store.marker(), dict(store.scan())
                    assert found in [(None, {}), (b"m1", first), (b"m2", second)], file.name
                    assert store.get_many(list(found[1])) == list(found[1].values())
                except StoreDamagedError:
                    damaged += 1
                store.close()  # removes what it found damaged
            shutil.rmtree(copy, ignore_errors=True)
    assert damaged >= 3


def hurt(file: Path, kind: str, chance: random.Random) -> None:
    data = bytearray(file.read_bytes())
    if kind == "deleted":
        file.unlink()
    elif data and kind == "cut":
        file.write_bytes(data[: chance.randrange(len(data))])
    elif data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        file.write_bytes(data)


def test_reading_along_needs_no_lock_and_changes_nothing(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "0")
    store.write({"ann": b"1"}, b"m1")
    store.close()
    store = RocksStore(tmp_path / "0")
    before = sorted(file.name for file in (tmp_path / "0").iterdir() if "LOG" not in file.name)
    reader = RocksStore(tmp_path / "0", read_only=True)
    assert reader.get_many(["ann"]) == [b"1"]
    reader.close()
    assert sorted(file.name for file in (tmp_path / "0").iterdir() if "LOG" not in file.name) == before
    store.close()


def test_all_stores_together_stay_within_their_memory(tmp_path: Path) -> None:
    memory = Memory(16 << 20)
    stores = [RocksStore(tmp_path / str(number), memory) for number in range(8)]
    for step in range(20):
        for store in stores:
            store.write({f"u{step} {n}": bytes(1000) for n in range(500)}, b"m")
    for store in stores:
        store.get_many([f"u{step} {n}" for step in range(20) for n in range(0, 500, 7)])
    for store in stores:
        store.flush()  # as a worker does now and then: what nobody writes to is not flushed for others
    deadline = time.monotonic() + 60
    while held(stores) > 16 << 20:  # 80 MB were written
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert memory.cache.get_usage() < 32 << 20
    for store in stores:
        store.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_that_is_opened_again_reads_through_the_shared_cache(tmp_path: Path, read_only: bool) -> None:
    store = RocksStore(tmp_path / "0")
    users = [f"u{n}" for n in range(5000)]
    store.write({user: user.encode() * 100 for user in users}, b"m")
    store.close()
    memory = Memory(16 << 20)
    store = RocksStore(tmp_path / "0", memory, read_only=read_only)
    before = memory.cache.get_usage()
    store.get_many(users)
    assert memory.cache.get_usage() > before + (1 << 20)
    store.close()


WRITES_BEYOND_ITS_LIMIT = """
import os, resource, sys, time
from pathlib import Path
from stream.state import StoreFailedError
from stream.state.rocks import RocksStore

store = RocksStore(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    for step in range(100):
        store.write({f"u{n}": os.urandom(200) for n in range(5000)}, b"m")
        store.flush()
        time.sleep(0.1)
except StoreFailedError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_is_a_clear_stop(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: RocksDB's flushes fail, its writes would go on."""
    command = [sys.executable, "-c", WRITES_BEYOND_ITS_LIMIT, str(tmp_path / "0")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "make room and start again" in done.stdout or "could not be written" in done.stdout, done


def held(stores: list[RocksStore]) -> int:
    return sum(store._db.property_int_value("rocksdb.cur-size-all-mem-tables") or 0 for store in stores)


def test_a_missing_file_is_damage(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "0")
    store.write({"ann": b"1"}, b"m1")
    store.flush()
    store.close()
    for file in (tmp_path / "0").glob("*.sst"):
        file.unlink()
    with pytest.raises(StoreDamagedError):
        RocksStore(tmp_path / "0").get_many(["ann"])
