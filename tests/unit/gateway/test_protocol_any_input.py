"""One connection's state machine, whatever comes in, in any order."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from starwake.contracts.ids import PlayerId
from starwake.contracts.reasons import CloseCode
from starwake.gateway.effects import Effects, Forward, Send
from starwake.gateway.limits import ConnectionLimits
from starwake.gateway.protocol import Connection, Phase

ADA = PlayerId("ada")
LIMITS = ConnectionLimits()

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
commands = st.fixed_dictionaries(
    {},
    optional={
        "id": st.text(max_size=70) | json_values,
        "command": st.sampled_from(["auth", "auth.refresh", "pong", "time", "build.start", "x"]) | json_values,
        "args": json_values | st.fixed_dictionaries({"token": st.text(max_size=5)}),
    },
).map(lambda value: json.dumps(value).encode())
inputs = st.lists(
    st.tuples(st.just("text"), commands | st.text(max_size=50).map(str.encode))
    | st.tuples(
        st.sampled_from(["binary", "sign", "joined", "identified", "refused", "tick", "end", "lost"]), st.none()
    ),
    max_size=40,
)


def apply(connection: Connection, kind: str, raw: bytes, now: float) -> Effects:
    actions = {
        "text": lambda: connection.text(raw, now),
        "binary": connection.binary,
        "sign": lambda: connection.life_sign(now),
        "identified": lambda: connection.authenticated(ADA, None, now + 60, now),
        "joined": lambda: connection.joined(now),
        "refused": lambda: connection.refused("no"),
        "tick": lambda: connection.tick(now),
        "end": lambda: connection.end(CloseCode.GOING_AWAY, ""),
    }
    if kind == "lost":
        connection.lost()
        return []
    return actions[kind]()


@given(inputs, st.lists(st.floats(0, 30), min_size=40, max_size=40))
def test_no_input_in_any_order_raises_forwards_before_hello_or_speaks_after_the_end(
    events: list[tuple[str, Any]], steps: list[float]
) -> None:
    connection, now, hello, ended = Connection(LIMITS, 0.0, ping_phase=0.5), 0.0, False, False
    for (kind, raw), step in zip(events, steps, strict=False):
        now += step
        hello = hello or (kind == "joined" and connection.phase is Phase.JOINING)
        effects = apply(connection, kind, raw, now)
        assert not (ended and effects)
        for effect in effects:
            if isinstance(effect, Forward):
                assert hello
            if isinstance(effect, Send):
                msgspec.json.decode(effect.frame)
        ended = ended or connection.phase is Phase.CLOSED
        assert connection.in_flight <= LIMITS.max_in_flight
