"""A password in an address that cannot be used shows itself nowhere; the setting that holds it is named."""

import sys
from pathlib import Path
from typing import Final

import pytest

from starwake.cli.embedded.ports import free_ports
from starwake.cli.main import run
from tests.conftest import StartService
from tests.support.eventually import eventually

MARK: Final = "Hunter2Marker"
NATS, DATABASE = "STARWAKE_NATS_URL", "STARWAKE_DATABASE_URL"
UNREADABLE: Final = (f"{MARK}[", f"[{MARK}", f"{MARK}/x", f"x/{MARK}", f"{MARK}#x", f"{MARK}@x", f"x@{MARK}:99999/")
SERVICES: Final = {"gateway": (NATS,), "command": (NATS, DATABASE), "scheduler": (NATS, DATABASE)}
COMMANDS: Final = {
    "provision": (NATS,),
    "migrate": (NATS, DATABASE),
    "doctor": (NATS, DATABASE),
    "reconcile": (NATS, DATABASE),
    "announce x.y --all": (NATS, DATABASE),
    "unannounce 01a20389-e536-766e-860f-000000000000": (NATS, DATABASE),
    "revoke ada": (NATS, DATABASE),
    "set-aside": (NATS, DATABASE),
}
"""Those that read an address, with the settings that they read; `up` starts servers of its own."""
READS: Final = {**SERVICES, **COMMANDS}


def address(setting: str, password: str, port: int = 9) -> str:
    scheme, rest = ("nats", "") if setting == NATS else ("postgresql", "/starwake")
    return f"{scheme}://u:{password}@127.0.0.1:{port}{rest}"


def output(words: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> str:
    """All that a command writes; it has to fail."""
    monkeypatch.setattr(sys, "argv", ["starwake", *words.split()])
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code
    return "".join(capfd.readouterr())


@pytest.mark.parametrize("words", READS)
def test_a_password_that_makes_an_address_unreadable_is_not_shown(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in READS[words]:
        for password in UNREADABLE:
            with monkeypatch.context() as one:
                one.setenv("STARWAKE_JWT_SECRET", "x" * 32)
                one.setenv(setting, address(setting, password))
                text = output(words, one, capfd)
            assert MARK not in text
            assert setting in text
            assert "Traceback" not in text


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_does_not_show_the_password_for_a_server_that_is_away(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for setting, password, port in zip((NATS, DATABASE), (MARK, f"%5B{MARK}%2F"), free_ports(2), strict=True):
        monkeypatch.setenv(setting, address(setting, password, port))
    text = output(words, monkeypatch, capfd)
    assert MARK not in text
    assert "127.0.0.1" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_does_not_show_the_password_for_a_server_that_is_away(
    name: str, service_process: StartService
) -> None:
    nats, database = free_ports(2)
    service = await service_process(
        name,
        until_ready=False,
        STARWAKE_LOG_LEVEL="debug",
        STARWAKE_JWT_SECRET="x" * 32,
        STARWAKE_PORT="0",
        STARWAKE_NATS_URL=address(NATS, MARK, nats),
        STARWAKE_DATABASE_URL=address(DATABASE, f"%5B{MARK}%2F", database),
    )
    await eventually(lambda: "refused" in service.log(), within_s=30)
    await service.stop()
    assert MARK not in service.log()
    assert "Traceback" not in service.log()
