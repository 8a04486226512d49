"""The suite is tested, too: an engine with one thing wrong must disagree with the oracle.

Each mutant is a copy of the package with one edit; a process of its own plays seeded cases until one of them tells the
difference. A mutant whose text is no longer in the source fails: it has to move along with the engine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

import stream

ROOT = Path(__file__).parent.parent.parent
SEEDS = 250
HUNT = """
import sys
from tests.oracle.engine_run import by_engine, by_oracle
from tests.oracle.strategies import seeded
for seed in range(int(sys.argv[1])):
    for family in sys.argv[2:]:
        case = seeded(family, seed)
        expected = by_oracle(case)
        try:
            found = by_engine(case)
        except Exception as error:
            found = repr(error)
        if found != expected:
            print(family, seed)
            sys.exit(0)
sys.exit(3)
"""


@dataclass(frozen=True)
class Mutant:
    """One thing wrong: `old` in a module of the engine becomes `new`; `families` are likely to tell."""

    name: str
    module: str
    old: str
    new: str
    families: tuple[str, ...]


MUTANTS = (
    Mutant(
        "a window keeps an entry one millisecond too long",
        "windows",
        "        low, size = first_after(times, after), count(times)\n"
        "        until = int(at_place(times, low)) + self.length if",
        "        low, size = first_from(times, after), count(times)\n"
        "        until = int(at_place(times, low)) + self.length + 1 if",
        ("windows", "first_windows"),
    ),
    Mutant(
        "a window wakes one millisecond late",
        "windows",
        "        until = int(at_place(times, low)) + self.length if low < size",
        "        until = int(at_place(times, low)) + self.length + 1 if low < size",
        ("first_windows", "windows"),
    ),
    Mutant("< for <=", "comparisons", '"<=": operator.le', '"<=": operator.lt', ("first_windows", "windows")),
    Mutant(
        "silence is reported one millisecond early",
        "comparisons",
        "past = floor(right) + 1 if",
        "past = floor(right) if",
        ("first_windows", "first_membership", "windows"),
    ),
    Mutant("since_last stands still", "values", "(instant - cell[LAST], 1, until)", "(instant - cell[LAST], 0, until)",
           ("first_windows", "windows")),
    Mutant("an unknown is taken for false", "conditions", "(None if verdict is None else not verdict)", "(not verdict)",
           ("first_membership", "first_windows")),
    Mutant(
        "a segment is not armed again when its condition stops",
        "membership",
        "if held is not None and (when is not True or anchor != held[ANCHOR]):",
        "if held is not None and anchor != held[ANCHOR]:",
        ("first_membership", "membership"),
    ),
    Mutant(
        "a segment is not armed again by another anchor",
        "membership",
        "if held is not None and (when is not True or anchor != held[ANCHOR]):",
        "if held is not None and when is not True:",
        ("first_membership", "membership", "first_sequences"),
    ),
    Mutant("a timer is not inserted again", "engine", "                    partition.schedule(user, profile.due)",
           "                    pass", ("first_windows", "windows", "first_membership")),
    Mutant("a timer is not inserted", "partition", "heappush(self._queue, (due, user))", "pass", ("first_sequences",)),
    Mutant("a late event takes nothing back", "membership", "        if before is None:\n            return False",
           "        if True:\n            return False", ("first_membership", "first_sequences", "time")),
    Mutant("a late event is not late", "engine", "is_late = time < profile.clock", "is_late = False", ("time",)),
    Mutant("ttl ends one millisecond late", "membership", "instant >= since + self._ttl",
           "instant > since + self._ttl", ("first_membership", "membership")),
    Mutant("min_dwell holds one millisecond too long", "membership", "instant < entered + self._dwell or",
           "instant <= entered + self._dwell or", ("membership",)),
    Mutant("a repeated event counts", "engine", "if not is_new and is_known(profile.recent_ids, hashed):",
           "if False:", ("time",)),
    Mutant("a wrong clock is believed", "engine", "if time > recorded + skew:", "if False:", ("time",)),
    Mutant("what is due at the watermark fires", "engine", "while (due := profile.due) < before:",
           "while (due := profile.due) <= before:", ("first_sequences", "time", "first_membership")),
    Mutant("lateness is forgotten", "engine", "min(recorded, time) - lateness", "min(recorded, time)",
           ("time", "first_membership")),
    Mutant("the idle rule is off by one millisecond", "engine", "recorded - last_record > idle_after",
           "recorded - last_record >= idle_after", ("time", "first_membership", "clocks")),
    Mutant("changes do not move the clock", "engine", "if changed and instant > profile.clock:", "if False:",
           ("time", "first_membership")),
    Mutant("references are not followed", "engine", "                if rule.dependents:", "                if False:",
           ("references",)),
    Mutant("a sequence is broken by its own event", "sequences",
           "(closing != anchor or state[3] != state[1] or state[4] >= anchor)", "True",
           ("first_sequences", "sequences")),
    Mutant("`within` ends one millisecond early", "sequences", "found[0] > previous + step.within",
           "found[0] >= previous + step.within", ("sequences",)),
    Mutant("demotion does not wait", "ladders", "if self._demote_after is None or", "if True or",
           ("first_ladders", "ladders")),
    Mutant("a tier's ttl is not spent", "ladders", "            held[SPENT].append(held[TIER])", "            pass",
           ("ladders",)),
    Mutant("mean_gap divides by the events", "values", "/ (cell[N] - 1)", "/ cell[N]", ("first_windows", "windows")),
    Mutant("min_n wants one more", "values", "if cell[N] < self.min_n:", "if cell[N] <= self.min_n:",
           ("first_windows", "windows")),
    Mutant("weeks start on Sunday", "calendar", "timedelta(days=start.weekday())",
           "timedelta(days=start.isoweekday() % 7)", ("calendars",)),
    Mutant("a session never ends", "windows", "instant - at_place(run, last) > self._gap", "False", ("windows",)),
    Mutant("a cooldown still holds at exactly its end", "actions", "instant < acted[-1] + actions.cooldown",
           "instant <= acted[-1] + actions.cooldown", ("actions",)),
    Mutant("a cap allows one more", "actions", "if time > instant - per) >= n", "if time > instant - per) > n",
           ("actions",)),
)  # fmt: skip


def hunt(package: Path, families: tuple[str, ...], seeds: int = SEEDS) -> subprocess.CompletedProcess[str]:
    """Plays cases against the engine in `package` until one disagrees: 0 if one did, 3 if none."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(package), str(ROOT)))}
    command = [sys.executable, "-c", HUNT, str(seeds), *families]
    return subprocess.run(
        command, cwd=package, env=environment, capture_output=True, text=True, check=False, timeout=250
    )


def copy_engine(folder: Path) -> Path:
    """A copy of the package as plain sources."""
    skip = shutil.ignore_patterns("*.so", "*.pyc", "__pycache__", "compiled.sum")
    shutil.copytree(Path(stream.__file__).parent, folder / "stream", ignore=skip)
    return folder


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str] | str]:
    """What became of each mutant, two at a time."""

    def judge(mutant: Mutant) -> subprocess.CompletedProcess[str] | str:
        package = copy_engine(tmp_path_factory.mktemp("mutant"))
        module = package / "stream" / "engine" / f"{mutant.module}.py"
        source = module.read_text(encoding="utf-8")
        if source.count(mutant.old) != 1:
            return f"{mutant.old!r} stands {source.count(mutant.old)} times in {mutant.module}.py, not once"
        module.write_text(source.replace(mutant.old, mutant.new), encoding="utf-8")
        return hunt(package, mutant.families)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip((mutant.name for mutant in MUTANTS), pool.map(judge, MUTANTS), strict=True))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_is_caught(mutant: Mutant, verdicts: dict[str, subprocess.CompletedProcess[str] | str]) -> None:
    verdict = verdicts[mutant.name]
    assert not isinstance(verdict, str), verdict
    assert verdict.returncode == 0, f"nothing told {mutant.name!r} from the engine\n{verdict.stderr}"


def test_the_engine_itself_is_not_a_mutant(tmp_path: Path) -> None:
    result = hunt(copy_engine(tmp_path), ("first_windows", "time"), seeds=30)
    assert result.returncode == 3, result.stdout + result.stderr
