"""`starwake up` as a person or a black-box test sees it: processes, ports, files, exit codes."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from starwake.cli.embedded.process import Launch, start
from tests.support.eventually import eventually
from tests.support.nats import LocalNats
from tests.support.stack import Stack

PARTS = {"nats", "postgres", "gateway", "command", "scheduler"}
ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def own_directory() -> Generator[Path]:
    """Below /tmp and open to walk through: Postgres runs as another user when the tests run as root."""
    path = Path(tempfile.mkdtemp(prefix="starwake-up-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def directory() -> Iterator[Path]:
    with own_directory() as path:
        yield path


@pytest.fixture(scope="module")
async def shared() -> AsyncIterator[Stack]:
    with own_directory() as path:
        stack = Stack(path, "--no-durable", "--time-scale", "600")
        yield stack
        if stack.exit_code is None:
            await stack.stop()


@pytest.fixture
async def up(shared: Stack) -> Stack:
    """A running, healthy stack; what a test kills or stops is started again for the next."""
    if shared.exit_code is not None or not shared.started:
        await shared.start()
    await eventually(shared.is_healthy, within_s=60, every_s=0.1)
    return shared


def processes_of(data: Path) -> list[psutil.Process]:
    """Every process that has to do with this data directory, by its arguments or its environment."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            if process.pid != os.getpid() and (str(data) in words or _serves(process, data)):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def _serves(process: psutil.Process, data: Path) -> bool:
    """A service knows its stack by the secret of its database."""
    secret = json.loads((data / "secrets.json").read_text())["postgres_password"]
    return secret in process.environ().get("STARWAKE_DATABASE_URL", "")


def run(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(stack.run(*arguments), capture_output=True, text=True, timeout=30, check=False)


async def start_build(stack: Stack, player: str) -> dict[str, Any]:
    """Sign in and order the quickest thing there is; the reply."""
    from websockets.asyncio.client import connect  # noqa: PLC0415 - one helper of this file needs it

    async with connect(stack.ws_url, additional_headers={"Authorization": f"Bearer {stack.token(player)}"}) as socket_:
        assert json.loads(await socket_.recv())["type"] == "hello"
        await socket_.send(json.dumps({"id": "1", "command": "catalogue.list"}))
        kinds = json.loads(await socket_.recv())["result"]["kinds"]
        quickest = min((kind for kind in kinds if not kind.get("requires")), key=lambda kind: kind["duration_s"])
        order = {"kind": quickest["kind"], "site": "luna-1"}
        await socket_.send(json.dumps({"id": "2", "command": "build.start", "args": order}))
        while True:
            frame = json.loads(await socket_.recv())
            if frame["type"] != "push":
                return frame


async def builds(stack: Stack, player: str) -> list[dict[str, Any]]:
    from websockets.asyncio.client import connect  # noqa: PLC0415 - as above

    async with connect(stack.ws_url, additional_headers={"Authorization": f"Bearer {stack.token(player)}"}) as socket_:
        assert json.loads(await socket_.recv())["type"] == "hello"
        await socket_.send(json.dumps({"id": "3", "command": "build.list"}))
        while True:
            frame = json.loads(await socket_.recv())
            if frame["type"] == "reply":
                return frame["result"]["builds"]


async def test_up_runs_each_part_as_a_process_and_says_where_the_page_is(up: Stack) -> None:
    parts = {part["name"]: part for part in await up.status()}
    assert set(parts) == PARTS
    assert len({part["pid"] for part in parts.values()}) == len(PARTS)
    assert all(part["healthy"] for part in parts.values())
    await eventually(lambda: f"Starwake is up: {up.url}/" in up.output())
    output = up.output()
    assert all(sum(line.split()[1:2] == [name] for line in output.splitlines()) == 1 for name in PARTS)
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(up.url)).status_code == 200


async def test_status_prints_the_parts_as_json_and_as_a_table(up: Stack) -> None:
    printed = run(up, "status", "--json")
    assert printed.returncode == 0
    parts = json.loads(printed.stdout)["parts"]
    assert {part["name"] for part in parts} == PARTS
    assert all(
        isinstance(part["pid"], int) and part["url"] and part["healthy"] is True and part["since"].endswith("Z")
        for part in parts
    )
    table = run(up, "status")
    assert table.returncode == 0
    assert all(part["url"] in table.stdout for part in parts)


async def test_a_token_stands_alone_on_stdout_and_opens_a_session(up: Stack) -> None:
    printed = run(up, "token", "ada", "--ttl", "5m")
    assert printed.returncode == 0
    token = printed.stdout.removesuffix("\n")
    assert token.count(".") == 2
    assert not set(token) & set(" \n")
    from websockets.asyncio.client import connect  # noqa: PLC0415 - as above

    async with connect(up.ws_url, additional_headers={"Authorization": f"Bearer {token}"}) as socket_:
        hello = json.loads(await socket_.recv())
    assert (hello["type"], hello["player"]) == ("hello", "ada")


async def test_state_and_secrets_are_for_their_owner_alone(up: Stack) -> None:
    for name in ("stack.json", "secrets.json"):
        assert (up.data / name).stat().st_mode & 0o077 == 0
    logs = "".join(log.read_text() for log in (up.data / "logs").iterdir())
    assert all(secret not in logs + up.output() for secret in up.state()["secrets"].values())


async def test_sigterm_ends_everything_and_the_next_start_completes_what_came_due_meanwhile(up: Stack) -> None:
    assert (await start_build(up, "ada"))["type"] == "reply"
    began = time.monotonic()
    await up.kill_up(signal.SIGTERM)
    assert time.monotonic() - began < 10
    assert up.exit_code == 0
    assert processes_of(up.data) == []
    assert run(up, "status").returncode == 3
    await up.start()

    async def completed() -> bool:
        return [build["state"] for build in await builds(up, "ada")] == ["completed"]

    await eventually(completed, within_s=30, every_s=0.2)


async def test_kill_9_of_up_leaves_no_process_behind_and_is_no_obstacle_to_the_next_start(up: Stack) -> None:
    assert (await start_build(up, "lin"))["type"] == "reply"
    assert processes_of(up.data)
    await up.kill_up(signal.SIGKILL)
    assert (up.data / "stack.json").exists()
    assert run(up, "status").returncode == 3
    await up.start()  # at once: servers may still be in the middle of their own end

    async def completed() -> bool:
        return [build["state"] for build in await builds(up, "lin")] == ["completed"]

    await eventually(completed, within_s=30, every_s=0.2)
    pids = {part["pid"] for part in await up.status()} | {up.pid}
    children = {process.pid for process in psutil.Process(up.pid).children(recursive=True)}
    assert {process.pid for process in processes_of(up.data)} <= pids | children


async def test_kill_9_of_uv_run_leaves_no_process_behind(directory: Path) -> None:
    stack = Stack(directory, "--no-durable")
    uv = shutil.which("uv")
    assert uv is not None
    launch = Launch(
        name="uv",
        argv=(
            uv,
            "run",
            "--no-sync",
            "starwake",
            "up",
            "--no-durable",
            "--port",
            str(stack.port),
            "--data",
            str(stack.data),
        ),
        log=stack.output_file,
        directory=ROOT,
    )
    child = await start(launch)
    await eventually(lambda: "Starwake is up" in stack.output(), within_s=60)
    child.send(signal.SIGKILL)
    await child.wait()
    await eventually(lambda: not processes_of(stack.data), within_s=15)


async def test_a_part_that_is_killed_is_started_again(up: Stack) -> None:
    for name in sorted(PARTS):
        await up.killed_and_back(name, within_s=60)
        await eventually(up.is_healthy, within_s=60, every_s=0.1)
    assert (await start_build(up, "grace"))["type"] == "reply"


async def test_a_taken_port_is_a_clear_error_before_anything_starts(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        stack = Stack(directory, port=taken.getsockname()[1])
        await stack.start(until_healthy=False)
        await eventually(lambda: stack.exit_code is not None, within_s=10)
    assert stack.exit_code == 1
    assert stack.output().strip() == f"starwake: port {stack.port} is taken: choose another with --port"
    assert not stack.data.exists()


async def test_two_stacks_cannot_share_a_data_directory(up: Stack, directory: Path) -> None:
    (directory / "second").mkdir()
    second = Stack(directory / "second")
    second.data = up.data
    await second.start(until_healthy=False)
    await eventually(lambda: second.exit_code is not None, within_s=10)
    assert second.exit_code == 1
    assert f"another `starwake up` runs on {up.data}" in second.output()
    assert await up.is_healthy()


async def test_several_gateways_listen_on_neighbouring_ports_and_ctrl_c_ends_them_too(directory: Path) -> None:
    stack = Stack(directory, "--no-durable", "--gateways", "2")
    await stack.start()
    parts = {part["name"]: part["url"] for part in await stack.status()}
    assert parts["gateway-1"] == f"http://127.0.0.1:{stack.port}"
    assert parts["gateway-2"] == f"http://127.0.0.1:{stack.port + 1}"
    began = time.monotonic()
    await stack.kill_up(signal.SIGINT)
    assert time.monotonic() - began < 10
    assert stack.exit_code == 0
    assert processes_of(stack.data) == []


async def test_a_setting_that_nobody_reads_is_a_clear_error(directory: Path) -> None:
    stack = Stack(directory, env={"STARWAKE_DRAIN_SECOND": "3"})
    await stack.start(until_healthy=False)
    await eventually(lambda: stack.exit_code is not None, within_s=10)
    assert stack.exit_code == 2
    assert "STARWAKE_DRAIN_SECOND is not a setting, did you mean STARWAKE_DRAIN_SECONDS?" in stack.output()


async def test_servers_that_run_already_take_the_places_of_embedded_ones(
    directory: Path, fresh_nats: LocalNats, empty_database_url: str
) -> None:
    stack = Stack(directory, "--nats-url", fresh_nats.url, "--database-url", empty_database_url)
    await stack.start()
    try:
        parts = {part["name"]: part for part in await stack.status()}
        assert parts["nats"]["pid"] is None
        assert parts["postgres"]["pid"] is None
        assert "@" not in parts["nats"]["url"] + parts["postgres"]["url"]
        assert (await start_build(stack, "ada"))["type"] == "reply"
    finally:
        await stack.stop()


async def test_an_ordinary_user_can_run_it_all(directory: Path) -> None:
    home = directory / "home"
    home.mkdir(mode=0o700)
    become, python, uid = ordinary_user()
    os.chown(home, uid, uid)
    launch = Launch(
        name="up",
        argv=(
            *(*become, python, "-m", "starwake.cli.main", "up", "--no-durable"),
            *("--port", str(Stack(directory).port), "--data", str(home / "data")),
        ),
        log=directory / "up.log",
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        directory=ROOT,
        orphan_signal=signal.SIGTERM,
    )
    child = await start(launch)
    try:

        def running() -> bool:
            assert child.exit_code is None, launch.log.read_text()
            return "Starwake is up" in launch.log.read_text()

        await eventually(running, within_s=60)
        owners = {process.uids().real for process in psutil.Process(child.pid).children(recursive=True)}
        assert owners == {uid}
    finally:
        assert await child.stop(within=10)


def ordinary_user() -> tuple[tuple[str, ...], str, int]:
    """How to become somebody who is not root: words before a command, a Python, the uid as seen from here."""
    if os.geteuid() != 0:
        return (), sys.executable, os.geteuid()
    uid = 65534
    become = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
    beside = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/local/bin:/usr/bin")
    for python in (sys.executable, beside):
        if python is not None and can_run((*become, "--"), python):
            return (*become, "--"), python, uid
    # The checkout lies where only root may enter: this user may pass, and is not root all the same.
    passing = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup", "--")
    return (*become, *passing), sys.executable, uid


def can_run(become: tuple[str, ...], python: str) -> bool:
    """Whether that user can start that Python and this checkout's code with it, as a child's child too."""
    child = "import sys, subprocess; sys.exit(subprocess.call([sys.executable, '-c', 'import starwake.cli.main']))"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    tried = subprocess.run(
        [*become, python, "-c", child], check=False, capture_output=True, timeout=60, cwd=ROOT, env=environment
    )
    return tried.returncode == 0
