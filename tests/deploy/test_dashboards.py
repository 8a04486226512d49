"""Dashboards: well-formed, and every expression parses and asks for what is there (the data: tests/kafka)."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.dashboards import DASHBOARDS, QUERIES, Query, read
from tests.deploy.test_alerts import ALERTS
from tests.metric_names import exposed_labels, exposed_names

SCRAPED = {"job", "instance", "le"}


def test_there_are_two() -> None:
    assert [dashboard.stem for dashboard in DASHBOARDS] == ["operations", "segments"]


def test_identifiers_are_unique_and_links_lead_somewhere() -> None:
    documents = [read(dashboard) for dashboard in DASHBOARDS]
    identifiers = [document["uid"] for document in documents]
    assert len(identifiers) == len(set(identifiers))
    assert len({document["title"] for document in documents}) == len(documents)
    for document in documents:
        for link in document["links"]:
            assert link["url"].removeprefix("/d/") in identifiers


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_are_well_formed(dashboard: Path) -> None:
    document = read(dashboard)
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    variables = {variable["name"] for variable in document["templating"]["list"]}
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, f"{panel['title']} lies over another panel"
        taken |= cells
        if panel["type"] == "row":
            continue
        assert panel["description"], panel["title"]
        references = [target["refId"] for target in panel["targets"]]
        assert references
        assert len(references) == len(set(references)), panel["title"]
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "prometheus"
            used = set(re.findall(r"\$(?!__)(\w+)", target["expr"]))
            assert used <= variables, f"{panel['title']} uses {used - variables}"
    for name in re.findall(r"\bSegstream[A-Z]\w+", json.dumps(document)):
        assert name in ALERTS, f"no runbook {name}"


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_panels_ask_for_metrics_and_labels_that_there_are(query: Query) -> None:
    names = re.findall(r"\b(?:segstream|process)_\w+", query.expression)
    assert names
    for name in names:
        assert name in exposed_names(), name
    assert "vector(" not in query.expression
    labels: set[str] = set().union(
        *(exposed_labels().get(re.sub("_bucket$", "", name), ()) for name in names)
    )
    for grouping in re.findall(r"\bby \(([^)]*)\)", query.expression):
        for label in re.split(r",\s*", grouping):
            assert label in labels | SCRAPED, f"{label} in {query.expression}"
    for matchers in re.findall(r"\{([^}]*)\}", query.expression):
        for label in re.findall(r"(\w+)\s*[=!]~?\"", matchers):
            assert label in labels | SCRAPED, f"{label} in {query.expression}"


def test_every_query_parses(promtool: str, tmp_path: Path) -> None:
    """Checked as recording rules, for promtool parses those."""
    rules = [
        {"record": f"dashboard:query:{number}", "expr": query.filled("1m")}
        for number, query in enumerate(QUERIES)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(
        [promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
