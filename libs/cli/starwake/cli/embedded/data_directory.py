"""The data directory of one stack: who may use it, what is kept in it, what an earlier stack left running."""

import asyncio
import fcntl
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from starwake.cli.embedded.errors import DataDirectoryError
from starwake.cli.embedded.state import FILE_NAME, Secrets, StackState, command_line_of, is_running

_SECRETS: Final = "secrets.json"
_LOCK: Final = "lock"
_LEFTOVER_SECONDS: Final = 10.0


@contextmanager
def locked(data: Path) -> Generator[Path]:
    """Create the directory unless it is there and keep every other stack out of it; yields its absolute path.

    The lock is the kernel's: it ends with the process, however that ends.

    Raises:
        DataDirectoryError: another stack uses it, or this user may not.
    """
    data = data.absolute()
    try:
        # Root's Postgres runs as another user, who must be able to walk through; secrets have modes of their own.
        data.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
        (data / "logs").mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(data / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataDirectoryError(f"{data} cannot be used: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataDirectoryError(
                f"another `starwake up` runs on {data}: stop it, or choose another --data"
            ) from error
        yield data
    finally:
        os.close(descriptor)


@contextmanager
def temporary() -> Generator[Path]:
    """A directory that is gone afterwards."""
    data = Path(tempfile.mkdtemp(prefix="starwake-"))
    if os.geteuid() == 0:
        data.chmod(0o711)
    try:
        yield data
    finally:
        shutil.rmtree(data, ignore_errors=True)


def secrets_of(data: Path, jwt_secret: str | None = None) -> Secrets:
    """The stack's secrets, made at its first start; a `jwt_secret` from the settings takes the place of its own.

    Raises:
        DataDirectoryError: the file is damaged.
    """
    path = data / _SECRETS
    if path.exists():
        try:
            kept = msgspec.json.decode(path.read_bytes(), type=Secrets)
        except msgspec.MsgspecError as error:
            raise DataDirectoryError(f"{path} is damaged: {error}") from error
    else:
        kept = Secrets(*(secrets.token_urlsafe(32) for _ in range(3)))
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(msgspec.json.encode(kept))
        draft.replace(path)
    return kept if jwt_secret is None else msgspec.structs.replace(kept, jwt_secret=jwt_secret)


async def end_leftovers(data: Path, state: StackState | None) -> None:
    """Wait for servers that a killed `up` left in the middle of their own end, and kill what does not end.

    Two servers over one store would destroy it. A pid counts only if its command line names our directory.
    """
    pids = [part.pid for part in state.parts if part.pid is not None] if state is not None else []
    with suppress(OSError, ValueError, IndexError):
        pids.append(int((data / "postgres" / "postmaster.pid").read_text().split()[0]))
    leftovers = {pid for pid in pids if str(data) in command_line_of(pid)}
    deadline = time.monotonic() + _LEFTOVER_SECONDS
    while leftovers := {pid for pid in leftovers if is_running(pid)}:
        if time.monotonic() > deadline:
            for pid in leftovers:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.05)
    # The server is gone: its own notice would name a pid that another process may have by now.
    (data / "postgres" / "postmaster.pid").unlink(missing_ok=True)
    (data / FILE_NAME).unlink(missing_ok=True)
