"""What Compose, Kubernetes, the MCP registry and desktop clients are handed is of their form, and fits the server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
import yaml
from mcp import Client, StdioServerParameters

from airflow_mcp.settings.http import HttpSettings
from airflow_mcp.settings.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SCHEMAS = Path(__file__).parent / "schemas"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
KUBERNETES = "1.37.0"  # the newest that kubernetes-validate has
NO_FIELD = {"AIRFLOW_MCP_CONFIG"}


def read(path: str) -> Any:
    """A JSON or YAML file of the repository."""
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def unknown(variables: set[str]) -> set[str]:
    """Those of the variables that no setting has."""
    fields = {f"AIRFLOW_MCP_{name.upper()}" for name in Settings.model_fields}
    return {name for name in variables if name.startswith("AIRFLOW_MCP_")} - fields - NO_FIELD


def run(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_MCP_")}
    return subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False, env=kept | variables)


COMPOSE = read("deploy/compose.yaml")
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_the_compose_file_is_of_the_form_that_compose_specifies() -> None:
    tool = Path(sys.executable).parent / "check-jsonschema"
    done = run(tool, "--builtin-schema", "vendor.compose-spec", DEPLOY / "compose.yaml")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_of_compose_is_closed_bounded_and_watched(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert not service.get("privileged")
    assert not service.get("network_mode")


def test_only_nginx_can_be_reached_from_outside_and_two_replicas_answer_it() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["nginx"]
    assert SERVICES["server"]["deploy"]["replicas"] == 2
    assert "server:8765" in (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    assert SERVICES["server"]["healthcheck"]["test"] == ["CMD", "airflow-mcp", "health"]
    subnet = COMPOSE["networks"]["inside"]["ipam"]["config"][0]["subnet"]
    settings = tomllib.loads((DEPLOY / "airflow-mcp.toml").read_text(encoding="utf-8"))
    assert settings["http_trusted_proxies"] == [subnet]


def test_compose_takes_every_secret_from_a_file_or_a_variable_that_must_be_set() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search("KEY|PASSWORD|REDIS_URL|SECRET", name):
                assert re.search(r"\$\{\w+:\?", value), f"{name} is written down"
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_compose_sets_only_settings_that_exist_and_waits_longer_than_calls_may_take() -> None:
    assert unknown(set(SERVICES["server"]["environment"])) == set()
    drain = HttpSettings.model_fields["http_drain"].default
    assert int(SERVICES["server"]["stop_grace_period"].removesuffix("s")) > drain


KUSTOMIZATION = read("deploy/kubernetes/kustomization.yaml")
MANIFESTS: list[str] = KUSTOMIZATION["resources"]
POD = read("deploy/kubernetes/deployment.yaml")["spec"]["template"]["spec"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_is_of_the_form_that_kubernetes_has_strictly(name: str) -> None:
    tool = Path(sys.executable).parent / "kubernetes-validate"
    done = run(tool, "--strict", "--kubernetes-version", KUBERNETES, DEPLOY / "kubernetes" / name)
    assert done.returncode == 0, done.stderr + done.stdout


def test_the_kustomization_names_every_manifest() -> None:
    there = {file.name for file in (DEPLOY / "kubernetes").glob("*.yaml")} - {"kustomization.yaml"}
    assert there == set(MANIFESTS)
    assert KUSTOMIZATION["configMapGenerator"] == [{"name": "airflow-mcp", "files": ["airflow-mcp.toml"]}]
    assert KUSTOMIZATION["images"][0]["newTag"] == PROJECT["version"]
    assert SERVICES["server"]["image"] == f"airflow-mcp:{PROJECT['version']}"


def test_the_pod_is_restricted_probed_and_given_time_to_end() -> None:
    (container,) = POD["containers"]
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert f"USER {POD['securityContext']['runAsUser']}:" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    needed = container["lifecycle"]["preStop"]["sleep"]["seconds"] + int(variables["AIRFLOW_MCP_HTTP_DRAIN"])
    assert POD["terminationGracePeriodSeconds"] > needed
    assert unknown(set(variables)) == set()
    assert container["ports"][0]["containerPort"] == HttpSettings.model_fields["http_port"].default


def test_every_selector_means_the_pods_of_the_deployment() -> None:
    labels = read("deploy/kubernetes/deployment.yaml")["spec"]["template"]["metadata"]["labels"]
    assert read("deploy/kubernetes/deployment.yaml")["spec"]["selector"]["matchLabels"] == labels
    assert read("deploy/kubernetes/service.yaml")["spec"]["selector"] == labels
    assert read("deploy/kubernetes/networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"] == labels
    assert read("deploy/kubernetes/poddisruptionbudget.yaml")["spec"]["selector"]["matchLabels"] == labels


@pytest.mark.parametrize("name", ["deploy/airflow-mcp.toml", "deploy/kubernetes/airflow-mcp.toml"])
def test_a_sample_configuration_is_accepted_and_lets_nobody_in_as_it_is(name: str) -> None:
    done = run(sys.executable, "-m", "airflow_mcp", "policy", "check", ROOT / name)
    assert done.returncode == 0, done.stderr
    settings = tomllib.loads((ROOT / name).read_text(encoding="utf-8"))
    assert settings["http_stateless"] is True
    assert {token["sha256"] for token in settings["tokens"].values()} == {"0" * 64}


SERVER = read("server.json")
BUNDLE = read("deploy/mcpb/manifest.json")


@pytest.mark.parametrize(
    ("file", "schema"),
    [
        ("server.json", "server-2025-12-11.reduced.schema.json"),
        ("deploy/mcpb/manifest.json", "mcpb-manifest-v0.4.schema.json"),
    ],
)
def test_a_manifest_for_clients_is_of_its_form(file: str, schema: str) -> None:
    form = json.loads((SCHEMAS / schema).read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(form)
    jsonschema.validate(read(file), form, jsonschema.Draft7Validator)


@pytest.mark.parametrize("manifest", [SERVER, BUNDLE, *SERVER["packages"]], ids=["registry", "bundle", "package"])
def test_a_manifest_for_clients_has_the_version_of_the_package(manifest: dict[str, Any]) -> None:
    assert manifest["version"] == PROJECT["version"]
    assert manifest.get("description", PROJECT["description"]) == PROJECT["description"]


def test_a_manifest_for_clients_asks_for_settings_that_exist_and_hides_the_secrets() -> None:
    asked = {entry["name"]: entry for entry in SERVER["packages"][0]["environmentVariables"]}
    assert unknown(set(asked)) == unknown(set(BUNDLE["server"]["mcp_config"]["env"])) == set()
    secret = {"AIRFLOW_MCP_PASSWORD", "AIRFLOW_MCP_TOKEN"}
    assert {name for name, entry in asked.items() if entry.get("isSecret")} == secret
    hidden = {f"AIRFLOW_MCP_{name.upper()}" for name, entry in BUNDLE["user_config"].items() if entry.get("sensitive")}
    assert hidden == secret


def test_the_readme_names_the_server_as_the_registry_wants_to_find_it() -> None:
    assert f"<!-- mcp-name: {SERVER['name']} -->" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_bundle_starts_as_a_desktop_client_starts_it(tmp_path: Path) -> None:
    for name in ("airflow_mcp", "tool_manifests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "uv.lock", "README.md", "LICENSE", "deploy/mcpb/manifest.json"):
        shutil.copy2(ROOT / name, tmp_path)
    assert (tmp_path / BUNDLE["server"]["entry_point"]).is_file()
    started = BUNDLE["server"]["mcp_config"]
    assert started["command"] == "uv"
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "uv is not on the PATH; `make test` brings one."
    answers = {
        "url": "http://127.0.0.1:9",
        **{k: e["default"] for k, e in BUNDLE["user_config"].items() if "default" in e},
    }

    def filled(text: str) -> str:
        text = text.replace("${__dirname}", str(tmp_path))
        return re.sub(r"\$\{user_config\.(\w+)\}", lambda found: str(answers[found[1]]), text)

    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW_MCP_", "UV_PROJECT", "VIRTUAL"))
    }
    environment = kept | {name: filled(value) for name, value in started["env"].items()}
    server = StdioServerParameters(command=uv, args=[filled(word) for word in started["args"]], env=environment)

    async def talk() -> list[str]:
        async with Client(server) as client:
            return [tool.name for tool in (await client.list_tools()).tools]

    assert "diagnose_dag_run" in anyio.run(talk)
