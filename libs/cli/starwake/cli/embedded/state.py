"""What a running `starwake up` writes about itself, for the commands that speak to it: DATA/stack.json, mode 0600."""

import os
from pathlib import Path

import msgspec

from starwake.cli.embedded.errors import DataDirectoryError

FILE_NAME = "stack.json"


class PartState(msgspec.Struct, frozen=True):
    """One part: `pid` is None before its first start, and where the part is somebody else's (`ours` is False then).

    `probe` is the URL that tells whether it serves.
    """

    name: str
    pid: int | None
    url: str
    probe: str
    since: str
    restarts: int = 0
    ours: bool = True


class Supervisor(msgspec.Struct, frozen=True):
    """The process of `up`; `birth` tells it from a later process with the same pid."""

    pid: int
    birth: int | None
    since: str


class Secrets(msgspec.Struct, frozen=True):
    """What only the owner of the data directory may know; kept over restarts."""

    nats_password: str
    postgres_password: str
    jwt_secret: str


class StackState(msgspec.Struct, frozen=True):
    """Everything that another command needs in order to speak to the stack."""

    supervisor: Supervisor
    url: str
    nats_url: str
    database_url: str
    secrets: Secrets
    parts: tuple[PartState, ...]
    jwt_issuer: str | None = None
    jwt_audience: str | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the `up` that wrote this still runs."""
        return is_running(self.supervisor.pid) and self.supervisor.birth == birth_of(self.supervisor.pid)


def write_state(data: Path, state: StackState) -> None:
    """Replace DATA/stack.json: a reader sees the old or the new one, whole."""
    draft = data / f"{FILE_NAME}.draft"
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(state), indent=2))
    draft.replace(data / FILE_NAME)


def read_state(data: Path) -> StackState | None:
    """The state that was written last, whoever wrote it may be gone; None where there is none.

    Raises:
        DataDirectoryError: it belongs to another user, or is not one of ours.
    """
    try:
        return msgspec.json.decode((data / FILE_NAME).read_bytes(), type=StackState)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise DataDirectoryError(f"{data} belongs to another user") from error
    except msgspec.MsgspecError as error:
        raise DataDirectoryError(f"{data / FILE_NAME} is damaged: {error}") from error


def is_running(pid: int) -> bool:
    """Whether a process with this id exists (a zombie does not count)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _stat_fields(pid)[:1] != ["Z"]


def birth_of(pid: int) -> int | None:
    """When the process began, in clock ticks since boot (proc(5)); None where the system does not say."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


def command_line_of(pid: int) -> str:
    """The process's arguments, separated by spaces; empty where it is gone or the system does not say."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; what stands before may itself hold spaces."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
