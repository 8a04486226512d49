"""Every preset against its golden file: records as the format's public documentation describes them, and their events.

A golden file is a list of `{title, record, events}`, or `dead_letter` instead of events. `headers` are those of the
Kafka record, `table` is the header line of a CSV; the record reached its topic at RECORD_TIME. The events were reviewed
by eye once.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stream.errors import RecordError
from stream.ingest import Ingest, load_mapping, preset_names

GOLDEN = Path(__file__).parent / "presets"
RECORD_TIME = 1_772_359_205_123
CASES = [
    pytest.param(path.stem, case, id=f"{path.stem}: {case['title']}")
    for path in sorted(GOLDEN.glob("*.json"))
    for case in json.loads(path.read_text(encoding="utf-8"))
]


def test_every_preset_has_a_golden_file() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == preset_names()


@pytest.mark.parametrize(("preset", "case"), CASES)
def test_a_preset_makes_the_events_of_its_golden_file(preset: str, case: dict[str, Any]) -> None:
    record = case["record"]
    raw = (record if isinstance(record, str) else json.dumps(record)).encode()
    row = dict(zip(case["table"].split(","), record.split(","), strict=True)) if "table" in case else None
    headers = [(name, value.encode()) for name, value in case.get("headers", {}).items()]
    origin = SimpleNamespace(key=None, headers=headers)
    ingest = Ingest(load_mapping(preset))
    if "dead_letter" in case:
        with pytest.raises(RecordError) as caught:
            ingest.canonical(raw, row=row, record_time=RECORD_TIME, origin=origin)
        assert str(caught.value) == case["dead_letter"]
        return
    made = ingest.canonical(raw, row=row, record_time=RECORD_TIME, origin=origin)
    assert [json.loads(value) for _, value in made] == case["events"]
    if row is None:
        events = ingest.read_all(raw, offset=5, record_time=RECORD_TIME, origin=origin)
        assert [(each.id, each.user, each.time) for each in events] == [
            (each.id, each.user, each.time) for each, _ in made
        ]
        for (event, value), mapped in zip(
            made, events, strict=True
        ):  # what a stage writes is read as the same event
            again = Ingest().read(value, offset=5, record_time=RECORD_TIME)
            assert again == mapped
            assert again.user == event.user
