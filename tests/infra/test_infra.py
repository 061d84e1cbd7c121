"""The templates of infra/, as far as they can be checked where no container engine runs."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
DOCKERFILES = ("Dockerfile.cpu", "Dockerfile.gpu")
INSTRUCTIONS = {"FROM", "ENV", "ARG", "WORKDIR", "COPY", "RUN", "USER", "CMD"}
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_0-9]+)(?::?[-?][^}]*)?\}")

Tree = dict[str, Any]


@pytest.fixture(scope="module")
def compose() -> Tree:
    tree: Tree = yaml.safe_load((INFRA / "compose.yaml").read_text())
    return tree


def example() -> dict[str, str]:
    lines = (INFRA / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def instructions(name: str) -> list[tuple[str, str]]:
    """(instruction, rest) of a Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", (INFRA / name).read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def is_pinned(image: str) -> bool:
    tag = image.rpartition(":")[2]
    return ":" in image and bool(re.search(r"\d+\.\d+", tag)) and tag != "latest"


def test_every_service_has_a_pinned_image_or_a_dockerfile_that_is_there(compose: Tree) -> None:
    for name, service in compose["services"].items():
        if build := service.get("build"):
            context = (INFRA / build["context"]).resolve()
            assert context == ROOT and (context / build["dockerfile"]).is_file(), name
        else:
            assert is_pinned(service["image"]), f"{name}: {service['image']}"


def test_services_depend_on_services_and_mount_volumes_and_files_that_are_there(compose: Tree) -> None:
    volumes = set(compose["volumes"])
    for name, service in compose["services"].items():
        assert set(service.get("depends_on", {})) <= set(compose["services"]), name
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in compose["services"][other], f"{name} waits for the health of {other}"
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert (INFRA / source).exists() if source.startswith(".") else source in volumes, f"{name}: {mount}"


def test_ports_are_open_on_loopback_alone(compose: Tree) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)


def test_every_deployment_gives_a_sign_of_life_often_enough_for_the_watch() -> None:
    from flows.server.deployments import SILENT_SECONDS

    for deployment in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]:
        environment = deployment["work_pool"]["job_variables"]["env"]
        assert environment == {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}, deployment["name"]
    from prefect.settings.models.flows import FlowsSettings

    by_default = FlowsSettings.model_fields["heartbeat_frequency"].default
    assert 2 * by_default < SILENT_SECONDS, "a run that was started without our setting would be taken for gone"


def test_workers_serve_the_pools_that_prefect_yaml_names(compose: Tree) -> None:
    deployed = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    commands = [service.get("command", []) for service in compose["services"].values()]
    served = {command[command.index("--pool") + 1] for command in commands if "--pool" in command}
    assert served == {deployment["work_pool"]["name"] for deployment in deployed}


def test_every_variable_is_in_the_example_and_every_one_of_the_example_is_used() -> None:
    used = set(VARIABLE.findall((INFRA / "compose.yaml").read_text()))
    assert used == set(example())


def test_no_file_holds_a_secret() -> None:
    secrets = {name: value for name, value in example().items() if re.search("KEY|PASSWORD|SECRET", name)}
    assert set(secrets.values()) <= {"", "change-me"}
    for path in INFRA.rglob("*"):
        if path.is_file():
            assert not re.search(r"sk-\w{16,}|AKIA[0-9A-Z]{16}|-----BEGIN", path.read_text()), path
    assert ".env" in (ROOT / ".gitignore").read_text().split()


@pytest.mark.parametrize("name", DOCKERFILES)
def test_a_dockerfile_starts_pinned_copies_what_is_there_and_does_not_run_as_root(name: str) -> None:
    found = instructions(name)
    assert {what for what, _ in found} <= INSTRUCTIONS
    assert found[0][0] == "FROM" and is_pinned(found[0][1])
    for what, rest in found:
        if what == "COPY":
            *sources, _ = rest.split()
            assert all((ROOT / source).exists() for source in sources), rest
        if what == "CMD":
            assert json.loads(rest)[:3] == ["prefect", "worker", "start"]
    assert [rest for what, rest in found if what == "USER"] == ["relift"]


def test_both_images_write_the_shared_volume_as_the_same_user() -> None:
    ids = [re.findall(r"useradd --uid (\d+) .*\brelift\b", (INFRA / name).read_text()) for name in DOCKERFILES]
    assert ids == [["10001"], ["10001"]]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_a_dockerfile_copies_everything_that_the_installation_reads(name: str) -> None:
    copied = {source for what, rest in instructions(name) if what == "COPY" for source in rest.split()[:-1]}
    assert {"pyproject.toml", "README.md", "LICENSE", "prefect.yaml", "relift", "tasks", "flows"} <= copied


def pins(path: Path) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", path.read_text(), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name.lower()): version for name, version in found}


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_installs_what_constraints_say_file_by_file(name: str) -> None:
    """What departs from constraints.txt is named here, with its reason."""
    kind = name.rpartition(".")[2]
    path = INFRA / f"requirements-{kind}.txt"
    held, installed = pins(ROOT / "constraints.txt"), pins(path)
    departures = {package for package in installed if installed[package] != held.get(package, installed[package])}
    assert departures == {"cpu": set(), "gpu": {"numpy"}}[kind], "vLLM's mistral-common asks for numpy below 2.4"
    text = path.read_text()
    assert "://" not in text and "--index" not in text
    for entry in re.split(r"\n(?=\S)", text.strip()):
        assert re.fullmatch(r"[a-z0-9._-]+==\S+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+", entry), entry[:200]
    run = next(rest for what, rest in instructions(name) if what == "RUN" and "--require-hashes" in rest)
    assert f"--require-hashes --no-deps -r infra/requirements-{kind}.txt" in run
    assert "pip install --no-deps --no-build-isolation -e ." in run


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_what_an_image_installs_is_all_that_relift_asks_for(kind: str) -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    asked += project["project"]["optional-dependencies"]["vllm"] if kind == "gpu" else []
    installed = pins(INFRA / f"requirements-{kind}.txt")
    if kind == "cpu":
        assert "torch" not in installed, "which the Dockerfile installs, by its version"
        installed["torch"] = pins(ROOT / "constraints.txt")["torch"]
    for line in asked:
        requirement = Requirement(line)
        assert requirement.specifier.contains(installed[requirement.name.lower()]), line


def test_the_server_of_compose_asks_for_the_key_that_workers_give(compose: Tree) -> None:
    key = "${PREFECT_KEY:?copy .env.example to .env}"
    server = compose["services"]["server"]["environment"]
    assert server["PREFECT_SERVER_API_AUTH_STRING"] == key
    assert server["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] == "true"
    assert "*" not in server["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"]
    asking = [service["environment"] for service in compose["services"].values() if "environment" in service]
    clients = [environment for environment in asking if "PREFECT_API_URL" in environment]
    assert len(clients) >= 4 and {environment.get("PREFECT_API_AUTH_STRING") for environment in clients} == {key}


def test_a_job_of_kubernetes_has_no_more_rights_than_it_needs(job: Tree) -> None:
    pod = job["spec"]["template"]["spec"]
    user = int(re.findall(r"useradd --uid (\d+)", (INFRA / "Dockerfile.gpu").read_text())[0])
    assert pod["securityContext"]["runAsNonRoot"] is True and pod["securityContext"]["runAsUser"] == user
    assert pod["securityContext"]["fsGroup"] == user, "or the volume of the project could not be written"
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    [container] = pod["containers"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.fixture(scope="module")
def job() -> Tree:
    """What the Kubernetes template fills in to with its defaults."""
    from prefect.utilities.templating import apply_values, find_placeholders

    template = json.loads((INFRA / "kubernetes" / "work-pool.json").read_text())
    variables = template["variables"]["properties"]
    assert all(variable["description"] for variable in variables.values())
    assert {p.name for p in find_placeholders(template["job_configuration"])} == set(variables)
    values = {key: variable["default"] for key, variable in variables.items() if "default" in variable}
    filled: Tree = apply_values(template["job_configuration"], {**values, "name": "a-run", "command": "x"})
    manifest: Tree = filled["job_manifest"]
    return manifest


def test_the_worker_of_kubernetes_takes_the_job(job: Tree) -> None:
    """Its own check of a job manifest (prefect-kubernetes 0.7.11), which no flow run gets past otherwise."""
    from jsonpatch import JsonPatch

    base = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"annotations": {}, "labels": {}},
        "spec": {
            "template": {
                "spec": {
                    "parallelism": 1,
                    "completions": 1,
                    "restartPolicy": "Never",
                    "containers": [{"name": "prefect-job"}],
                }
            }
        },
    }
    metadata = {"annotations": {}, "labels": {}, "namespace": "relift", **job["metadata"]}
    asked = JsonPatch.from_diff({**job, "metadata": metadata}, base)
    assert [op for op in asked if op["op"] in ("add", "replace")] == []
    assert "prefect-kubernetes==0.7.11" in (INFRA / "README.md").read_text()


def test_the_kubernetes_template_fills_in_to_a_job_with_its_gpus_and_secret(job: Tree) -> None:
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["envFrom"] == [{"secretRef": {"name": "relift"}}]
    assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    assert job["spec"]["backoffLimit"] == 0, "a retry is Prefect's, which knows the run"


def test_nothing_imports_from_infra() -> None:
    for layer in ("relift", "tasks", "flows", "tests"):
        for path in (ROOT / layer).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                module = node.module if isinstance(node, ast.ImportFrom) else None
                assert not (module or "").startswith("infra"), path
