"""`starwake up` in unusual surroundings: variables of other programs, odd paths, other addresses."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest

from tests.support.eventually import eventually
from tests.support.stack import Stack

# What programs of others read: each would break the own stack, were it to listen to it.
OF_OTHERS = {
    "PGSSLMODE": "require",
    "PGTARGETSESSIONATTRS": "read-only",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
}
HOST = "127.0.0.2"


def open_directory(prefix: str) -> Path:
    """Open to walk through: Postgres runs as another user when the tests run as root."""
    path = Path(tempfile.mkdtemp(prefix=prefix))
    path.chmod(0o711)
    return path


def run(words: Sequence[str], entered: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        input=entered,
        env=os.environ | OF_OTHERS,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[Stack]:
    path = open_directory("starwake-höhle ☄ ")
    running = Stack(path, "--no-durable", "--time-scale", "600", "--host", HOST, env=OF_OTHERS)
    try:
        await running.start()
        yield running
    finally:
        if running.exit_code is None:
            await running.stop()
        shutil.rmtree(path, ignore_errors=True)


async def test_it_is_healthy_and_names_the_address_that_it_listens_on(stack: Stack) -> None:
    page = f"http://{HOST}:{stack.port}"
    await eventually(lambda: f"Starwake is up: {page}/" in stack.output(), within_s=30)
    assert (await stack.part("gateway"))["url"] == page
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(page)).status_code == httpx.codes.OK
    assert "development sign-in" not in stack.output()


async def test_commands_reach_it_past_the_callers_proxy(stack: Stack) -> None:
    play = (*stack.run("play", "--player", "ada"), "--url", f"http://{HOST}:{stack.port}")
    played = run(play, "start beacon luna-1\nwait\n")
    assert "build.completed" in played.stdout, played.stderr
    status = run(stack.run("status"))
    assert status.returncode == 0, status.stdout


async def test_why_a_part_cannot_be_started_again_is_said(stack: Stack) -> None:
    store = stack.data / "nats" / "jetstream"
    away = store.with_name("away")
    store.rename(away)
    store.write_text("a file where the server wants its directory")
    try:
        await stack.kill("nats", signal.SIGKILL)
        await eventually(lambda: "jetstream" in stack.output(), within_s=30)
    finally:
        store.unlink()
        away.rename(store)
    await eventually(stack.is_healthy, within_s=60, every_s=0.1)


async def test_a_page_that_others_reach_is_told_of_with_its_open_sign_in() -> None:
    path = open_directory("starwake-up-")
    stack = Stack(path, "--no-durable", "--host", "0.0.0.0")
    try:
        await stack.start()
        await eventually(lambda: "data, logs and state" in stack.output(), within_s=30)
        assert f"Starwake is up: http://127.0.0.1:{stack.port}/" in stack.output()
        assert "can sign in as any player" in " ".join(stack.output().split())
    finally:
        await stack.stop()
        shutil.rmtree(path, ignore_errors=True)
