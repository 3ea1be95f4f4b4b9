"""What stands in deploy/: what refers to what, and that what is configured there is a configuration."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from flows.cli import app
from flows.config import load
from tests.command import ROOT, command

DEPLOY = ROOT / "deploy"
MANIFESTS = DEPLOY / "kubernetes"
DOC = (ROOT / "docs" / "deployment.md").read_text()
MIB = 1 << 20
UNITS = {"Mi": MIB, "Gi": 1 << 30}


def manifests() -> list[dict[str, Any]]:
    listed = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text())["resources"]
    return [one for name in listed for one in yaml.safe_load_all((MANIFESTS / name).read_text())]


SETS = {one["metadata"]["name"]: one for one in manifests() if one["kind"] == "StatefulSet"}


def pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = SETS[name]["spec"]["template"]["spec"]
    return found


def container(name: str) -> dict[str, Any]:
    [found] = pod(name)["containers"]
    return dict(found)


def configuration(tmp_path: Path) -> Path:
    [one] = [one for one in manifests() if one["kind"] == "ConfigMap"]
    path = tmp_path / "config.toml"
    path.write_text(one["data"]["config.toml"])
    return path


@pytest.mark.parametrize("name", sorted(SETS))
def test_a_workload_has_no_more_rights_than_it_needs(name: str) -> None:
    one, about = container(name), pod(name)
    assert about["securityContext"]["runAsNonRoot"] is True
    assert about["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert about["automountServiceAccountToken"] is False
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert "/tmp" in {mount["mountPath"] for mount in one["volumeMounts"]}
    volumes = {volume["name"] for volume in about["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in SETS[name]["spec"]["volumeClaimTemplates"]}
    assert {mount["name"] for mount in one["volumeMounts"]} == volumes
    assert {"memory"} == set(one["resources"]["limits"])
    assert {"cpu", "memory"} == set(one["resources"]["requests"])
    assert SETS[name]["spec"]["replicas"] == 1
    assert all(set(env) == {"name", "valueFrom"} for env in one["env"]), "secrets are never written down"


@pytest.mark.parametrize("name", sorted(SETS))
def test_its_words_are_a_command_and_its_files_are_mounted(name: str) -> None:
    words = container(name)["args"]
    command_ = get_command(app)
    while words and not words[0].startswith("-"):
        command_, words = command_.commands[words[0]], words[1:]  # type: ignore[attr-defined]
    options = {option for parameter in command_.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options
    mounts = tuple(mount["mountPath"] + "/" for mount in container(name)["volumeMounts"])
    assert all(word.startswith(mounts) for word in words if word.startswith("/"))


@pytest.mark.parametrize("name", sorted({*SETS} - {"lapwing-archive"}))
def test_it_is_asked_how_it_is(name: str) -> None:
    one = container(name)
    [port] = one["ports"]
    assert {one[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")} == {
        port["name"]
    }
    assert one["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert one["readinessProbe"]["httpGet"]["path"] == "/readyz"
    notes = SETS[name]["spec"]["template"]["metadata"]["annotations"]
    assert notes["prometheus.io/port"] == str(port["containerPort"]) == "9464"


def test_everything_belongs_to_something() -> None:
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in SETS.values()]
    for one in manifests():
        spec = one.get("spec", {})
        selector = spec.get("selector", spec.get("podSelector"))
        if one["kind"] in ("PodDisruptionBudget", "NetworkPolicy", "StatefulSet"):
            selector = selector["matchLabels"]
        if one["kind"] != "ConfigMap" and one["kind"] != "Namespace":
            assert [label for label in labels if selector.items() <= label.items()], one["metadata"]["name"]
    kinds = [one["kind"] for one in manifests()]
    assert kinds.count("PodDisruptionBudget") == kinds.count("StatefulSet") == kinds.count("Service")
    monitor = yaml.safe_load((MANIFESTS / "monitor.yaml").read_text())["spec"]
    chosen = monitor["selector"]["matchExpressions"][0]["values"]
    assert {f"lapwing-{name}" for name in chosen} == {name for name in SETS if container(name).get("ports")}


def test_the_configuration_is_one_and_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = configuration(tmp_path)
    config = load(str(path))
    assert config.input.path == config.output.path == "kafka"
    code, text, _ = command("check", path, "--json")
    assert code == 0
    limit = container("lapwing-detect")["resources"]["limits"]["memory"]
    room = int(limit[:-2]) * UNITS[limit[-2:]]
    assert room >= 1.25 * json.loads(text)["memory_bytes"] + config.run.processes * 600 * MIB
    asked = {config.kafka.username_env, config.kafka.password_env}
    for name in SETS:
        assert {env["name"] for env in container(name)["env"]} >= asked
    for name in ("lapwing-detect", "lapwing-canary"):
        assert config.canary.key_env in {env["name"] for env in container(name)["env"]}
    [destination] = config.destination
    assert getattr(destination, "token_env", "") in {env["name"] for env in container("lapwing-forward")["env"]}
    keys = {env["valueFrom"]["secretKeyRef"]["key"] for name in SETS for env in container(name)["env"]}
    assert all(f"--from-literal={key}=" in DOC for key in keys), "docs/deployment.md makes the Secret"


def test_the_image_is_built_from_what_is_there() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    stages = text.split("\nFROM ")
    assert len(stages) == 3
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    allowed = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert names == allowed
    assert all((ROOT / name).exists() for name in names)
    final = stages[2]
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["/opt/lapwing/bin/lapwing"\]$', final, re.MULTILINE)
    assert not re.search(r"apt-get|gcc|build-essential|pip install", final)
    cpu = re.findall(r"NUMBA_CPU_NAME=\S+ NUMBA_CPU_FEATURES=\"\"", text)
    assert len(set(cpu)) == 1, "compiled for the processor that it then runs as"
    assert len(cpu) == 2
    uv = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert uv is not None
    assert f"uv=={uv[1]}" in text
    assert load(str(DEPLOY / "kernels.toml")).detector[1].id


def test_the_build_calls_the_kernels_of_platforms_formats_and_of_the_trail(tmp_path: Path) -> None:
    words = re.findall(r"/opt/lapwing/bin/lapwing (.+?)(?: \\)?$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert [line.split()[0] for line in words] == ["simulate", *["detect"] * 4, "archive"]
    here = words[4].replace("/tmp/kernels.ndjson", str(DEPLOY / "kernels.ndjson")).replace("/tmp/", f"{tmp_path}/")
    code, _, lines = command(*here.split())
    assert (code, lines) == (0, [])
    [event] = (tmp_path / "platform" / "scored.ndjson").read_text().splitlines()
    assert "eventType" in event, "it was read as Okta's"


def test_compose_refers_to_what_is_there(tmp_path: Path) -> None:
    found = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = found["services"]
    assert set(services) == {"kafka", "topics", "lapwing", "prometheus", "grafana"}
    for service in services.values():
        for needed in service.get("depends_on", {}):
            assert needed in services
        for volume in service.get("volumes", ()):
            place = volume.split(":")[0]
            assert (ROOT / place).exists() if place.startswith(".") else place in found["volumes"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert (ROOT / services["lapwing"]["build"]["dockerfile"]).is_file()
    config = load(str(DEPLOY / "compose.toml"))
    listeners = services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INSIDE://{config.kafka.bootstrap}" in listeners
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    [target] = scraped["scrape_configs"][0]["static_configs"][0]["targets"]
    assert target == f"lapwing:{config.metrics.listen.rpartition(':')[2]}"
    [rules] = scraped["rule_files"]
    assert any(volume.split(":")[1] == f"/etc/prometheus/{rules}" for volume in services["prometheus"]["volumes"])
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/lapwing.yaml").read_text())["datasources"]
    assert sources[0]["url"] == "http://prometheus:9090"
    [provider] = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/lapwing.yaml").read_text())["providers"]
    mounts = {volume.split(":")[1] for volume in services["grafana"]["volumes"]}
    assert provider["options"]["path"] in mounts


def test_every_alert_has_its_page_and_its_test() -> None:
    [group] = yaml.safe_load((DEPLOY / "prometheus" / "lapwing.rules.yml").read_text())["groups"]
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ")).strip().lower().replace(" ", "-")
        for line in DOC.splitlines()
        if line.startswith("#")
    }
    for rule in group["rules"]:
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/deployment.md"
        assert anchor in headings, rule["alert"]
        assert f"`{rule['alert']}`" in DOC
        assert rule["labels"]["severity"] in ("page", "ticket")
    tested = yaml.safe_load((DEPLOY / "prometheus" / "lapwing.rules.test.yml").read_text())["tests"]
    assert {one["name"] for one in tested} == {rule["alert"] for rule in group["rules"]}
