"""Where a replay keeps its users on disk: a folder with one store per partition, 0, 1, 2, …"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stream.errors import OperatorError
from stream.state import Store


def check_states(folder: Path, partitions: int) -> None:
    """OperatorError unless the folder is empty, not there yet, or holds what a replay with as many partitions left."""
    found = sorted(place.name for place in folder.iterdir()) if folder.exists() else []
    if found != sorted(str(number) for number in range(len(found))):
        raise OperatorError(
            f"{folder} is no state of a replay: name an empty folder, or one that a replay left"
        )
    if found and len(found) != partitions:
        raise OperatorError(
            f"{folder} holds the state of {len(found)} partitions: go on with `--partitions {len(found)}`, or name "
            "another folder"
        )


def open_states(folder: Path) -> Callable[[int], Store]:
    """Opens stores in a folder. What an earlier replay left there is continued, as a worker does after a restart."""
    from stream.state.rocks import RocksStore  # loads RocksDB

    def open_store(partition: int) -> Store:
        place = folder / str(partition)
        place.mkdir(parents=True, exist_ok=True)
        return RocksStore(place)

    return open_store
