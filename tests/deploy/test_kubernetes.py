"""The Kubernetes files: strictly valid, and in agreement with each other and with the program. No cluster is needed.

Kubernetes' own kinds are checked with the strict schemas of kubernetes-validate, those of KEDA and the Prometheus
Operator with the ones in tests/deploy/schemas, made as strict: a key that no schema knows is an error.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from stream.cli import main
from stream.config import load_settings
from tests.conftest import lacking
from tests.metric_names import exposed_names

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
SCHEMAS = Path(__file__).parent / "schemas"
VERSION = "1.33"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
OBJECTS: list[dict[str, Any]] = [
    document
    for file in KUSTOMIZATION["resources"]
    for document in yaml.safe_load_all((FOLDER / file).read_text(encoding="utf-8"))
]
SETTINGS = load_settings(FOLDER / "settings.yaml", {})


def one(kind: str) -> dict[str, Any]:
    (found,) = (each for each in OBJECTS if each["kind"] == kind)
    return found


POD = one("StatefulSet")["spec"]["template"]
CONTAINER = POD["spec"]["containers"][0]


def strict(schema: Any) -> Any:
    """A schema that allows only the keys it names, everywhere."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


@pytest.mark.parametrize("thing", OBJECTS, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_every_object_is_strictly_valid(thing: dict[str, Any]) -> None:
    own = SCHEMAS / f"{thing['apiVersion'].replace('/', '-')}-{thing['kind'].lower()}.json"
    if own.exists():
        schema = strict(json.loads(own.read_text(encoding="utf-8")))
        schema["properties"]["metadata"] = {"type": "object"}
        jsonschema.validate(thing, schema)
        return
    try:
        import kubernetes_validate
    except ImportError:
        lacking("kubernetes-validate is not installed (`make env`)")
    kubernetes_validate.validate(thing, VERSION, strict=True)


def test_a_key_that_does_not_exist_is_found() -> None:
    thing = one("ScaledObject")
    spoiled = {**thing, "spec": {**thing["spec"], "maxReplicas": 3}}
    schema = strict(json.loads((SCHEMAS / "keda.sh-v1alpha1-scaledobject.json").read_text(encoding="utf-8")))
    schema["properties"]["metadata"] = {"type": "object"}
    with pytest.raises(jsonschema.ValidationError, match="maxReplicas"):
        jsonschema.validate(spoiled, schema)


def test_every_file_of_the_folder_is_used() -> None:
    used = {*KUSTOMIZATION["resources"], "kustomization.yaml", "settings.yaml"}
    assert {file.name for file in FOLDER.iterdir()} == used
    for generated in KUSTOMIZATION["configMapGenerator"]:
        for file in generated["files"]:
            assert (FOLDER / file.partition("=")[2]).is_file()


def test_the_worker_s_command_and_environment_are_understood() -> None:
    name, *arguments = CONTAINER["args"]
    arguments[arguments.index("--config") + 1] = str(FOLDER / "settings.yaml")
    with click.Context(main) as context:
        command = main.get_command(context, name)
        assert command is not None
        with command.make_context(name, arguments, parent=context):
            pass
    environment = {each["name"]: "some-text" for each in CONTAINER["env"]}
    settings = load_settings(FOLDER / "settings.yaml", environment)
    assert settings.http.token == "some-text"
    assert set(settings.kafka.client) >= {"group_instance_id", "sasl_plain_username", "sasl_plain_password"}
    # Variables of a Service called segstream would be taken for settings, and refused.
    assert POD["spec"]["enableServiceLinks"] is False


def test_what_is_mounted_is_what_the_settings_name() -> None:
    mounts = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    claims = {claim["metadata"]["name"] for claim in one("StatefulSet")["spec"]["volumeClaimTemplates"]}
    volumes = {volume["name"] for volume in POD["spec"]["volumes"]}
    assert set(mounts) == claims | volumes
    assert SETTINGS.state_dir.startswith(f"{mounts['state']}/")
    config = CONTAINER["args"][CONTAINER["args"].index("--config") + 1]
    (generated,) = KUSTOMIZATION["configMapGenerator"]
    assert config == f"{mounts['settings']}/{generated['files'][0].partition('=')[0]}"
    (settings,) = (volume for volume in POD["spec"]["volumes"] if volume["name"] == "settings")
    assert settings["configMap"]["name"] == generated["name"]
    authority = Path(SETTINGS.kafka.client["ssl_cafile"])
    assert str(authority.parent) == mounts["kafka-ca"]
    secrets = {
        each["metadata"]["name"]: set(each["stringData"]) for each in OBJECTS if each["kind"] == "Secret"
    }
    (ca,) = (volume for volume in POD["spec"]["volumes"] if volume["name"] == "kafka-ca")
    assert authority.name in secrets[ca["secret"]["secretName"]]
    asked = [
        each["valueFrom"]["secretKeyRef"] for each in CONTAINER["env"] if "secretKeyRef" in each["valueFrom"]
    ]
    asked.append(one("ServiceMonitor")["spec"]["endpoints"][0]["authorization"]["credentials"])
    for reference in asked:
        assert reference["key"] in secrets[reference["name"]]


def test_everything_selects_the_same_pods_and_port() -> None:
    labels = POD["metadata"]["labels"]
    selectors = [
        one("StatefulSet")["spec"]["selector"]["matchLabels"],
        one("Service")["spec"]["selector"],
        one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        one("ServiceMonitor")["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector == labels for selector in selectors)
    assert one("Service")["metadata"]["labels"] == labels
    (port,) = CONTAINER["ports"]
    (service,) = one("Service")["spec"]["ports"]
    (allowed,) = one("NetworkPolicy")["spec"]["ingress"][0]["ports"]
    (endpoint,) = one("ServiceMonitor")["spec"]["endpoints"]
    assert port["containerPort"] == service["port"] == allowed["port"] == SETTINGS.http.port
    assert service["targetPort"] == port["name"]
    assert (endpoint["port"], endpoint["path"]) == (service["name"], "/metrics")
    assert SETTINGS.http.host == "0.0.0.0"
    egress = {rule["port"] for each in one("NetworkPolicy")["spec"]["egress"] for rule in each["ports"]}
    assert {int(broker.rpartition(":")[2]) for broker in SETTINGS.kafka.brokers.split(",")} < egress
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        request = CONTAINER[probe]["httpGet"]
        assert request["port"] == port["name"]
        assert request["path"] == ("/ready" if probe == "readinessProbe" else "/live")


def test_there_are_never_more_workers_than_partitions() -> None:
    scaled = one("ScaledObject")["spec"]
    assert scaled["maxReplicaCount"] == SETTINGS.partitions
    assert scaled["minReplicaCount"] == one("StatefulSet")["spec"]["replicas"] >= 2
    assert scaled["scaleTargetRef"]["name"] == one("StatefulSet")["metadata"]["name"]
    (trigger,) = scaled["triggers"]
    for name in re.findall(r"segstream_\w+", trigger["metadata"]["query"]):
        assert name in exposed_names()
    assert KUSTOMIZATION["namespace"] == one("Namespace")["metadata"]["name"]
    assert f'namespace="{KUSTOMIZATION["namespace"]}"' in trigger["metadata"]["query"]


def test_it_runs_as_the_image_s_user_with_nothing_to_write_but_its_state() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    user = int(re.findall(r"^USER (\d+)", dockerfile, re.MULTILINE)[-1])
    context = POD["spec"]["securityContext"]
    assert context["runAsNonRoot"]
    assert context["runAsUser"] == context["fsGroup"] == user
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    assert CONTAINER["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert CONTAINER["resources"]["requests"]
    (image,) = KUSTOMIZATION["images"]
    assert CONTAINER["image"] == image["name"]


def test_there_is_time_to_stop() -> None:
    from stream.runtime.kafka.faust_app import STOP_SECONDS

    assert POD["spec"]["terminationGracePeriodSeconds"] > STOP_SECONDS
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    workers = [each for each in compose["services"].values() if "run" in each.get("command", [])]
    assert workers
    for worker in workers:
        assert int(worker["stop_grace_period"].removesuffix("s")) > STOP_SECONDS


def test_the_rules_are_those_of_prometheus() -> None:
    groups = [
        group
        for file in ("recording.yml", "alerts.yml")
        for group in yaml.safe_load((ROOT / "deploy/prometheus/rules" / file).read_text(encoding="utf-8"))[
            "groups"
        ]
    ]
    assert one("PrometheusRule")["spec"]["groups"] == groups, "run make docs"
