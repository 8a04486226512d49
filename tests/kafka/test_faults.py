"""The short fault programme: what a run of all tests has time for. `make chaos` plays all of it (tests/faults)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from stream.runtime.kafka.waypoints import Waypoint
from tests.faults import cases
from tests.faults.shop import Shop, open_shop
from tests.faults.stage import Stage
from tests.faults.verdict import Verdict, table
from tests.kafka.broker import Broker

SHORT: dict[str, Callable[[Stage], Verdict]] = {
    "crash points": partial(
        cases.crash_points,
        points=(Waypoint.PARTLY_LOGGED, Waypoint.LOGGED, Waypoint.PARTLY_STORED, Waypoint.CLAIMED),
    ),
    "zombie": partial(cases.zombie, waypoints=(Waypoint.LOGGED,)),
    "failed round": partial(cases.failed_rounds, points=(Waypoint.PARTLY_PUBLISHED,)),
    "two owners": cases.forced_together,
    "flipped bits": partial(cases.lost_state, ways=(cases.flip,)),
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return open_shop(tmp_path_factory.mktemp("shop"), 3_000, partitions=4)


def test_the_long_programme_kills_at_every_waypoint() -> None:
    assert sorted(cases.CRASH_POINTS) == sorted(Waypoint)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_nothing_is_lost_invented_or_out_of_order(
    name: str, broker: Broker, shop: Shop, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    stage = Stage(broker, tmp_path, unique("fault"), shop)
    try:
        verdict = SHORT[name](stage)
    finally:
        stage.stop()
    print(table([verdict]))
    assert verdict.good, table([verdict])
