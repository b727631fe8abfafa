"""What the tests of the client's decisions share: frames, a protocol with loaded dice, and views of effects."""

import json
from typing import Any, Literal, TypedDict, Unpack

from starwake.client.backoff import Dice
from starwake.client.effects import Deliver, Effect, Send
from starwake.client.protocol import Protocol
from starwake.client.values import Push
from starwake.contracts.frames import Position

SERVER_TIME = "2026-11-22T10:00:00.000Z"


def hello(**changes: object) -> str:
    frame: dict[str, object] = {
        "type": "hello",
        "player": "ada",
        "session": "s1",
        "server_time": SERVER_TIME,
        "epoch": "e1",
        "seq": 10,
        "all": 3,
        "recovered": None,
        "token_expires_at": "2026-11-22T11:00:00.000Z",
        "ping_interval_s": 25,
        "limits": {"max_frame_bytes": 65536, "commands_per_s": 10, "burst": 20},
    }
    return json.dumps({**frame, **changes})


def push(seq: int, prev: int, **changes: object) -> str:
    frame = {"type": "push", "seq": seq, "prev": prev, "event": "a.b", "at": "2026-11-22T10:00:05.000Z"}
    return json.dumps({**frame, **changes})


def ping(seq: int, all_seq: int) -> str:
    return json.dumps({"type": "ping", "seq": seq, "all": all_seq, "server_time": "2026-11-22T10:00:50.000Z"})


def least(low: float, high: float) -> float:
    del high
    return low


class Options(TypedDict, total=False):
    dice: Dice
    position: Position
    auth: Literal["header", "frame"]
    renews: bool
    capacity: int


def protocol(**options: Unpack[Options]) -> Protocol:
    options.setdefault("dice", least)
    return Protocol(**options)


def live(now: float = 0, greeting: str | None = None, **options: Unpack[Options]) -> Protocol:
    one = protocol(**options)
    one.opened("t", now)
    one.received(greeting or hello(), now)
    return one


def delivered(effects: list[Effect]) -> list[object]:
    return [effect.item for effect in effects if isinstance(effect, Deliver)]


def sent(effects: list[Effect]) -> list[dict[str, Any]]:
    return [json.loads(effect.text) for effect in effects if isinstance(effect, Send)]


def seqs(effects: list[Effect]) -> list[int]:
    return [item.seq for item in delivered(effects) if isinstance(item, Push)]
