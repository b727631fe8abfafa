"""CPU of the process that holds the sockets, as a multiple of the floor's, each the best of several rounds."""

from typing import Final

from tests.bench.contestants.base import Running
from tests.bench.harness.scenario import Scale
from tests.bench.scenarios import messages

_ROUNDS: Final = 4
_SCALE: Final = Scale(share=1.0, seconds=0.6, rounds=_ROUNDS)


async def measure(gateway: Running, floor: Running) -> dict[str, float]:
    """An echo's and a command's CPU in the gateway, over the bare echo's; both have the same load and loop below."""
    bare: list[float] = []
    echo: list[float] = []
    command: list[float] = []
    for _ in range(_ROUNDS):
        bare.append((await messages.echo(floor, _SCALE))["cpu_us_web"])
        echo.append((await messages.echo(gateway, _SCALE))["cpu_us_web"])
        command.append((await messages.command(gateway, _SCALE))["cpu_us_web"])
    return {
        "echo_cpu_of_the_floor": min(echo) / min(bare),
        "command_cpu_of_the_floor": min(command) / min(bare),
    }
