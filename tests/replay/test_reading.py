"""Several logs as one stream."""

from __future__ import annotations

import heapq
import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.events import Event
from stream.ingest import DeadLetter, Ingest
from stream.replay.logs import Log
from stream.replay.reading import EventReader, merged

START = 1_795_262_400_000


def reader(path: Path, batch_size: int = 3, letters: list[DeadLetter] | None = None) -> EventReader:
    return EventReader(Log(str(path)), Ingest(), batch_size, ([] if letters is None else letters).append)


def write(path: Path, times: list[int]) -> Path:
    lines = (
        json.dumps({"id": f"{path.stem}{place}", "type": "x", "time": START + time, "user_id": "u"})
        for place, time in enumerate(times)
    )
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


@settings(max_examples=60)
@given(st.lists(st.lists(st.integers(0, 20), max_size=12), min_size=1, max_size=4), st.integers(1, 5))
def test_logs_are_merged_as_heapq_merges_them_even_where_they_are_out_of_order(
    tmp_path_factory: object, logs: list[list[int]], batch_size: int
) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        paths = [
            write(Path(folder) / f"{name}.jsonl", times) for name, times in zip("abcd", logs, strict=False)
        ]
        found = [
            event.id for piece in merged([reader(path, batch_size) for path in paths]) for event in piece
        ]
    numbered = [[(time, place, at) for at, time in enumerate(times)] for place, times in enumerate(logs)]
    expected = heapq.merge(*numbered, key=lambda entry: entry[:2])
    assert found == [f"{'abcd'[place]}{at}" for _, place, at in expected]


def test_merging_goes_by_record_time_not_by_event_time(tmp_path: Path) -> None:
    late = {"id": "late", "type": "x", "time": START, "received_at": START + 50, "user_id": "u"}
    (tmp_path / "a.jsonl").write_text(json.dumps(late), encoding="utf-8")
    write(tmp_path / "b.jsonl", [10, 90])
    pieces = merged([reader(tmp_path / "a.jsonl"), reader(tmp_path / "b.jsonl")])
    assert [event.id for piece in pieces for event in piece] == ["b0", "late", "b1"]


def test_blank_lines_are_no_records_and_bad_ones_keep_their_line(tmp_path: Path) -> None:
    log = write(tmp_path / "a.jsonl", [1, 2])
    log.write_bytes(b"\n  \n" + log.read_bytes() + b"{\n\n\t\n[]\r\n")
    letters: list[DeadLetter] = []
    one = reader(log, 2, letters)
    events: list[Event] = [event for piece in merged([one]) for event in piece]
    assert [event.time for event in events] == [START + 1, START + 2]
    assert [(letter.reason, letter.raw, letter.coordinates["line"]) for letter in letters] == [
        ("bad_json", b"{", 5),
        ("not_an_object", b"[]", 8),
    ]
    assert one.records == 4
