"""The embedded stack's small parts: restarts, ports, the data directory, children that die with their parent."""

import os
import signal
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from starwake.cli.embedded.data_directory import locked, secrets_of
from starwake.cli.embedded.errors import DataDirectoryError
from starwake.cli.embedded.keeper import pause_before_restart
from starwake.cli.embedded.nats import MEMORY_LIMIT, environment
from starwake.cli.embedded.plan import UpOptions, make_plan
from starwake.cli.embedded.ports import free_ports, is_free
from starwake.cli.embedded.probes import probe
from starwake.cli.embedded.process import Launch, last_words, start
from starwake.cli.embedded.state import (
    PartState,
    StackState,
    Supervisor,
    birth_of,
    is_running,
    read_state,
    write_state,
)
from tests.support.eventually import eventually


def test_the_first_restart_is_immediate_and_pauses_grow_up_to_ten_seconds() -> None:
    assert [pause_before_restart(deaths) for deaths in range(8)] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_the_server_gets_a_limit_of_memory_unless_the_operator_sets_one() -> None:
    assert environment({"HOME": "/h"}) == {"HOME": "/h", "GOMEMLIMIT": MEMORY_LIMIT}
    assert environment({"GOMEMLIMIT": "4GiB"}) == {"GOMEMLIMIT": "4GiB"}


def test_ports_chosen_together_are_distinct_and_free() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(is_free(port) for port in ports)


def test_a_port_with_a_listener_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_a_data_directory_is_for_one_stack_at_a_time(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with locked(data), pytest.raises(DataDirectoryError, match="another `starwake up` runs"), locked(data):
        pass
    with locked(data) as again:
        assert again == data


def test_secrets_are_made_once_and_stay(tmp_path: Path) -> None:
    first = secrets_of(tmp_path)
    assert secrets_of(tmp_path) == first
    assert len({first.nats_password, first.postgres_password, first.jwt_secret}) == 3
    given = "from the settings"
    assert secrets_of(tmp_path, given).jwt_secret == given
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def state_of(pid: int, tmp_path: Path) -> StackState:
    return StackState(
        supervisor=Supervisor(pid, birth_of(pid), "2026-11-22T10:00:00.000Z"),
        url="http://127.0.0.1:8080",
        nats_url="nats://x",
        database_url="postgresql://x",
        secrets=secrets_of(tmp_path),
        parts=(PartState("nats", 1, "nats://x", "http://x", ""),),
    )


def test_the_state_file_comes_back_as_it_was_written_for_its_owner_alone(tmp_path: Path) -> None:
    state = state_of(os.getpid(), tmp_path)
    write_state(tmp_path, state)
    assert read_state(tmp_path) == state
    assert state.is_alive
    assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600


def test_a_later_process_with_the_same_pid_is_not_taken_for_the_stack(tmp_path: Path) -> None:
    state = state_of(os.getpid(), tmp_path)
    older = Supervisor(os.getpid(), (state.supervisor.birth or 0) - 1, state.supervisor.since)
    assert not StackState(older, "", "", "", state.secrets, ()).is_alive


def test_a_damaged_state_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text('{"supervisor": 1}')
    with pytest.raises(DataDirectoryError, match="is damaged"):
        read_state(tmp_path)


def test_each_gateway_gets_a_port_and_every_part_its_own_health_port(tmp_path: Path) -> None:
    plan = make_plan(UpOptions(port=8080, gateways=3, time_scale=60), tmp_path, secrets_of(tmp_path))
    assert [part.name for part in plan.services] == ["gateway-1", "gateway-2", "gateway-3", "command", "scheduler"]
    assert [part.url for part in plan.services[:3]] == [f"http://127.0.0.1:{8080 + number}" for number in range(3)]
    assert len({part.probe for part in plan.services}) == 5
    assert plan.environment["STARWAKE_TIME_SCALE"] == "60"


def test_foreign_servers_addresses_are_shown_without_their_passwords(tmp_path: Path) -> None:
    options = UpOptions(nats_url="nats://u:p@a:1,nats://u:p@b:2", database_url="postgresql://u:p@c/x")
    plan = make_plan(options, tmp_path, secrets_of(tmp_path))
    assert plan.servers == ()
    assert [other.url for other in plan.others] == ["nats://a:1,nats://b:2", "postgresql://c/x"]


def test_a_failed_parts_last_words_are_its_last_error_in_one_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        '{"event": "port.opened", "level": "info"}\n'
        '{"event": "service.failed", "level": "error", "exception": "Traceback\\nZeroDivisionError: by zero"}\n'
        '{"event": "service.stopped", "level": "info"}\n'
    )
    assert last_words(log) == "service.failed: ZeroDivisionError: by zero"
    log.write_text("one\ntwo: no such option\n")
    assert last_words(log) == "one\ntwo: no such option"


async def test_nothing_that_listens_answers_no_probe() -> None:
    (port,) = free_ports(1)
    for scheme in ("http", "nats", "postgresql"):
        assert not await probe(f"{scheme}://127.0.0.1:{port}/x")


async def test_a_child_in_a_session_of_its_own_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio, pathlib, sys
from starwake.cli.embedded.process import Launch, last_words, start
async def main():
    child = await start(Launch("sleep", ("sleep", "1000"), pathlib.Path({str(tmp_path)!r}) / "log"))
    pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(child.pid))
    await child.wait()
asyncio.run(main())
"""
    parent = await start(Launch("parent", (sys.executable, "-c", program), tmp_path / "parent.log"))
    await eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    grandchild = int((tmp_path / "pid").read_text())
    assert os.getsid(grandchild) == grandchild
    parent.send(signal.SIGKILL)
    await parent.wait()
    await eventually(lambda: not is_running(grandchild))


async def test_a_child_that_does_not_stop_in_time_is_killed(tmp_path: Path) -> None:
    program = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(99)"
    )
    child = await start(Launch("stubborn", (sys.executable, "-c", program), tmp_path / "log"))
    await eventually(lambda: "on" in (tmp_path / "log").read_text())
    assert not await child.stop(within=0.2)
    assert child.exit_code == -signal.SIGKILL


def test_the_command_line_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"]}
    tried = subprocess.run(
        [sys.executable, "-m", "starwake.cli.main", "status", "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=environment,
    )
    assert tried.returncode == 3
    assert tried.stdout == ""
    assert tried.stderr.startswith(f"starwake: no stack runs on {tmp_path}")
    assert tried.stderr.count("\n") == 1


def command_line(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "starwake.cli.main", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"]},
    )


def test_it_says_its_version() -> None:
    said = command_line("--version")
    assert said.stdout == f"starwake {version('starwake')}\n"
    assert said.returncode == 0


def test_without_a_stack_a_token_names_every_way_out(tmp_path: Path) -> None:
    tried = command_line("token", "ada", "--data", str(tmp_path))
    assert tried.returncode == 3
    for way in ("starwake up", "--data", "STARWAKE_JWT_SECRET"):
        assert way in tried.stderr


def test_play_at_a_dead_address_says_to_check_the_address(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    tried = command_line("play", "--url", f"http://127.0.0.1:{port}", "--data", str(tmp_path))
    assert tried.returncode == 1
    assert "check --url" in tried.stderr
    assert "--token" not in tried.stderr


def test_a_nats_that_is_not_there_is_named_by_its_address_alone(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    tried = subprocess.run(
        [sys.executable, "-m", "starwake.cli.main", "revoke", "ada", "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], "STARWAKE_NATS_URL": f"nats://us:secret@127.0.0.1:{port}"},
    )
    assert f"127.0.0.1:{port}" in tried.stderr
    assert "secret" not in tried.stderr
    assert "BusOptions" not in tried.stderr


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:MARKER@a:1,b:2/d", "postgresql://a:1,b:2/d"),
        ("nats://u:MARKER@a,nats://u:MARKER@b", "nats://a,nats://b"),
        ("host=a password=MARKER", "host=a password=[hidden]"),
        ("postgresql://a/d?password=MARKER", "postgresql://a/d?password=[hidden]"),
    ],
)
def test_addresses_are_shown_without_passwords(url: str, shown: str, tmp_path: Path) -> None:
    secrets = secrets_of(tmp_path, None)
    plan = make_plan(UpOptions(nats_url=url, database_url=url), tmp_path, secrets)
    assert {other.url for other in plan.others} == {shown}
