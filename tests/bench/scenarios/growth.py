"""Where it bends: the cost of one unit at 1, 3, 10 and 30 times as many."""

from tests.bench.contestants.base import Running
from tests.bench.contestants.starwake import starwake
from tests.bench.harness.measure import loaded, received, spec
from tests.bench.harness.rounds import Figures
from tests.bench.harness.scenario import Entry, Scale, Scenario

_STEPS = (1, 3, 10, 30)
_CONNECTIONS = 300
_IN_FLIGHT = 8
_PUSHES_PER_S = 400
_IDLE_S = 3.0


async def growth(running: Running, scale: Scale) -> Figures:
    """Connections that are idle but for a push now and then; orders in flight."""
    figures: Figures = {}
    for step in _STEPS:
        figures |= await _connections(running, scale, scale.count(_CONNECTIONS * step, step))
    for step in _STEPS:
        figures |= await _orders(running, scale, _IN_FLIGHT * step)
    return figures


async def _connections(running: Running, scale: Scale, players: int) -> Figures:
    count = int(_PUSHES_PER_S * scale.seconds)
    figures = await received(running, players, count, _PUSHES_PER_S, within_s=scale.seconds + 20, idle_s=_IDLE_S)
    return {
        f"push_gateway_cpu_us_by_connections_at_{players}": figures["cpu_us_web"],
        f"idle_gateway_cpu_us_a_second_by_connections_at_{players}": figures["idle_cpu_us_web"],
        f"push_p99_ms_by_connections_at_{players}": figures["delay_ms_p99"],
        f"further_kb_by_connections_at_{players}": figures["held_kb"],
    }


async def _orders(running: Running, scale: Scale, in_flight: int) -> Figures:
    what = spec(running, "round_trips", in_flight, scale.seconds, command="build.start", kind="long")
    figures = await loaded(running, what, "answered")
    return {
        f"order_cpu_us_by_orders_in_flight_at_{in_flight}": figures["cpu_us"],
        f"order_p50_ms_by_orders_in_flight_at_{in_flight}": figures["latency_ms_p50"],
        f"orders_per_s_by_orders_in_flight_at_{in_flight}": figures["per_s"],
    }


GROWTH = Scenario(
    name="growth",
    title="What one more costs at 1, 3, 10 and 30 times as many",
    work="400 pushes a second among 300 to 9,000 connections; 8 to 240 orders in flight. One stack, which fills up.",
    entries={"starwake": Entry(starwake, growth)},
    rounds=1,
)
