"""What a subscriber has handled: the last seq of each user and segment.

Write your own where the effect of a change is a row in your database: keep the seq in the same transaction, and a
change takes effect exactly once even if the process dies between the two.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from pathlib import Path
from typing import Protocol

Place = tuple[str, str, str]
"""(source, user, segment) of a change."""


class Seen(Protocol):
    """Remembers the last seq of each place."""

    def last(self, place: Place) -> int:
        """0 where nothing was handled, or where it was forgotten."""

    def keep(self, place: Place, seq: int) -> None:
        """The change with this seq was handled."""


class SeenInMemory:
    """As long as the process lives; of at most `most` places, the least recent are forgotten first.

    Repeats come soon after what they repeat, so this drops nearly all. After a restart what was handled since the last
    commit may come once more.
    """

    def __init__(self, most: int = 1_000_000) -> None:
        self._most = most
        self._seqs: OrderedDict[Place, int] = OrderedDict()

    def last(self, place: Place) -> int:
        return self._seqs.get(place, 0)

    def keep(self, place: Place, seq: int) -> None:
        self._seqs[place] = seq
        self._seqs.move_to_end(place)
        if len(self._seqs) > self._most:
            self._seqs.popitem(last=False)


class SeenInFile:
    """In an SQLite file: what was kept survives the process, however it ends."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS seen (source TEXT, user TEXT, segment TEXT, seq INTEGER NOT NULL, "
            "PRIMARY KEY (source, user, segment)) WITHOUT ROWID"
        )

    def last(self, place: Place) -> int:
        row = self._db.execute(
            "SELECT seq FROM seen WHERE source = ? AND user = ? AND segment = ?", place
        ).fetchone()
        return 0 if row is None else int(row[0])

    def keep(self, place: Place, seq: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?, ?)", (*place, seq))

    def close(self) -> None:
        self._db.close()
