"""Rendering deploy/kubernetes as an operator would, and looking things up in the result."""

import functools
import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.support.nats import REPOSITORY
from tests.support.kustomize import CACHE, kustomize_command
from tests.support.node import node_environment, npm_install

Resource = dict[str, Any]

DEPLOY = REPOSITORY / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = ("local", "production")


def render(directory: Path) -> list[Resource]:
    """All resources of one kustomization.

    Raises:
        subprocess.CalledProcessError: it does not render; the reason is in `stderr`.
    """
    command = kustomize_command()
    if command is None:
        raise RuntimeError("none of kustomize, kubectl and go is installed; one is needed (apt-get install golang-go)")
    done = subprocess.run([*command, str(directory)], check=True, capture_output=True, text=True, timeout=60)
    return [document for document in yaml.load_all(done.stdout, yaml.CSafeLoader) if document]


@functools.cache
def _rendered_overlay(name: str) -> str:
    return json.dumps(render(KUBERNETES / "overlays" / name))


def overlay(name: str) -> list[Resource]:
    """The resources of an overlay, a copy of one's own."""
    return json.loads(_rendered_overlay(name))


def combination(work: Path, components: Sequence[str]) -> list[Resource]:
    """The base with these components, as an overlay of an operator's own would have it."""
    tree = Path(tempfile.mkdtemp(dir=work))
    shutil.copytree(DEPLOY, tree, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    own = tree / "kubernetes" / "overlays" / "own"
    own.mkdir()
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../../base"],
        "components": [f"../../components/{name}" for name in components],
    }
    (own / "kustomization.yaml").write_text(json.dumps(kustomization))
    return render(own)


def named(resources: Sequence[Resource], kind: str, name: str) -> Resource:
    """The one resource of this kind and name."""
    found = [each for each in resources if each["kind"] == kind and each["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def of_kind(resources: Sequence[Resource], *kinds: str) -> list[Resource]:
    return [each for each in resources if each["kind"] in kinds]


def workloads(resources: Sequence[Resource]) -> list[Resource]:
    """Everything that makes pods from a template."""
    return of_kind(resources, "Deployment", "StatefulSet", "DaemonSet", "Job")


def pod_of(workload: Resource) -> Resource:
    return workload["spec"]["template"]["spec"]


def containers_of(workload: Resource) -> list[Resource]:
    pod = pod_of(workload)
    return [*pod.get("initContainers", []), *pod["containers"]]


def label(resource: Resource) -> str:
    return f"{resource['kind']}/{resource['metadata']['name']}"


def custom_resource_complaints(resources: Sequence[Resource]) -> list[str]:
    """What the schemas of their makers have against these custom resources."""
    source = Path(__file__).parents[1] / "custom_resources"
    digest = hashlib.sha256((source / "package-lock.json").read_bytes()).hexdigest()[:16]
    home = CACHE / f"custom-resources-{digest}"
    if not (home / "complete").exists():
        home.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(source / name, home / name)
        npm_install(home)
        (home / "complete").touch()
    shutil.copy(source / "check.mjs", home / "check.mjs")
    done = subprocess.run(
        ["node", "check.mjs"],
        cwd=home,
        env=node_environment(),
        input=json.dumps(resources),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)


def walk(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value in a resource with its path."""
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():  # pyright: ignore[reportUnknownVariableType] - parsed YAML
            yield from walk(inner, f"{path}.{key}")  # pyright: ignore[reportUnknownArgumentType] - parsed YAML
    elif isinstance(value, list):
        for number, inner in enumerate(value):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - parsed YAML
            yield from walk(inner, f"{path}[{number}]")  # pyright: ignore[reportUnknownArgumentType] - parsed YAML
