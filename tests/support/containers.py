"""NATS in a container: an image from the wheel's static program, run through testcontainers on podman or docker.

No registry is asked: the image is `FROM scratch`. Ryuk (the sidecar that testcontainers cleans up with) would be
pulled from one, so it is off; containers carry the pid of the run that owns them instead, and the next run removes
what dead ones left.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from starwake.cli.embedded.nats import nats_server_binary
from tests.support.nats import NatsAddress

_ROOT: Final = Path(__file__).resolve().parents[2]
_FILES: Final = _ROOT / "deploy" / "docker" / "nats-test"
_IMAGE: Final = "localhost/starwake-nats-test:latest"
_OWNER_LABEL: Final = "starwake.test.pid"
_SECONDS: Final = 120.0
_CLIENT_PORT: Final = 4222
_MONITOR_PORT: Final = 8222
_OPTIONS: Final = ("-js", "-sd", "/data", "-m", str(_MONITOR_PORT))


class NoContainerEngine(Exception):  # noqa: N818 - a finding, not always an error
    """Containers cannot be run here; the text says why."""


@contextmanager
def nats_container() -> Generator[NatsAddress]:
    """One NATS server with JetStream in a container, removed at the end.

    Raises:
        NoContainerEngine: there is no engine, or it cannot build or run the image.
    """
    with tempfile.TemporaryDirectory(prefix="starwake-containers-") as scratch, _engine(Path(scratch)) as program:
        _build_image(program, Path(scratch))
        _remove_leftovers(program)
        with _running() as address:
            yield address


@contextmanager
def _engine(scratch: Path) -> Generator[str]:
    """The engine's program (`podman` or `docker`), with DOCKER_HOST set for the client library."""
    before = dict(os.environ)
    os.environ.update(
        TESTCONTAINERS_RYUK_DISABLED="true",
        TESTCONTAINERS_CONNECTION_MODE="docker_host",
        TESTCONTAINERS_HOST_OVERRIDE="127.0.0.1",
    )
    try:
        if shutil.which("podman"):
            os.environ.setdefault("CONTAINERS_CONF", str(_FILES / "containers.conf"))
            with _podman_service(scratch / "podman.sock") as url:
                os.environ["DOCKER_HOST"] = url
                yield "podman"
        elif shutil.which("docker") and _succeeds("docker", "info"):
            yield "docker"
        else:
            raise NoContainerEngine("neither podman nor a docker daemon is there")
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _podman_service(socket: Path) -> Generator[str]:
    with (socket.parent / "podman.log").open("wb") as log:
        service = subprocess.Popen(
            ["podman", "system", "service", "--time=0", f"unix://{socket}"], stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 20
        while not socket.exists():
            if service.poll() is not None or time.monotonic() > deadline:
                raise NoContainerEngine(f"podman's service did not start: {(socket.parent / 'podman.log').read_text()}")
            time.sleep(0.05)
        yield f"unix://{socket}"
    finally:
        service.terminate()
        try:
            service.wait(10)
        except subprocess.TimeoutExpired:
            service.kill()
            service.wait(10)


def _build_image(program: str, scratch: Path) -> None:
    context = scratch / "image"
    context.mkdir()
    shutil.copy2(nats_server_binary(), context / "nats-server")
    # The program's own date changes with each installation; layers are reused where it does not.
    _run(program, "build", "--quiet", "--tag", _IMAGE, "--file", str(_FILES / "Containerfile"), str(context))


@contextmanager
def _running() -> Generator[NatsAddress]:
    # Imported here: it reads its configuration from the environment when it is imported.
    from docker.errors import DockerException  # noqa: PLC0415
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415

    container = (
        DockerContainer(_IMAGE)
        .with_exposed_ports(_CLIENT_PORT, _MONITOR_PORT)
        .with_command(list(_OPTIONS))
        .with_kwargs(labels={_OWNER_LABEL: str(os.getpid())})
    )
    try:
        container.start()
    except DockerException as error:
        raise NoContainerEngine(f"the container does not start: {error}") from error
    try:
        host = container.get_container_host_ip()
        yield NatsAddress(
            url=f"nats://{host}:{container.get_exposed_port(_CLIENT_PORT)}",
            monitor_url=f"http://{host}:{container.get_exposed_port(_MONITOR_PORT)}",
            container=True,
        )
    finally:
        container.stop()
        container.get_docker_client().client.close()


def _remove_leftovers(program: str) -> None:
    """Remove test containers whose run is no longer alive."""
    listing = _run(program, "ps", "--all", "--filter", f"label={_OWNER_LABEL}", "--format", "{{.ID}}").split()
    for container in listing:
        with suppress(NoContainerEngine):  # another run may remove it at the same moment
            owner = _run(
                program, "inspect", "--format", f'{{{{index .Config.Labels "{_OWNER_LABEL}"}}}}', container
            ).strip()
            if owner.isdigit() and not Path(f"/proc/{owner}").exists():
                _run(program, "rm", "--force", container)


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=_SECONDS).stdout
    except subprocess.CalledProcessError as error:
        raise NoContainerEngine(f"`{' '.join(command)}` failed: {error.stderr.strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise NoContainerEngine(f"`{' '.join(command)}` took longer than {_SECONDS:.0f} s") from error


def _succeeds(*command: str) -> bool:
    try:
        _run(*command)
    except NoContainerEngine:
        return False
    return True
