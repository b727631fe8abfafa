"""Runs the pods of the rendered manifests as containers: their images, arguments, settings, files and restrictions.

A small stand-in for the kubelet: environment from ConfigMaps and Secrets, volumes as folders with the very files, user
and group, read-only root, no capability, one network on which Services' names lead to their pods.
"""

import shutil
import tempfile
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starwake.cli.embedded.nats import nats_server_binary
from tests.deploy.support.images import podman
from tests.deploy.support.render import Resource, containers_of, named, of_kind, pod_of

LABEL = "starwake.test.pods"
STAND_INS = Path(__file__).parent / "stand_ins"


def stand_in_image(name: str, base: str) -> str:
    """NATS's or Postgres's image, on the test's own base."""
    tag = f"localhost/starwake-test-{name}:latest"
    with tempfile.TemporaryDirectory(prefix="starwake-image-") as folder:
        context = Path(folder)
        shutil.copy(STAND_INS / f"{name}.Containerfile", context / "Containerfile")
        if name == "nats":
            shutil.copy2(nats_server_binary(), context / "nats-server")
        else:
            shutil.copy(STAND_INS / "postgres-entrypoint.sh", context)
        podman(
            "build",
            "--quiet",
            "--network=host",
            f"--build-arg=BASE_IMAGE={base}",
            f"--tag={tag}",
            folder,
            timeout_s=300,
        )
    return tag


@dataclass
class Pods:
    """What runs of one set of manifests."""

    resources: list[Resource]
    secrets: dict[str, dict[str, str]]
    images: dict[str, str]
    work: Path
    network: str = field(default_factory=lambda: f"starwake-{uuid.uuid4().hex[:8]}")

    def run(self, kind: str, workload: str, *, publish: int | None = None) -> str:
        """Start a workload's pod; a Job's is waited for, container after container. The name of the last container."""
        resource = named(self.resources, kind, workload)
        name = ""
        for container in containers_of(resource):
            if container["name"] == "reloader":
                continue  # its image is nowhere at hand; what it does is tried in test_nats_rotation.py
            name = f"{self.network}-{container['name']}"
            options = ["--replace", f"--name={name}", f"--label={LABEL}={self.network}"]
            options += self._restrictions(resource, container) + self._network(resource, workload, publish)
            options += self._environment(resource, container) + self._volumes(resource, container)
            command = container.get("command", [])
            if command:
                options.append(f"--entrypoint={command[0]}")
            arguments = self._arguments(container)
            detached = ["--detach"] if kind != "Job" else []
            podman("run", *detached, *options, self.images[container["image"]], *command[1:], *arguments)
        return name

    def containers(self) -> list[str]:
        """All that were started, running or ended."""
        return podman("ps", "--all", "--format={{.Names}}", f"--filter=label={LABEL}={self.network}").split()

    def logs(self, name: str) -> str:
        return podman("logs", name, check=False)

    def all_logs(self) -> str:
        """The end of every container's log, for whoever has to find out why a test failed."""
        return "\n".join(f"--- {name}\n{self.logs(name)[-2000:]}" for name in self.containers())

    def _restrictions(self, resource: Resource, container: Resource) -> list[str]:
        pod, own = pod_of(resource)["securityContext"], container["securityContext"]
        assert own["readOnlyRootFilesystem"], "run as the manifest says, and it says read-only"
        capabilities = [f"--cap-drop={name.lower()}" for name in own["capabilities"]["drop"]]
        return [
            *capabilities,
            "--read-only",
            "--read-only-tmpfs=false",
            "--security-opt=no-new-privileges",
            f"--user={pod['runAsUser']}:{pod['runAsGroup']}",
            f"--memory={container['resources']['limits']['memory'].removesuffix('i').lower()}",
        ]

    def _network(self, resource: Resource, workload: str, publish: int | None) -> list[str]:
        labels = resource["spec"]["template"]["metadata"]["labels"]
        services = [s for s in of_kind(self.resources, "Service") if s["spec"]["selector"].items() <= labels.items()]
        options = [f"--network={self.network}", f"--hostname={workload}-0"]
        options += [f"--network-alias={service['metadata']['name']}" for service in services]
        return options + ([f"--publish=127.0.0.1::{publish}"] if publish else [])

    def _environment(self, resource: Resource, container: Resource) -> list[str]:
        values: dict[str, str] = {}
        for source in container.get("envFrom", []):
            values |= named(self.resources, "ConfigMap", source["configMapRef"]["name"])["data"]
        for entry in container.get("env", []):
            values[entry["name"]] = self._value(resource, entry)
        return [f"--env={name}={value}" for name, value in values.items()]

    def _value(self, resource: Resource, entry: Resource) -> str:
        if "value" in entry:
            return entry["value"]
        source = entry["valueFrom"]
        if "secretKeyRef" in source:
            return self.secrets[source["secretKeyRef"]["name"]][source["secretKeyRef"]["key"]]
        assert source == {"fieldRef": {"fieldPath": "metadata.name"}}
        return f"{resource['metadata']['name']}-0"

    def _arguments(self, container: Resource) -> list[str]:
        """Arguments with `$(NAME)` replaced by the container's variables, as the kubelet does."""
        arguments: list[str] = list(container.get("args", []))
        for entry in container.get("env", []):
            reference = f"$({entry['name']})"
            if any(reference in argument for argument in arguments):
                arguments = [each.replace(reference, self._value({}, entry)) for each in arguments]
        return arguments

    def _volumes(self, resource: Resource, container: Resource) -> list[str]:
        volumes = {volume["name"]: volume for volume in pod_of(resource).get("volumes", [])}
        group = pod_of(resource)["securityContext"]["fsGroup"]
        options: list[str] = []
        for mount in container.get("volumeMounts", []):
            volume = volumes.get(mount["name"])
            if volume is None or "emptyDir" in volume:  # of a claim, or empty: writable by the pod's group
                options.append(f"--volume={self._empty(group)}:{mount['mountPath']}")
                continue
            folder = self._files(volume, group)
            options.append(f"--volume={folder}:{mount['mountPath']}:ro")
        return options

    def _empty(self, group: int) -> Path:
        folder = Path(tempfile.mkdtemp(dir=self.work))
        shutil.chown(folder, 0, group)
        folder.chmod(0o2770)
        return folder

    def _files(self, volume: Resource, group: int) -> Path:
        source = volume.get("secret") or volume["configMap"]
        if "secret" in volume:
            data = self.secrets[source["secretName"]]
        else:
            data = named(self.resources, "ConfigMap", source["name"])["data"]
        mode = source.get("defaultMode", 0o644)
        folder = Path(tempfile.mkdtemp(dir=self.work))
        folder.chmod(0o755)
        items = source.get("items") or [{"key": key, "path": key} for key in data]
        for item in items:
            file = folder / item["path"]
            file.write_text(data[item["key"]])
            file.chmod(mode)
            shutil.chown(file, 0, group)
        return folder


@contextmanager
def pods(
    resources: list[Resource], secrets: dict[str, dict[str, str]], images: dict[str, str], work: Path
) -> Generator[Pods]:
    """A network of its own; every container on it, and the network, are gone at the end."""
    running = Pods(resources, secrets, images, work)
    podman("network", "create", running.network)
    try:
        yield running
    except AssertionError as error:
        error.add_note(running.all_logs())
        raise
    finally:
        left = running.containers()
        if left:
            podman("rm", "--force", "--time=2", *left)
        podman("network", "rm", running.network)
