"""`python -m tests.faults [--minutes N] [--only NAME]`: the long fault programme, ending with the table.

Every case runs once, however long all take, none longer than twenty minutes; what is left of the time goes to more
random kills, in rounds of ten. It ends with 3 if anything was lost, invented or out of order, if a fault never
happened, or if it was cut short; the table is printed all the same.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from stream.runtime.kafka.waypoints import Waypoint
from tests.faults import cases
from tests.faults.redefined import redefined
from tests.faults.shop import Shop, open_shop
from tests.faults.stage import Stage
from tests.faults.verdict import Verdict, table
from tests.kafka.broker import Broker, missing

CASE_SECONDS = 1_200
Case = Callable[[Stage], Verdict]
ALL: dict[str, Case] = {
    "undisturbed": cases.undisturbed,
    "kills": partial(cases.kills, times=50),
    "crash-points": cases.crash_points,
    "sigterm": partial(cases.terminations, times=5),
    "zombie": partial(cases.zombie, waypoints=(Waypoint.DECIDED, Waypoint.LOGGED, Waypoint.PARTLY_PUBLISHED)),
    "rebalances": cases.rebalances,
    "failed-rounds": cases.failed_rounds,
    "broker-kills": partial(cases.broker_kills, times=3),
    "broker-hangs": partial(cases.broker_hangs, pauses=(3.0, 50.0)),
    "slow-changelog": partial(cases.slow_changelog, seconds=5.0, times=6),
    "broker-and-worker": cases.broker_and_worker,
    "broker-away": partial(cases.broker_away, seconds=60.0),
    "lost-state": cases.lost_state,
    "forced-together": cases.forced_together,
    "foreign-batches": partial(cases.foreign_batches, times=2),
    "compaction": cases.compaction,
    "lost-changelog": cases.lost_changelog,
    "redefined": redefined,
    "clock-back": cases.clock_back,
    "disk-full": cases.disk_full,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Faults against a worker on a real broker.")
    parser.add_argument("--minutes", type=float, default=20.0, help="go on with random kills for so long")
    parser.add_argument("--only", action="append", choices=ALL, help="these cases alone")
    parser.add_argument("--events", type=int, default=20_000, help="length of the log")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C: the broker must not stay behind
    reason = missing()
    if reason is not None:
        print(f"no broker here: {reason}", file=sys.stderr)
        return 3
    folder = Path(tempfile.mkdtemp(prefix="segstream-faults-"))
    broker = Broker(folder / "kafka")
    verdicts: list[Verdict] = []
    failed: list[str] = []
    began = time.monotonic()
    signal.signal(signal.SIGALRM, _too_long)
    try:
        broker.start()
        shop = open_shop(folder, options.events)
        for name, case in ALL.items():
            if options.only and name not in options.only:
                continue
            if name == "disk-full" and not cases.may_mount():
                print("disk-full is left out: a tmpfs cannot be mounted here", file=sys.stderr)
                continue
            _play(name, case, broker, folder, shop, verdicts, failed)
        more = 0
        while not options.only and time.monotonic() - began < options.minutes * 60:
            more += 1
            again = partial(cases.kills, times=10, seed=100 + more)
            _play(f"kills-{more}", again, broker, folder, shop, verdicts, failed)
    except KeyboardInterrupt:
        failed.append("cut short")
    finally:
        signal.alarm(0)
        broker.stop()
    print(table(_merged(verdicts)))
    bad = [each.fault for each in verdicts if not each.good]
    if bad or failed:
        print(f"not good: {', '.join(bad + failed)}; what the workers said is in {folder}", file=sys.stderr)
        return 3
    shutil.rmtree(folder)
    return 0


def _play(
    name: str,
    case: Case,
    broker: Broker,
    folder: Path,
    shop: Shop,
    verdicts: list[Verdict],
    failed: list[str],
) -> None:
    began = time.monotonic()
    print(f"{name} …", file=sys.stderr, flush=True)
    signal.alarm(CASE_SECONDS)
    stage = None
    try:
        if not broker.alive:  # a case that failed may have left it dead
            broker.start()
        stage = Stage(broker, folder / name, name, shop)
        verdict = case(stage)
    except Exception:  # noqa: BLE001  # the other cases go on; the end says that this one failed
        traceback.print_exc()
        failed.append(name)
    else:
        verdicts.append(verdict)
        print(f"{name}: {verdict} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    finally:
        signal.alarm(0)
        if stage is not None:
            stage.stop()


def _too_long(_number: int, _frame: object) -> None:
    raise TimeoutError(f"the case took longer than {CASE_SECONDS} s")


def _merged(verdicts: list[Verdict]) -> list[Verdict]:
    """One line a fault."""
    lines: dict[str, Verdict] = {}
    for each in verdicts:
        line = lines.setdefault(each.fault, each)
        if line is not each:
            for name in ("injected", "events", "expected", "lost", "invented", "out_of_order", "repeated"):
                setattr(line, name, getattr(line, name) + getattr(each, name))
            line.recovery = max(line.recovery, each.recovery)
    return list(lines.values())


if __name__ == "__main__":
    sys.exit(main())
