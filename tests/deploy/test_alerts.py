"""Rules and alerts: each is tested with promtool, asks for metrics that exist, and leads to a runbook."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.metric_names import exposed_labels, exposed_names
from tests.test_docs import anchors

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = [
    rule
    for file in sorted((FOLDER / "rules").glob("*.yml"))
    for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDED = {rule["record"]: rule for rule in RULES if "record" in rule}
TESTS: list[dict[str, Any]] = [
    test
    for file in sorted((FOLDER / "tests").glob("*.yml"))
    for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
]


def test_promtool_runs_every_unit_test(promtool: str) -> None:
    files = [str(file) for file in sorted((FOLDER / "tests").glob("*.yml"))]
    done = subprocess.run([promtool, "test", "rules", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(files)


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_is_shown_firing_and_not_firing(name: str) -> None:
    samples = [
        bool(query["exp_samples"])
        for test in TESTS
        for query in test["promql_expr_test"]
        if query["expr"] == f'count(ALERTS{{alertname="{name}", alertstate="firing"}})'
    ]
    assert set(samples) == {True, False}


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_every_recording_rule_is_tested(name: str) -> None:
    assert any(query["expr"] == name for test in TESTS for query in test["promql_expr_test"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.get("alert") or rule["record"]))
def test_rules_ask_for_what_is_there(rule: dict[str, Any]) -> None:
    names = re.findall(r"\bsegstream_\w+\b(?!:)", re.sub(r"\w+:segstream_\w+:\w+", "", rule["expr"]))
    for name in names:
        assert name in exposed_names(), name
    for name in re.findall(r"\w+:segstream_\w+:\w+", rule["expr"]):
        assert name in RECORDED, name
    for name, matchers in re.findall(r"\b(segstream_\w+?)(?:_bucket)?\{([^}]*)\}", rule["expr"]):
        for label in re.findall(r"(\w+)\s*[=!]", matchers):
            assert label in {*exposed_labels()[name], "le"}, f"{name} has no label {label}"


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_says_what_is_wrong_and_leads_to_its_runbook(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["description"]
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert anchor == name.lower()
    assert anchor in anchors(ROOT / page)


def test_every_runbook_has_its_alert() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^### (Segstream\w+)$", text, re.MULTILINE)) == set(ALERTS)
