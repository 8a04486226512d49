"""The settings: frozen, with what each means beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from typing import Any, Final, get_type_hints

from stream.config.kinds import (
    ANYTHING,
    BROKERS,
    BYTES,
    DURATION,
    DURATION_OR_OFF,
    PATH,
    PATHS,
    SECRET,
    TABLE,
    TEXT,
    Kind,
    choice,
    integer,
)

ENV_PREFIX: Final = "SEGSTREAM_"


def setting(kind: Kind, default: Any = MISSING, *, doc: str) -> Any:
    """A field of a settings class. `doc` is the text of the configuration reference."""
    metadata = {"kind": kind, "doc": doc}
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), repr=False, metadata=metadata)
    return field(default=default, repr=kind is not SECRET, metadata=metadata)


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """How to reach the brokers."""

    brokers: str = setting(BROKERS, "localhost:9092", doc="bootstrap servers, `host:port` joined by commas")
    client: Mapping[str, Any] = setting(
        ANYTHING, {}, doc="passed to the Kafka clients unread: `security_protocol`, `sasl_mechanism`, …"
    )


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """The topics' names."""

    events: str = setting(TEXT, "events", doc="events in")
    changes: str = setting(TEXT, "segment-changes", doc="segment changes out")
    members: str = setting(TEXT, "segment-members", doc="the last change of each membership, compacted")
    dead_letters: str = setting(TEXT, "dead-letters", doc="records that could not be read")
    state: str = setting(TEXT, "", doc="the changelog of the state; default `<app>-state`")


@dataclass(frozen=True, slots=True)
class ClockSettings:
    """The time model (the meaning of each: docs/definitions.md). All in milliseconds."""

    lateness: int = setting(DURATION, 0, doc="how long the watermark waits for late events")
    clock_skew: int = setting(
        DURATION, 300_000, doc="an event later than its record time by more is set to it"
    )
    idle_after: int | None = setting(
        DURATION_OR_OFF, 500, doc="silence after which the wall clock moves a partition's watermark, or `off`"
    )
    idle_margin: int = setting(
        DURATION,
        250,
        doc="how far the live worker stays behind what the log will say (fetch, clock difference)",
    )
    dedup_window: int = setting(
        DURATION, 86_400_000, doc="how old a repeated event may be and still be dropped"
    )
    dedup_size: int = setting(
        Kind(integer(1, 65_536)),
        64,
        doc="how many of a user's newest event ids are remembered for that; 16 bytes each",
    )


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """Where `/metrics`, `/live` and `/ready` are served."""

    host: str = setting(TEXT, "127.0.0.1", doc="address to bind; `0.0.0.0` for all")
    port: int = setting(Kind(integer(0, 65_535)), 6066, doc="port; 0 takes a free one")
    token: str = setting(
        SECRET, "", doc="if set, asked for as `Authorization: Bearer …` by all but `/live` and `/ready`"
    )


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How much is done at once. The output does not depend on any of these."""

    max_poll_records: int = setting(Kind(integer(1)), 10_000, doc="records taken from the client at once")
    fetch_bytes: int = setting(BYTES, 4 << 20, doc="bytes fetched of a partition at once")
    step_bytes: int = setting(
        BYTES, 6 << 20, doc="where a step is cut; below the changelog's `max.message.bytes`"
    )


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged, and how."""

    level: str = setting(
        Kind(choice("debug", "info", "warning", "error")), "info", doc="debug, info, warning or error"
    )
    format: str = setting(
        Kind(choice("auto", "console", "json")), "auto", doc="console, json, or auto: console on a terminal"
    )
    users: str = setting(
        Kind(choice("plain", "hashed")),
        "plain",
        doc="how user ids stand in messages: plain, or hashed (the first 16 digits of their SHA-256)",
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a worker can be told."""

    app: str = setting(TEXT, "segstream", doc="the consumer group, and the prefix of the state's topic")
    definitions: tuple[str, ...] = setting(
        PATHS, (), doc="definition files, or `pack:NAME`; `?parameter=value` behind either"
    )
    mapping: str = setting(TEXT, "canonical", doc="how records are read: a preset's name or a file")
    sources: Mapping[str, str] = setting(
        TABLE,
        {},
        doc="topics of other shapes, each with its mapping: `{clicks: segment, till: till.yaml}`; the ingest stage "
        "writes their events to `topics.events`",
    )
    ingest: str = setting(
        Kind(choice("worker", "separate")),
        "worker",
        doc="where the ingest stage of `sources` runs: in each `worker`, or `separate` (`segstream ingest`)",
    )
    state_dir: str = setting(PATH, "state", doc="folder of the local state")
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    topics: TopicSettings = field(default_factory=TopicSettings)
    partitions: int = setting(Kind(integer(1)), 4, doc="partitions of topics that `topics --create` makes")
    replication_factor: int = setting(Kind(integer(1)), 1, doc="replicas of them; 3 or more in production")
    time: ClockSettings = field(default_factory=ClockSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    max_event_bytes: int = setting(BYTES, 256 << 10, doc="larger records are dead letters")
    batch: BatchSettings = field(default_factory=BatchSettings)
    log: LogSettings = field(default_factory=LogSettings)


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of the reference: its path, kind, default and meaning."""

    path: tuple[str, ...]
    kind: Kind
    default: Any
    doc: str

    @property
    def key(self) -> str:
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        return ENV_PREFIX + "_".join(self.path).upper()


def _walk(cls: type, path: tuple[str, ...] = ()) -> Iterator[Setting]:
    hints = get_type_hints(cls)
    for each in fields(cls):
        here = (*path, each.name)
        if is_dataclass(hints[each.name]):
            yield from _walk(hints[each.name], here)
        else:
            yield Setting(here, each.metadata["kind"], _default(each), each.metadata["doc"])


def _default(each: Field[Any]) -> Any:
    return each.default_factory() if each.default_factory is not MISSING else each.default


REFERENCE: Final = tuple(_walk(Settings))
"""Every key, in the order of the file."""
BY_PATH: Final = {setting.path: setting for setting in REFERENCE}
BY_VARIABLE: Final = {setting.variable: setting for setting in REFERENCE}
CLIENT: Final = BY_PATH["kafka", "client"]
SECTIONS: Final = frozenset(path[:depth] for path in BY_PATH for depth in range(1, len(path)))
