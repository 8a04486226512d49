"""The names under which a worker's metrics are scraped, with the labels of each."""

from __future__ import annotations

from stream.metrics import Distribution, Metrics

_SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_count", "_sum"),
    "info": ("_info",),
    "gauge": ("",),
}


def exposed_names() -> dict[str, str]:
    """Name of each exposed series → its kind."""
    return {
        f"{family.name}{suffix}": family.type
        for family in Metrics().registry.collect()
        for suffix in _SUFFIXES[family.type]
    }


def exposed_labels() -> dict[str, tuple[str, ...]]:
    """Name of each metric as documented (a histogram by its plain name) → its labels."""
    metrics = Metrics()
    labels: dict[str, tuple[str, ...]] = {}
    for collector in vars(metrics).values():
        if isinstance(collector, Distribution):
            labels[collector.name] = collector.labels
            continue
        names = getattr(collector, "_labelnames", None)
        if names is None:
            continue
        (family,) = collector.describe()
        suffix = "" if family.type == "histogram" else _SUFFIXES[family.type][0]
        labels[f"{family.name}{suffix}"] = tuple(names)
    return labels
