"""Building and running Starwake's image with podman, from a base that needs no registry.

The public base is the official slim Python image. Where no registry can be asked, a Debian with Python is made by
debootstrap instead and given as BASE_IMAGE; it is kept below the user's cache, under the hash of what it is made by.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.deploy.support.nats import REPOSITORY
from tests.deploy.support.render import CACHE

DOCKER_FILES = REPOSITORY / "deploy" / "docker"
CONTAINERS_CONF = DOCKER_FILES / "nats-test" / "containers.conf"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
SUITE, PACKAGES = "bookworm", "ca-certificates,python3,python3-venv"
IMAGE = "localhost/starwake-test:latest"
# Not in the running image: what only package managers and people at a terminal need.
UNNEEDED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/cache/apt",
    "var/lib/apt/lists",
)


def podman(*arguments: str, timeout_s: float = 120, check: bool = True) -> str:
    """Run podman; what it prints.

    Raises:
        AssertionError: it failed; the text is what it said.
    """
    environment = os.environ | {"CONTAINERS_CONF": str(CONTAINERS_CONF)}
    command = ["podman", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout_s, check=False)
    assert done.returncode == 0 or not check, f"`{' '.join(command)}`: {done.stderr[-3000:]}"
    return (done.stdout + done.stderr if arguments[0] == "logs" else done.stdout).strip()


def base_image() -> str:
    """A Debian with Python, as an image of podman's."""
    recipe = f"{SUITE} {PACKAGES} {UNNEEDED}".encode() + AUTHORITIES.read_bytes()
    digest = hashlib.sha256(recipe).hexdigest()[:16]
    # uv trusts the authorities of its own otherwise.
    changes = [f"--change=ENV SSL_CERT_FILE={AUTHORITIES}", "--change=CMD /bin/sh"]
    name = f"localhost/starwake-test-base:{digest}-{hashlib.sha256(str(changes).encode()).hexdigest()[:8]}"
    if podman("images", "--quiet", name):
        return name
    archive = CACHE / f"base-{digest}.tar"
    if not archive.exists():
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="starwake-base-") as scratch:
            _bootstrap(Path(scratch) / "root", archive)
    podman("import", *changes, str(archive), name, timeout_s=300)
    return name


def _bootstrap(root: Path, archive: Path) -> None:
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
    for folder in UNNEEDED:
        shutil.rmtree(root / folder, ignore_errors=True)
    # The machine's own authorities: a package mirror may be known to them alone.
    shutil.copy(AUTHORITIES, root / "etc/ssl/certs/ca-certificates.crt")
    part = archive.with_suffix(".part")
    subprocess.run(["tar", "--numeric-owner", "-C", str(root), "-cf", str(part), "."], check=True, timeout=120)
    part.rename(archive)


def build(base: str) -> str:
    """Build the image from the working tree, with what uv has downloaded already at hand."""
    cache = subprocess.run(
        ["uv", "cache", "dir"], capture_output=True, text=True, check=True, timeout=30
    ).stdout.strip()
    before = podman("images", "--quiet", IMAGE)
    podman(
        "build",
        "--quiet",
        "--network=host",
        f"--volume={cache}:/root/.cache/uv",
        f"--build-arg=BASE_IMAGE={base}",
        f"--file={DOCKER_FILES / 'Dockerfile'}",
        f"--ignorefile={DOCKER_FILES / 'Dockerfile.dockerignore'}",
        f"--tag={IMAGE}",
        str(REPOSITORY),
        timeout_s=900,
    )
    if before and before != podman("images", "--quiet", IMAGE):
        podman("rmi", before, check=False)  # or every change of a source would leave one behind
    return IMAGE


def size_bytes(image: str) -> int:
    """What the image takes on a disk, its base included."""
    return int(podman("image", "inspect", "--format", "{{.Size}}", image))


def environment_options(settings: Mapping[str, str]) -> list[str]:
    return [f"--env={name}={value}" for name, value in settings.items()]
