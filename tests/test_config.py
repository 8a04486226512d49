"""Settings: where they come from, what wins, and what a mistake is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from stream.config import REFERENCE, Settings, describe, load_settings
from stream.definitions import load
from stream.errors import ConfigError
from stream.packs import pack_names

YAML = """\
app: shop
definitions: [segments.yaml, /etc/segments/more.yaml]
state_dir: data
kafka:
  brokers: "b1:9092,b2:9092"
  client:
    security_protocol: SASL_SSL
    sasl_plain_username: shop
    sasl_plain_password: hunter2
topics: {events: raw-events}
time:
  lateness: 10s
  idle_after: off
max_event_bytes: 64KiB
http: {port: 0}
"""

TOML = """\
app = "shop"
definitions = ["segments.yaml", "/etc/segments/more.yaml"]
state_dir = "data"
max_event_bytes = "64KiB"

[kafka]
brokers = "b1:9092,b2:9092"

[kafka.client]
security_protocol = "SASL_SSL"
sasl_plain_username = "shop"
sasl_plain_password = "hunter2"

[topics]
events = "raw-events"

[time]
lateness = "10s"
idle_after = "off"

[http]
port = 0
"""


def write(folder: Path, text: str, name: str = "segstream.yaml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def problems(
    folder: Path, text: str, name: str = "segstream.yaml", env: dict[str, str] | None = None
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(folder, text, name), env or {})
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_without_a_file_the_defaults_of_the_contract_hold() -> None:
    settings = load_settings()
    assert settings == dataclasses.replace(
        Settings(), topics=dataclasses.replace(Settings().topics, state="segstream-state")
    )
    assert settings.time.idle_after == 500
    assert settings.time.clock_skew == 300_000
    assert settings.time.dedup_window == 86_400_000
    assert settings.max_event_bytes == 262_144
    assert settings.topics.changes == "segment-changes"


@pytest.mark.parametrize(("text", "name"), [(YAML, "segstream.yaml"), (TOML, "segstream.toml")])
def test_yaml_and_toml_say_the_same(tmp_path: Path, text: str, name: str) -> None:
    settings = load_settings(write(tmp_path, text, name))
    assert settings.app == "shop"
    assert settings.definitions == (str(tmp_path / "segments.yaml"), "/etc/segments/more.yaml")
    assert settings.state_dir == str(tmp_path / "data")
    assert settings.kafka.brokers == "b1:9092,b2:9092"
    assert settings.kafka.client["sasl_plain_password"] == "hunter2"
    assert (settings.topics.events, settings.topics.state) == ("raw-events", "shop-state")
    assert (settings.time.lateness, settings.time.idle_after, settings.time.idle_margin) == (
        10_000,
        None,
        250,
    )
    assert (settings.http.port, settings.max_event_bytes) == (0, 65_536)


def test_the_environment_wins_and_its_paths_are_the_working_directorys(tmp_path: Path) -> None:
    env = {
        "SEGSTREAM_DEFINITIONS": "a.yaml, b.yaml",
        "SEGSTREAM_TIME_IDLE_AFTER": "2s",
        "SEGSTREAM_KAFKA_CLIENT_SASL_PLAIN_PASSWORD": "12345",
        "SEGSTREAM_KAFKA_CLIENT_ENABLE_IDEMPOTENCE": "true",
        "SEGSTREAM_BATCH_STEP_BYTES": "1MiB",
        "PATH": "/bin",
    }
    settings = load_settings(write(tmp_path, YAML), env)
    assert settings.definitions == ("a.yaml", "b.yaml")
    assert settings.time.idle_after == 2_000
    assert settings.kafka.client == {
        "security_protocol": "SASL_SSL",
        "sasl_plain_username": "shop",
        "sasl_plain_password": "12345",
        "enable_idempotence": True,
    }
    assert settings.batch.step_bytes == 1 << 20


def test_the_whole_client_section_can_come_as_one_variable() -> None:
    settings = load_settings(
        None, {"SEGSTREAM_KAFKA_CLIENT": "{security_protocol: SSL, request_timeout_ms: 9000}"}
    )
    assert settings.kafka.client == {"security_protocol": "SSL", "request_timeout_ms": 9000}


def test_the_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    assert load_settings(None, {"SEGSTREAM_CONFIG": str(write(tmp_path, YAML))}).app == "shop"


def test_a_pack_that_comes_with_the_product_has_a_short_name(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "definitions: ['pack:retail']"))
    assert Path(settings.definitions[0]).is_file()


def test_a_definitions_file_may_be_named_with_parameters(tmp_path: Path) -> None:
    names = "definitions: ['pack:retail?cart_wait=45m&purchase=paid|sold', 'shop.yaml?x=1']"
    settings = load_settings(write(tmp_path, names))
    assert settings.definitions[0].endswith("definitions.yaml?cart_wait=45m&purchase=paid|sold")
    assert load([settings.definitions[0]]).selectors["buy"].types == ("paid", "sold")
    assert settings.definitions[1] == str(tmp_path / "shop.yaml?x=1")


def test_all_mistakes_are_reported_at_once_each_with_its_place(tmp_path: Path) -> None:
    text = """\
ap: shop
kafka:
  broker: b1
time:
  idle_after: five
  latenes: 3s
http: 6066
brokers: b1
log: {level: loud}
max_event_bytes: lots
partitions: 0
partitions: 2
definitions: [pack:retial]
state_dir: [a]
kafka.client: {}
"""
    assert problems(tmp_path, text, env={"SEGSTREAM_TIME_LATENES": "1s"}) == [
        "segstream.yaml:1:1: unknown key `ap`; did you mean `app`?",
        "segstream.yaml:3:3: unknown key `kafka.broker`; did you mean `kafka.brokers`?",
        (
            "segstream.yaml:5:3: `time.idle_after`: `five` is not a duration: write a number and a unit, "
            "like 90s, 30m, 2h, 7d or 4w"
        ),
        "segstream.yaml:6:3: unknown key `time.latenes`; did you mean `time.lateness`?",
        "segstream.yaml:7:1: `http` is a section: expected keys and values below it",
        "segstream.yaml:8:1: unknown key `brokers`; did you mean `kafka.brokers`?",
        "segstream.yaml:9:7: `log.level`: expected one of debug, info, warning, error, not `loud`",
        "segstream.yaml:10:1: `max_event_bytes`: expected a size like 262144, 256KiB or 6MiB, not `lots`",
        "segstream.yaml:11:1: `partitions`: expected a number at least 1, not 0",
        "segstream.yaml:12:1: `partitions` stands here a second time",
        f"segstream.yaml:13:1: unknown pack `retial`; did you mean `retail`?; there are: {', '.join(pack_names())}",
        "segstream.yaml:14:1: `state_dir`: expected one value, not a list or a section",
        "segstream.yaml:15:1: unknown key `kafka.client`: write `client` below `kafka:`",
        "environment variable SEGSTREAM_TIME_LATENES: unknown key; did you mean `SEGSTREAM_TIME_LATENESS`?",
    ]


def test_toml_mistakes_name_the_line(tmp_path: Path) -> None:
    text = 'app = "shop"\n\n[time]\nlatenes = "3s"\n\n[http]\nport = 70000\n\n[kafak]\nbrokers = "b"\n'
    assert problems(tmp_path, text, "segstream.toml") == [
        "segstream.toml:4: unknown key `time.latenes`; did you mean `time.lateness`?",
        "segstream.toml:7: `http.port`: expected a number between 0 and 65535, not 70000",
        "segstream.toml:9: unknown key `kafak`; did you mean `kafka`?",
    ]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("app: [", "a.yaml", "a.yaml:1:7: not YAML: "),
        ("app: \x00", "a.yaml", "a.yaml: not YAML: "),
        ("- app", "a.yaml", "a.yaml:1:1: expected keys and values"),
        ("app = ", "a.toml", "a.toml: not TOML: "),
    ],
)
def test_a_file_that_cannot_be_read_says_where(tmp_path: Path, text: str, name: str, message: str) -> None:
    assert problems(tmp_path, text, name)[0].startswith(message)


def test_a_missing_file_is_the_callers_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the configuration") as caught:
        load_settings(tmp_path / "nowhere.yaml")
    assert caught.value.exit_code == 1


def test_an_empty_file_and_empty_keys_mean_the_defaults(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "")) == load_settings()
    assert load_settings(write(tmp_path, "app:\nkafka:\ntime: {lateness: }\n")) == load_settings()


def test_what_is_shown_can_be_read_again_and_hides_secrets(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, YAML), {"SEGSTREAM_KAFKA_CLIENT_OAUTH_TOKEN": "s3cret"})
    shown = describe(settings)
    assert "hunter2" not in shown
    assert "s3cret" not in shown
    assert "hunter2" not in repr(settings)
    again = load_settings(write(tmp_path, shown, "again.yaml"))
    assert again.kafka.client["sasl_plain_username"] == "shop"
    assert again.kafka.client["sasl_plain_password"] == "********"
    assert dataclasses.replace(again, kafka=settings.kafka) == settings


def test_every_setting_has_a_meaning_a_variable_of_its_own_and_can_be_set_by_it() -> None:
    shown = yaml.safe_load(describe(load_settings()))
    assert len({setting.variable for setting in REFERENCE}) == len(REFERENCE)
    for setting in REFERENCE:
        assert setting.doc, setting.key
        value = shown
        for name in setting.path:
            value = value[name]
        text = (
            ",".join(value)
            if isinstance(value, list)
            else yaml.safe_dump(value).removesuffix("...\n").strip()
        )
        assert load_settings(None, {setting.variable: text.strip("'")}) == load_settings(), setting.key


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("topics: {changes: events}", "segstream.yaml:1:10: `topics.changes`: `events` is `topics.events` already"),
        ("app: dead-letters\ntopics: {dead_letters: dead-letters-state}", "segstream.yaml:1:1: `app`: `dead-letters-s"),
        ("app: my shop", "segstream.yaml:1:1: `app`: Kafka takes no topic `my shop-state`; its names are at most 249"),
        ("topics: {state: ..}", "segstream.yaml:1:10: `topics.state`: Kafka takes no topic `..`"),
        ("sources: {events: segment}", "segstream.yaml:1:1: `sources`: `events` is the topic that events"),
    ],
)  # fmt: skip
def test_topics_have_names_of_their_own_that_kafka_takes(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as failure:
        load_settings(write(tmp_path, text))
    assert told in str(failure.value)


@pytest.mark.parametrize(
    "brokers", ["a:xx", "a:0", "a:65536", "a b:1", "a:1;b:1", "a:1,", "kafka://a:1", "a:1:2", ":9092"]
)
def test_brokers_that_no_client_takes_are_told(brokers: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"c\.yaml:1:9: `kafka\.brokers`: expected host:port, or several joined"
    ):
        load_settings(write(tmp_path, f'kafka: {{brokers: "{brokers}"}}', "c.yaml"))


@pytest.mark.parametrize(
    "brokers", ["a", "a:1", "kafka-1.example.org:9092, kafka_2:9093", "[::1]:9092", "10.0.0.1:65535"]
)
def test_brokers_are_hosts_and_ports(brokers: str, tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, f'kafka: {{brokers: "{brokers}"}}'))
    assert settings.kafka.brokers == brokers.replace(" ", "")


def test_a_token_is_nowhere_shown(tmp_path: Path) -> None:
    settings = load_settings(None, {"SEGSTREAM_HTTP_TOKEN": " s3cret\n"})
    assert settings.http.token == "s3cret"
    assert "s3cret" not in describe(settings)
    assert "********" in describe(settings)
    assert "s3cret" not in repr(settings)


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_settings().app = "other"  # type: ignore[misc]
