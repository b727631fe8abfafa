"""What may be joined into a push frame, and what stands in for the rest."""

import json

import pytest

from starwake.contracts import frames


@pytest.mark.parametrize(
    "body",
    [
        b'{"event":"build.completed","at":"2026-11-22T10:00:00.000Z","data":{"build":{}}}',
        b'{"event":"x"}',
        '{"event":"x","data":{"name":"café"},"more":[1,{}]}'.encode(),
    ],
)
def test_a_bodys_frame_is_json(body: bytes) -> None:
    assert frames.is_push_body(body)
    assert json.loads(frames.push_frame(7, 5, body)) == {"type": "push", "seq": 7, "prev": 5, **json.loads(body)}


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"garbage",
            b"{",
            b"{}",
            b"[]",
            b"null",
            b' {"event":"x"}',
            b'{"event":"x"}{',
            b'{"event":"x","data":{}',
        ),
        *(b'{"event":1}', b'{"event":"x","at":7}', b'{"event":"x","data":[1]}', b'{"event":"x","data":{x}}'),
        *(
            b'{"event":"x","seq":99}',
            b'{"event":"x","prev":0}',
            b'{"event":"x","type":"bye"}',
            b'{"event":"x","feed":"all"}',
        ),
        b'{"event":"x","data":{"name":"\xff"}}',
        b'{"event":"x","data":{"deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    ],
)
def test_what_would_break_a_frame_is_no_body(body: bytes) -> None:
    assert not frames.is_push_body(body)


def test_what_stands_in_keeps_the_place_in_the_feed() -> None:
    frame = json.loads(frames.push_frame(7, 5, frames.unreadable_body("2026-11-22T10:00:00.000Z")))
    assert (frame["seq"], frame["prev"], frame["event"], frame["data"]) == (7, 5, "unreadable", {})
