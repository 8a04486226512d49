"""What is deployed agrees with what is built: commands, ports, paths, images, metric names.

No container engine is needed: the compose file is read as data, and the commands in it are parsed by the command line.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from stream.cli import main
from stream.config import load_settings
from tests.metric_names import exposed_labels

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {
    name: service for name, service in SERVICES.items() if service.get("image", "").startswith("segstream")
}
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
CONTAINER_CONFIG = "/etc/segstream/segstream.yaml"


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Path in the container → path beside the compose file, or name of a volume."""
    return {parts[1]: parts[0] for parts in (each.split(":") for each in service.get("volumes", []))}


def on_host(service: dict[str, Any], path: str) -> Path | None:
    """Where a container's path lies in this checkout."""
    for inside, outside in mounts(service).items():
        if outside.startswith(".") and (path == inside or path.startswith(f"{inside}/")):
            return ROOT / outside / path.removeprefix(inside).lstrip("/")
    return None


def commands_of(service: dict[str, Any]) -> list[list[str]]:
    """The words behind `segstream` of each command: one of the image's entry point, or the lines of a shell."""
    if "entrypoint" not in service:
        return [service["command"]]
    assert service["entrypoint"] == ["sh", "-ec"]
    lines = (
        service["command"][0].replace("$$(date -u +%Y-%m-%dT%H:%M:%SZ)", "2026-11-21T09:00:00Z").splitlines()
    )
    words = [shlex.split(line.removeprefix("exec ")) for line in lines]
    assert all(line[0] == "segstream" for line in words)
    return [line[1:] for line in words]


def published(service: dict[str, Any]) -> set[int]:
    """Ports inside the container that the host reaches."""
    return {int(str(port).split(":")[-1]) for port in service.get("ports", [])}


def test_the_compose_file_is_whole() -> None:
    assert set(SERVICES) >= {"kafka", "topics", "worker", "producer", "prometheus", "grafana"}
    volumes = set(COMPOSE["volumes"])
    for name, service in SERVICES.items():
        assert "image" in service or "build" in service, name
        for dependency in service.get("depends_on", []):
            assert dependency in SERVICES, f"{name} depends on {dependency}"
        for inside, outside in mounts(service).items():
            if outside.startswith("."):
                assert (ROOT / outside).exists(), f"{name} mounts {outside} at {inside}"
            else:
                assert outside in volumes, f"{name} mounts the undeclared volume {outside}"


def test_the_compose_file_fits_the_public_schema() -> None:
    schema = json.loads((ROOT / "tests/deploy/schemas/compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.validate(COMPOSE, schema)
    spoiled = {**COMPOSE, "services": {"kafka": {"imge": "apache/kafka"}}}
    with pytest.raises(jsonschema.ValidationError, match="imge"):
        jsonschema.validate(spoiled, schema)


def test_services_that_others_wait_for_can_say_when_they_are_ready() -> None:
    for name, service in SERVICES.items():
        waits = service.get("depends_on", {})
        for dependency, wait in waits.items() if isinstance(waits, dict) else ():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[dependency], f"{name} waits for {dependency}'s health"


def test_every_foreign_image_is_pinned() -> None:
    for name, service in SERVICES.items():
        if name not in OURS:
            assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"]), service["image"]
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    bases = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert bases
    assert all(re.fullmatch(r"python:\d+\.\d+\.\d+(-slim)?-\w+", base) for base in bases)
    assert "-slim-" in bases[-1], "what runs needs no compiler"
    assert len({base.replace("-slim", "") for base in bases}) == 1, (
        "a compiled engine fits its own Python only"
    )


def test_the_image_runs_on_a_python_that_the_package_allows_and_not_as_root() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    version = re.search(r"^FROM python:(\d+)\.(\d+)", dockerfile, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    least = re.search(r"(\d+)\.(\d+)", project["requires-python"])
    assert version is not None
    assert least is not None
    assert tuple(map(int, version.groups())) >= tuple(map(int, least.groups()))
    user = re.findall(r"^USER (\S+)", dockerfile, re.MULTILINE)[-1]
    assert user.split(":")[0] not in {"root", "0"}
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        for path in source.split():
            assert (ROOT / path).exists(), f"Dockerfile copies {path}"
            allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
            assert f"!{path.removeprefix('./')}" in allowed, f".dockerignore hides {path}"


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_command_in_the_compose_file_exists(name: str) -> None:
    """Parsed by the command line itself: the command, its options, and that the files it names are there."""
    service = OURS[name]
    for line in commands_of(service):
        words = [str(on_host(service, word) or word) for word in line]
        with click.Context(main) as context:
            command = main.get_command(context, words[0])
            assert command is not None, words[0]
            with command.make_context(words[0], words[1:], parent=context):
                pass


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_services_start_with_valid_settings(name: str) -> None:
    service = OURS[name]
    environment = dict(service.get("environment", {}))
    config = environment.get("SEGSTREAM_CONFIG", CONTAINER_CONFIG)
    host_config = on_host(service, config)
    assert host_config is not None, f"{name} does not mount {config}"
    settings = load_settings(host_config, {**environment, "SEGSTREAM_CONFIG": str(host_config)})
    broker, _, port = settings.kafka.brokers.partition(":")
    assert f"//{broker}:{port}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert settings.replication_factor == 1
    assert all(Path(path).is_file() for path in settings.definitions)


def test_the_worker_keeps_its_state_on_a_volume_and_is_reached_at_its_port() -> None:
    worker = SERVICES["worker"]
    settings = load_settings(on_host(worker, CONTAINER_CONFIG), {})
    assert settings.state_dir in mounts(worker)
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert f"VOLUME {settings.state_dir}" in dockerfile
    assert f"EXPOSE {settings.http.port}" in dockerfile
    assert f"SEGSTREAM_STATE_DIR={settings.state_dir}" in dockerfile
    assert settings.http.host == "0.0.0.0"
    assert published(worker) == {settings.http.port}
    assert f":{settings.http.port}/live" in json.dumps(worker["healthcheck"])


def test_prometheus_scrapes_the_worker() -> None:
    prometheus = SERVICES["prometheus"]
    file = next(word.partition("=")[2] for word in prometheus["command"] if word.startswith("--config.file="))
    path = on_host(prometheus, file)
    assert path is not None
    jobs = {
        job["job_name"]: job for job in yaml.safe_load(path.read_text(encoding="utf-8"))["scrape_configs"]
    }
    (discovery,) = jobs["segstream"]["dns_sd_configs"]
    assert set(discovery["names"]) <= set(SERVICES)
    assert {discovery["port"]} == published(SERVICES["worker"])
    assert jobs["segstream"]["metrics_path"] == "/metrics"


def test_grafana_finds_its_datasource_and_dashboards() -> None:
    grafana = SERVICES["grafana"]
    provisioning = ROOT / "deploy/grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text(encoding="utf-8"))[
        "datasources"
    ]
    (provider,) = yaml.safe_load((provisioning / "dashboards/segstream.yml").read_text(encoding="utf-8"))[
        "providers"
    ]
    host, port = source["url"].removeprefix("http://").split(":")
    assert int(port) in published(SERVICES[host])
    assert on_host(grafana, provider["options"]["path"]) == ROOT / "deploy/grafana/dashboards"
    assert mounts(grafana)["/etc/grafana/provisioning"] == "./deploy/grafana/provisioning"
    for dashboard in DASHBOARDS:
        assert f'"uid": "{source["uid"]}"' in dashboard.read_text(encoding="utf-8")


def test_the_page_on_metrics_lists_them_all_with_their_labels() -> None:
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`segstream_\w+`(?:, `segstream_\w+`)*) \| (.*?) ?\| ", text, re.MULTILINE)
    described = {
        name: tuple(re.findall(r"`(\w+)`", labels))
        for names, labels in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    exposed = exposed_labels()
    assert sorted(described) == sorted(exposed)
    for name, labels in exposed.items():
        if not name.endswith("_info"):  # the labels of those are set when a worker starts
            assert described[name] == labels, name


def test_promtool_accepts_the_prometheus_configuration(promtool: str) -> None:
    run(promtool, "check", "config", str(ROOT / "deploy/prometheus/prometheus.yml"))


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
