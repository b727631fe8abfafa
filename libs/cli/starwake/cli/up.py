"""`starwake up`: the whole stack, each part a process of its own, until it is told to stop."""

import asyncio
import os
import signal
import time
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

from starwake.cli.embedded.data_directory import end_leftovers, locked, secrets_of, temporary
from starwake.cli.embedded.errors import EmbeddedError, PartFailedError
from starwake.cli.embedded.keeper import Ailing, Died, Event, Keeper, NotServing, Started
from starwake.cli.embedded.plan import Plan, UpOptions, is_open_to_others, make_plan
from starwake.cli.embedded.ports import is_free
from starwake.cli.embedded.probes import probe
from starwake.cli.embedded.process import die_with_my_parent, start, tail
from starwake.cli.embedded.state import PartState, StackState, Supervisor, birth_of, read_state, write_state
from starwake.cli.errors import EXIT_FAILED, EXIT_USAGE, CliError

_MIGRATE_SECONDS: Final = 120.0
_OTHERS_SECONDS: Final = 30.0
_SAME_REQUEST_SECONDS: Final = 1.0
_TRUE: Final = frozenset({"1", "true", "t", "yes", "y", "on"})
"""What a setting that is a yes or no takes for yes (pydantic)."""
_HIGHEST_PORT: Final = 65535
_TICK: Final = "✓"


def run_up(options: UpOptions, data: Path, *, ephemeral: bool, console: Console) -> int:
    """Run the stack in the foreground; the exit code.

    Raises:
        CliError: the port is taken, the data directory is in use, a part does not start.
    """
    _end_with_uv()
    _check_ports(options)
    with ExitStack() as held:
        if ephemeral:
            data = held.enter_context(temporary())
        try:
            data = held.enter_context(locked(data))
            return asyncio.run(Up(options, data, console).run())
        except EmbeddedError as error:
            raise CliError(str(error)) from error


class Up:
    """One run of the stack."""

    def __init__(self, options: UpOptions, data: Path, console: Console) -> None:
        self._options = options
        self._data = data
        self._console = console
        self._secrets = secrets_of(data, os.environ.get("STARWAKE_JWT_SECRET"))
        self._plan = make_plan(options, data, self._secrets)
        self._stop = asyncio.Event()
        self._stopped_at = 0.0
        self._keepers = {
            part.name: Keeper(part, self._tell, self._write_state)
            for part in (*self._plan.servers, *self._plan.services)
        }
        self._me = Supervisor(os.getpid(), birth_of(os.getpid()), _now())

    async def run(self) -> int:
        """Start everything, keep it, stop it in order."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # `nohup` has SIGHUP ignored, and means it.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._asked_to_stop)
        boot = asyncio.create_task(self._boot(), name="boot")
        stopping = asyncio.create_task(self._stop.wait(), name="stopping")
        try:
            await asyncio.wait((boot, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not boot.done():
                boot.cancel()
                await asyncio.wait((boot,))
                return 0
            boot.result()
            watches = [keeper.watch for keeper in self._keepers.values() if keeper.watch is not None]
            await asyncio.wait((stopping, *watches), return_when=asyncio.FIRST_COMPLETED)
            if not self._stop.is_set():
                self._console.print("[red]a part's keeper failed; everything stops[/red]")
            return 0 if self._stop.is_set() else EXIT_FAILED
        finally:
            stopping.cancel()
            await self._shut_down(self._plan)

    async def _boot(self) -> None:
        plan = self._plan
        await end_leftovers(self._data, read_state(self._data))
        with self._console.status("starting"):
            # All at once: each part waits by itself for what it needs, and loading a program is what takes longest.
            await _all(
                self._start_servers(plan),
                self._wait_for_others(plan.others),
                self._migrate(plan),
                *(self._keepers[part.name].start() for part in plan.services),
            )
        self._console.print(f"[bold]Starwake is up:[/bold] {plan.url}/")
        if is_open_to_others(self._options.host) and plan.environment["STARWAKE_DEV_SIGN_IN"].lower() in _TRUE:
            self._console.print(
                f"[yellow]whoever reaches {self._options.host} can sign in as any player: the development sign-in is "
                "on (STARWAKE_DEV_SIGN_IN=false switches it off)[/yellow]",
                soft_wrap=True,
            )
        self._console.print(f"[dim]data, logs and state are in {self._data}; Ctrl-C ends it[/dim]", soft_wrap=True)

    async def _start_servers(self, plan: Plan) -> None:
        await _all(*(self._keepers[part.name].start() for part in plan.servers))
        if plan.postgres is not None:
            await plan.postgres.ensure_database()

    async def _wait_for_others(self, others: Sequence[PartState]) -> None:
        """Servers that are not ours have to be there; somebody may be starting them right now."""
        for other in others:
            deadline = time.monotonic() + _OTHERS_SECONDS
            while not await probe(other.probe):
                if time.monotonic() > deadline:
                    raise PartFailedError(f"{other.name} cannot be reached at {other.url}")
                await asyncio.sleep(0.2)
            self._line(other.name, other.url, "not started by us")

    async def _migrate(self, plan: Plan) -> None:
        began = time.monotonic()
        launch = plan.command("migrate", "--wait", str(_MIGRATE_SECONDS))
        child = await start(launch)
        try:
            code = await asyncio.wait_for(child.wait(), 2 * _MIGRATE_SECONDS)
        except TimeoutError as error:
            raise PartFailedError(f"the migration took longer than {2 * _MIGRATE_SECONDS:.0f} s") from error
        finally:
            child.kill()
        if code != 0:
            raise PartFailedError(f"the schema could not be migrated:\n{tail(launch.log)}")
        self._line("schema", tail(launch.log, 1), f"{time.monotonic() - began:.1f} s")

    async def _shut_down(self, plan: Plan) -> None:
        """Players first, servers last: each group while what it needs still runs."""
        order: tuple[Sequence[str], ...] = (
            [part.name for part in plan.services if part.name.startswith("gateway")],
            ["command", "scheduler"],
            ["nats"],
            ["postgres"],
        )
        for names in order:
            await asyncio.gather(*(self._keepers[name].stop() for name in names if name in self._keepers))
        (self._data / "stack.json").unlink(missing_ok=True)

    def _asked_to_stop(self) -> None:
        if not self._stop.is_set():
            self._console.print("stopping (once more: at once)")
            self._stopped_at = time.monotonic()
            self._stop.set()
        # One Ctrl-C may come twice: from the terminal to all of its processes, and again through `uv run` or `just`.
        elif time.monotonic() - self._stopped_at > _SAME_REQUEST_SECONDS:
            self._console.print("killing everything")
            for keeper in self._keepers.values():
                keeper.kill()

    def _tell(self, event: Event) -> None:
        if isinstance(event, Started):
            again = f", start {event.restarts + 1}" if event.restarts else ""
            self._line(event.name, event.url, f"pid {event.pid}, {event.after_s:.1f} s{again}")
        elif isinstance(event, Died):
            pause = f" in {event.again_in_s:.1f} s" if event.again_in_s else ""
            self._console.print(f"[yellow]{event.name} ended ({event.exit_code}); it is started again{pause}[/yellow]")
            if event.why:
                self._console.print(f"  {event.why}", style="dim", markup=False, soft_wrap=True)
        elif isinstance(event, NotServing):
            self._console.print(
                f"[red]{event.name} runs again, but does not serve:[/red] {escape(event.why)}", soft_wrap=True
            )
        elif isinstance(event, Ailing):
            self._console.print(f"[yellow]{event.name} is restarted: {event.reason}[/yellow]")
        else:
            self._console.print(f"[red]{event.name} cannot be started: {event.reason}[/red]")

    def _line(self, name: str, url: str, note: str) -> None:
        tick = _TICK if self._console.encoding.lower().startswith("utf") else "ok"
        self._console.print(
            f"[green]{tick}[/green] {name:<10} {url}  [dim]{note}[/dim]", highlight=False, soft_wrap=True
        )

    def _write_state(self) -> None:
        states = (keeper.state for keeper in self._keepers.values())
        write_state(
            self._data,
            StackState(
                supervisor=self._me,
                url=self._plan.url,
                nats_url=self._plan.nats_url,
                database_url=self._plan.database_url,
                secrets=self._secrets,
                parts=(*self._plan.others, *states),
                jwt_issuer=os.environ.get("STARWAKE_JWT_ISSUER"),
                jwt_audience=os.environ.get("STARWAKE_JWT_AUDIENCE"),
            ),
        )


async def _all(*work: Coroutine[Any, Any, None]) -> None:
    """Wait for all; where one fails the others are cancelled, and the first failure is raised."""
    first: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except* EmbeddedError as failures:
        # One part's failure often brings the next one's: the first is the one to tell. (Raised in here, it would
        # be wrapped in a group again.)
        first = failures.exceptions[0]
    if first is not None:
        raise first


def _check_ports(options: UpOptions) -> None:
    """Everything that would be refused later is refused before anything is started."""
    for port in range(options.port, options.port + options.gateways):
        if port > _HIGHEST_PORT:
            raise CliError(f"port {port} is too high: {_HIGHEST_PORT} is the last", EXIT_USAGE)
        try:
            free = is_free(port, options.host)
        except PermissionError as error:
            raise CliError(f"port {port} may not be bound by this user: choose another with --port") from error
        except OSError as error:
            raise CliError(f"cannot listen on {options.host}: {error.strerror}") from error
        if not free:
            raise CliError(f"port {port} is taken: choose another with --port")


def _end_with_uv() -> None:
    """`uv run` stays between us and whoever ran it: where it is killed, nobody would tell us to stop.

    Only then: under a shell, ending with the parent would break `nohup starwake up &`.
    """
    parent = os.getppid()
    try:
        program = Path(f"/proc/{parent}/comm").read_text().strip()
    except OSError:
        return
    if program == "uv":
        die_with_my_parent(signal.SIGTERM)
        if os.getppid() != parent:
            raise CliError("the process that started this one is gone")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
