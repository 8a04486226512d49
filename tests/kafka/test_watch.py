"""Definition files that change under a running worker."""

from __future__ import annotations

from pathlib import Path

from stream.definitions import load
from stream.engine import compile_plan
from stream.metrics import Metrics
from stream.runtime.kafka.watch import DefinitionsWatch

TEXT = """version: 1
events: {cart: {type: product_added}}
features: {carts: {count: cart, last: 7d}}
segments: {full: {when: carts >= %d}}
"""


def test_a_change_is_read_once_and_said_to_hold_from_the_next_start(tmp_path: Path) -> None:
    file = tmp_path / "segments.yaml"
    file.write_text(TEXT % 3)
    metrics = Metrics()
    watch = DefinitionsWatch([str(file)], compile_plan(load([file])).hash, metrics)

    def counted(result: str) -> float | None:
        return metrics.registry.get_sample_value("segstream_definitions_reload_total", {"result": result})

    assert watch.look() is None
    file.write_text(TEXT % 40)
    assert (watch.look(), watch.look()) == ("pending", None)
    file.write_text(TEXT % 40 + "segmentz: {}\n")
    assert watch.look() == "failed"
    file.unlink()
    assert watch.look() == "failed"
    file.write_text(TEXT % 3)
    assert watch.look() == "loaded"
    assert [counted(result) for result in ("loaded", "pending", "failed")] == [1, 1, 2]


def test_values_of_parameters_are_not_part_of_the_file_s_name(tmp_path: Path) -> None:
    file = tmp_path / "segments.yaml"
    text = "version: 1\nparameters: {least: {type: number, default: 3}}\n" + TEXT.partition("\n")[2]
    file.write_text(text.replace("%d", "$least"))
    named = f"{file}?least=5"
    watch = DefinitionsWatch([named], compile_plan(load([named])).hash, Metrics())
    assert watch.look() is None
    file.write_text(text.replace("%d", "$least") + "\n")
    assert watch.look() == "loaded"
