"""A store in RocksDB: one folder per partition, through rocksdict in raw mode (bytes in, bytes out).

Users live under `u:` + user, the marker under `m`, in one column family: a memtable holds whole WriteBatches and
memtables are flushed in order, so what a crash leaves is the state after *some* step, and its marker says which. That
is why RocksDB's own log is off: the changelog is the log, and a crash costs only the restore of what was not flushed.

**Loading.** What a changelog holds comes in any order and is not read meanwhile. So for as long as much is loaded,
memtables are plain lists, sorted when they are flushed, by RocksDB's own threads: Python, which waits for every write,
waits a tenth of the time that a sorted memtable takes. Ordinary memtables come back with the database opened again.

All stores of a process share one block cache, which also carries their write buffers (`Memory`), so the memory they
take is bounded whatever the number of partitions.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    MemtableFactory,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from stream.state import USER, StoreBusyError, StoreDamagedError, StoreFailedError

log = logging.getLogger(__name__)

_MARKER = b"m"
_AFTER_USERS = b"u;"  # the byte after ":"
_WRITE_BUFFER = 16 << 20
_LOAD_BUFFER = 8 << 20
_LOAD_BUFFERS = 6
_LOAD_FILES = 20
"""Flushed memtables that are compacted at once while loading: each costs reads until then, and there are none."""
_WORK = ("mem-table-flush-pending", "num-running-flushes", "compaction-pending", "num-running-compactions")
_MACHINE = (
    "No space left",
    "Permission denied",
    "Read-only file system",
    "Too many open files",
    "Not a directory",
)
"""Where opening fails for one of these, the store may be sound. Any other failure is the store's own."""


class Memory:
    """What all stores of a process may take together: cached blocks and unflushed writes, in bytes."""

    def __init__(self, capacity: int = 256 << 20) -> None:
        self.cache = Cache(capacity)
        self.write_buffers = WriteBufferManager.new_write_buffer_manager_with_cache(
            capacity // 2, False, self.cache
        )


class RocksStore:
    """Profiles of one partition in `folder`."""

    def __init__(self, folder: Path, memory: Memory | None = None, *, read_only: bool = False) -> None:
        """`read_only`: look at what is there, even if a worker has it open; only RocksDB's own LOG is written."""
        self._folder = folder
        self._read_only = read_only
        self._spoiled = False
        self._loading = False
        self._memory = memory or Memory(64 << 20)
        self._write_options = WriteOptions()
        self._write_options.disable_wal = True  # a property, whatever its stub says
        self._db = self._open()

    def get_many(self, users: Sequence[str]) -> list[bytes | None]:
        get = self._db.get
        try:
            return [get(USER + user.encode()) for user in users]
        except Exception as error:  # rocksdict raises nothing finer
            raise self._damaged(error) from error

    def scan(self) -> Iterator[tuple[str, bytes]]:
        skip = len(USER)
        key = USER
        try:
            for key, profile in self._db.items(from_key=USER):
                if key >= _AFTER_USERS:
                    return
                yield key[skip:].decode(), profile
            self._check_end(key)
        except Exception as error:
            raise self._damaged(error) from error

    def write(self, profiles: Mapping[str, bytes | None], marker: bytes) -> None:
        batch: Any = WriteBatch(raw_mode=True)
        for user, profile in profiles.items():
            if profile is None:
                del batch[USER + user.encode()]
            else:
                batch[USER + user.encode()] = profile
        batch[_MARKER] = marker
        self._write(batch)

    def begin_loading(self) -> None:
        self._reopen(loading=True)

    def load(self, profiles: Mapping[bytes, bytes | None]) -> None:
        batch: Any = WriteBatch(raw_mode=True)
        for key, profile in profiles.items():
            if profile is None:
                del batch[key]
            else:
                batch[key] = profile
        self._write(batch)

    def is_congested(self) -> bool:
        ask = self._db.property_int_value
        waiting = ask("rocksdb.num-immutable-mem-table") or 0
        if waiting and self._memory.write_buffers.get_usage() > self._memory.write_buffers.get_buffer_size():
            return True
        return (
            waiting >= _LOAD_BUFFERS - 2
            or bool(ask("rocksdb.is-write-stopped"))
            or bool(ask("rocksdb.actual-delayed-write-rate"))
        )

    def is_working(self) -> bool:
        """RocksDB flushes or compacts in its own threads, or is about to."""
        return any(self._db.property_int_value(f"rocksdb.{work}") for work in _WORK)

    def end_loading(self) -> None:
        if self._loading:
            self._reopen(loading=False)

    def marker(self) -> bytes | None:
        try:
            marker: bytes | None = self._db.get(_MARKER)
        except Exception as error:
            raise self._damaged(error) from error
        return marker

    def size(self) -> int:
        live = self._db.property_int_value("rocksdb.live-sst-files-size") or 0
        return live + (self._db.property_int_value("rocksdb.cur-size-all-mem-tables") or 0)

    def flush(self) -> None:
        try:
            self._db.flush(wait=False)
        except Exception as error:
            raise self._unwritten(error) from error

    def wipe(self) -> None:
        self._spoiled = self._loading = False
        self._db.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._db = self._open()

    def close(self) -> None:
        if self._spoiled:
            self._db.close()
            destroy(self._folder)
            return
        try:
            if not self._read_only:
                self._db.flush()  # the write-ahead log being off
            self._db.close()
        except Exception as error:  # noqa: BLE001  # rocksdict raises nothing finer
            log.warning("%s; what is missing is restored from the changelog", self._unwritten(error))

    def _reopen(self, *, loading: bool) -> None:
        try:
            self._db.flush()
            self._db.close()
        except Exception as error:
            raise self._unwritten(error) from error
        self._loading = loading
        self._db = self._open()

    def _check_end(self, last: bytes) -> None:
        """Raises if `items` ended because a block behind `last` cannot be read: it does not tell."""
        here = self._db.iter()
        here.seek(last)
        if here.valid() and here.key() == last:
            here.next()
        here.status()

    def _open(self) -> Rdict:
        try:
            options = self._options()
            # Unless told otherwise, rocksdict opens what is there with the options of last time and a cache of its own.
            families = {"default": options}
            if self._read_only:
                access = AccessType.read_only(False)
                return Rdict(str(self._folder), options, families, access)
            self._folder.mkdir(parents=True, exist_ok=True)
            return Rdict(str(self._folder), options, families)
        except Exception as error:
            told = str(error)
            if "While lock file" in told or "lock hold by" in told:
                raise StoreBusyError(
                    f"the state in {self._folder} is open in another worker: {told}"
                ) from error
            if isinstance(error, OSError) or any(reason in told for reason in _MACHINE):
                raise StoreFailedError(f"the state in {self._folder} cannot be opened: {told}") from error
            raise self._damaged(error) from error

    def _options(self) -> Options:
        table = BlockBasedOptions()
        table.set_block_cache(self._memory.cache)
        table.set_bloom_filter(10, False)
        table.set_cache_index_and_filter_blocks(True)
        table.set_format_version(5)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(table)
        options.set_write_buffer_manager(self._memory.write_buffers)
        options.set_write_buffer_size(_WRITE_BUFFER)
        options.set_max_write_buffer_number(3)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_max_background_jobs(2)
        # One thread writes; vectors, for loading, demand it.
        options.set_allow_concurrent_memtable_write(False)
        options.set_keep_log_file_num(2)
        options.set_max_open_files(256)
        # What loading leaves must not stop the first writes after it, and the process with them.
        options.set_level_zero_slowdown_writes_trigger(2 * _LOAD_FILES)
        options.set_level_zero_stop_writes_trigger(3 * _LOAD_FILES)
        if self._loading:
            options.set_memtable_factory(MemtableFactory.vector())
            options.set_write_buffer_size(_LOAD_BUFFER)
            options.set_max_write_buffer_number(_LOAD_BUFFERS)
            options.set_level_zero_file_num_compaction_trigger(_LOAD_FILES)
        return options

    def _write(self, batch: Any) -> None:
        try:
            self._db.write(batch, self._write_options)
        except Exception as error:
            raise self._unwritten(error) from error
        # Without its own log RocksDB takes writes after a flush that failed, and at last waits for ever.
        if self._db.property_int_value("rocksdb.background-errors"):
            raise StoreFailedError(
                f"the state in {self._folder} cannot be written to disk, which has "
                f"{shutil.disk_usage(self._folder).free >> 10:,} KiB left: make room and start again, nothing is lost"
            )

    def _unwritten(self, error: Exception) -> StoreDamagedError | StoreFailedError:
        told = str(error)
        if "Corruption" in told:  # found while compacting
            return self._damaged(error)
        if "No space left" in told:
            return StoreFailedError(
                f"the disk of {self._folder} is full: make room and start again, nothing is lost: {told}"
            )
        return StoreFailedError(f"the state in {self._folder} could not be written: {told}")

    def _damaged(self, error: Exception) -> StoreDamagedError:
        self._spoiled = not self._read_only
        return StoreDamagedError(f"the state in {self._folder} cannot be read: {error}")


def destroy(folder: Path) -> None:
    """Remove a store that cannot even be opened."""
    shutil.rmtree(folder, ignore_errors=True)
