"""Measurements, and the table that shows them side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. `seconds` of wall clock and `cpu_seconds` of the measured process for `events` events."""

    events: int
    seconds: float
    cpu_seconds: float
    changes: int
    memory: int | None = None
    """Largest resident size of the process, bytes."""
    stages: Mapping[str, float] = field(default_factory=dict)
    """Where its CPU-seconds went, as far as it was looked at."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """What else was measured, by name with its unit."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Repeated runs of one thing."""

    name: str
    samples: tuple[Sample, ...]
    note: str = ""

    @property
    def per_second(self) -> float:
        """Events per second of wall clock, the median."""
        return median(sample.events / sample.seconds for sample in self.samples)

    @property
    def per_cpu_second(self) -> float:
        """Events per CPU-second of the process, the median."""
        return median(sample.events / sample.cpu_seconds for sample in self.samples)

    @property
    def stages(self) -> dict[str, float]:
        """Microseconds of CPU per event by stage, medians."""
        names = self.samples[0].stages
        return {
            name: median(sample.stages[name] / sample.events for sample in self.samples) * 1e6
            for name in names
        }

    @property
    def figures(self) -> dict[str, float]:
        """The other figures, medians."""
        return {
            name: median(sample.figures[name] for sample in self.samples) for name in self.samples[0].figures
        }

    @property
    def spread(self) -> float:
        """(largest − smallest) / median of events per second."""
        rates = [sample.events / sample.seconds for sample in self.samples]
        return (max(rates) - min(rates)) / median(rates)


@dataclass(slots=True)
class Report:
    """All that one call of the benchmark measured."""

    machine: dict[str, str]
    measurements: list[Measurement] = field(default_factory=list)
    ratios: list[tuple[str, float]] = field(default_factory=list)
    """What is compared with what, and how many times as many events per CPU-second."""

    def compare(self, ours: Measurement, theirs: Measurement) -> None:
        """Add the ratios of two measurements of the same job, whose outputs were compared before."""
        self.ratios.append((f"{ours.name} / {theirs.name}, events/s", ours.per_second / theirs.per_second))
        self.ratios.append(
            (
                f"{ours.name} / {theirs.name}, events per CPU-second",
                ours.per_cpu_second / theirs.per_cpu_second,
            )
        )

    def as_json(self) -> dict[str, Any]:
        """For files: every sample, not only the medians."""
        return {
            "machine": self.machine,
            "measurements": [
                {
                    **asdict(each),
                    "figures": each.figures,
                    "events_per_second": round(each.per_second),
                    "events_per_cpu_second": round(each.per_cpu_second),
                }
                for each in self.measurements
            ],
            "ratios": {name: round(ratio, 2) for name, ratio in self.ratios},
        }

    def print(self, console: Console) -> None:
        """The table for people."""
        console.print(" · ".join(f"{name} {value}" for name, value in self.machine.items()), style="dim")
        console.print()
        console.print(_table(self.measurements), no_wrap=True, crop=False, overflow="ignore")
        console.print()
        for each in self.measurements:
            stages = ", ".join(f"{stage} {cost:.1f}" for stage, cost in each.stages.items())
            figures = ", ".join(f"{name} {value:,.6g}" for name, value in each.figures.items())
            parts = [each.note, f"µs/event: {stages}" if stages else "", figures]
            console.print(f"{each.name}: {'; '.join(part for part in parts if part)}", style="dim")
        for name, ratio in self.ratios:
            console.print(f"{name}: [bold]{ratio:.1f} ×[/bold]")


def _table(measurements: Sequence[Measurement]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in ("events", "events/s", "per CPU-s", "µs/event", "changes", "memory", "spread", "runs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in measurements:
        last = each.samples[-1]
        table.add_row(
            each.name,
            f"{last.events:,}",
            f"[bold]{each.per_second:,.0f}[/bold]",
            f"{each.per_cpu_second:,.0f}",
            f"{1e6 / each.per_cpu_second:.1f}",
            f"{last.changes:,}",
            f"{last.memory / 2**20:,.0f} MiB" if last.memory is not None else "",
            f"{each.spread:.0%}",
            str(len(each.samples)),
        )
    return table
