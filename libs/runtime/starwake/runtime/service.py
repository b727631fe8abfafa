"""One service process: from settings to an orderly end."""

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from starwake.runtime.errors import RuntimeFailure
from starwake.runtime.health import Health
from starwake.runtime.health_server import HealthServer
from starwake.runtime.logs import configure_logs, get_logger
from starwake.runtime.tracing import OFF, Tracing, configure_tracing

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from starwake.runtime.settings import ServiceSettings

# On top of the service's own drain: closing the connections below it.
_CLOSING_SECONDS = 5.0
EXIT_FAILED = 1
EXIT_BAD_SETTINGS = 2


class Runtime:
    """What a service's main is handed.

    `stopping` is set at the first SIGTERM or SIGINT; main then finishes what it has in hand within the settings'
    `drain_seconds`, and returns.
    """

    def __init__(self, name: str, *, tracing: Tracing = OFF, port_file: Path | None = None) -> None:
        self.name = name
        self.stopping = asyncio.Event()
        self.health = Health()
        self.tracing = tracing
        self.log: FilteringBoundLogger = get_logger(name)
        self._port_file = port_file
        self._ports: dict[str, int] = {}

    def announce_port(self, name: str, port: int) -> None:
        """Tell which port was chosen, for those who asked for a free one: in the log and in the port file."""
        self.log.info("port.opened", name=name, port=port)
        self._ports[name] = port
        if self._port_file is not None:
            # Written aside and renamed: a reader sees all of it or nothing.
            draft = self._port_file.with_name(self._port_file.name + ".draft")
            draft.write_text(json.dumps(self._ports))
            draft.replace(self._port_file)

    def stop(self) -> None:
        """Begin the orderly end; further calls change nothing."""
        if not self.stopping.is_set():
            self.log.info("service.stopping")
            self.stopping.set()
            self.health.set_ready(False, "draining")


Main = Callable[[Runtime], Awaitable[None]]


def run_service(name: str, main: Main, settings: "ServiceSettings") -> int:
    """Run one service in the foreground until it is asked to stop. Returns the process's exit code.

    0: it ended as it was asked to. 1: it failed, or had to be broken off because it did not finish in time.
    """
    configure_logs(name, settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run(name, main, settings))


async def _run(name: str, main: Main, settings: "ServiceSettings") -> int:
    tracing = configure_tracing(name, settings)
    runtime = Runtime(name, tracing=tracing, port_file=settings.port_file)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runtime.stop)
    server = HealthServer(runtime.health)
    try:
        port = await server.start(settings.health_host, settings.health_port)
    except OSError as error:
        runtime.log.error("health.port_refused", port=settings.health_port, error=str(error))  # noqa: TRY400 - one line
        return EXIT_FAILED
    runtime.announce_port("health", port)
    try:
        return await _supervise(runtime, main, settings.drain_seconds)
    finally:
        await server.stop()
        # It may take seconds to reach the collector; the loop has nothing else to do any more.
        await asyncio.to_thread(tracing.shutdown)


async def _supervise(runtime: Runtime, main: Main, drain_seconds: float) -> int:
    """Run main; once stopping, give it its time, then break it off."""
    work = asyncio.ensure_future(main(runtime))
    stopping = asyncio.create_task(runtime.stopping.wait())
    try:
        await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            await asyncio.wait((work,), timeout=drain_seconds + _CLOSING_SECONDS)
        if not work.done():
            runtime.log.error("service.broken_off", after_s=drain_seconds + _CLOSING_SECONDS)
            work.cancel()
            await asyncio.wait((work,), timeout=_CLOSING_SECONDS)
            return EXIT_FAILED
        return _outcome(runtime, work)
    finally:
        stopping.cancel()
        work.cancel()


def _outcome(runtime: Runtime, work: "asyncio.Future[None]") -> int:
    if work.cancelled():
        runtime.log.error("service.cancelled")
        return EXIT_FAILED
    failure = work.exception()
    if isinstance(failure, RuntimeFailure):
        runtime.log.error("service.refused", reason=str(failure))
        return EXIT_FAILED
    if failure is not None:
        runtime.log.error("service.failed", exc_info=failure)
        return EXIT_FAILED
    if not runtime.stopping.is_set():
        runtime.log.error("service.ended_unasked")
        return EXIT_FAILED
    runtime.log.info("service.stopped")
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - not there on Windows

    return uvloop.new_event_loop
