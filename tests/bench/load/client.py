"""The load client, a process of its own: `python -m tests.bench.load.client '<spec as JSON>'`.

It prints one JSON line when it is ready (where others wait for that) and one with its figures at the end, its own CPU
among them: a figure is only worth something while the client is not what limits it.
"""

import asyncio
import gc
import json
import resource
import sys
import time
from typing import Annotated

import msgspec
import uvloop

from tests.bench.load import crowd, evening, returning, steady
from tests.bench.load.player import Dialect

ACTIONS = steady.ACTIONS | crowd.ACTIONS | evening.ACTIONS | returning.ACTIONS


class Spec(msgspec.Struct, kw_only=True):
    """What the load client is to do.

    Attributes:
        action: one of `ACTIONS`.
        url: the WebSocket endpoint.
        secret: signs the players' tokens.
        players: how many connect.
        prefix: begins each player's name, so that runs do not meet each other's players.
        dialect: how frames are wrapped.
        seconds: how long is measured.
        options: what the action asks for beside that.
    """

    action: str
    url: str
    secret: str
    players: Annotated[int, msgspec.Meta(ge=1)]
    prefix: str = "bench"
    dialect: Dialect = "plain"
    seconds: float = 5.0
    options: dict[str, float | str] = {}


async def run(spec: Spec) -> dict[str, object]:
    """Carry out the spec's action and return its figures."""
    began = time.perf_counter()
    cpu_began = time.process_time()
    gc.freeze()
    gc.disable()  # its pauses would count as the server's
    figures = await ACTIONS[spec.action](spec)
    wall = time.perf_counter() - began
    figures["client_cpu_share"] = round((time.process_time() - cpu_began) / wall, 3)
    return figures


def main() -> None:
    """Read the spec from the command line, run it, print its figures."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 200_000)), hard))
    spec = msgspec.json.decode(sys.argv[1], type=Spec)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sys.stdout.write(json.dumps(runner.run(run(spec))) + "\n")


if __name__ == "__main__":
    main()
