"""The guard against a slower engine measures, compares, and can fail. No test here is about how fast anything is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stream.compiled import describe_engine
from tests.scripts import load_script

GUARD = load_script("benchmarks/guard.py")


def guard(figures: Path, *arguments: str) -> int:
    code: int = GUARD.main(arguments, events=300, rounds=1, figures=figures)
    return code


def test_only_what_is_beyond_the_tolerance_is_slower() -> None:
    committed = {"one": 2.0, "two": 3.0}
    assert GUARD.judge({"one": 3.0, "two": 0.1}, committed, 1.5) == []
    assert GUARD.judge({"one": 3.1, "two": 4.4}, committed, 1.5) == [
        "one: an event costs 3.10 turns, 1.55 times the committed 2.00; 1.5 times are tolerated"
    ]


def test_it_passes_by_its_own_figures_and_fails_where_the_engine_was_quicker(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "guard.json"
    assert guard(figures) == 1, "without figures it says so"
    assert "--update writes them" in capsys.readouterr().err
    assert guard(figures, "--update") == 0
    written = json.loads(figures.read_text(encoding="utf-8"))
    assert written[describe_engine()].keys() == GUARD.jobs().keys()
    assert all(figure > 0 for figure in written[describe_engine()].values())
    for factor, code in ((1_000, 0), (0.001, 1)):
        other = {engine: {job: factor * one for job, one in jobs.items()} for engine, jobs in written.items()}
        figures.write_text(json.dumps(other), encoding="utf-8")
        assert guard(figures) == code
    assert capsys.readouterr().err.count("slower: ") == 2


def test_a_slower_engine_costs_more_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GUARD, "_run_loop", lambda: 1.0)
    for seconds, turns in ((0.5, 0.5 / 100 * GUARD.TURNS), (1.0, 1.0 / 100 * GUARD.TURNS)):
        monkeypatch.setattr(GUARD, "_run_engine", lambda plan, lines, used=seconds: used)
        assert GUARD.measure(None, [b""] * 100, 3) == pytest.approx(turns)


def test_the_committed_figures_are_those_of_both_engines() -> None:
    committed = json.loads(GUARD.FIGURES.read_text(encoding="utf-8"))
    assert {engine: figures.keys() for engine, figures in committed.items()} == {
        "plain Python": GUARD.jobs().keys(),
        "compiled": GUARD.jobs().keys(),
    }
