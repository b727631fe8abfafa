"""Whatever somebody else stores on `notify.*`, players' feeds go on."""

from collections.abc import Callable

import pytest

from starwake.bus.publish import JetStreamPublisher
from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId
from tests.contract.gateway.conftest import Gateway


@pytest.mark.parametrize("garbage", [b"", b"garbage", b'{"event":"x","seq":1}', b'{"event":"\xff"}', b'{"event":"x"'])
async def test_garbage_in_a_feed_is_passed_over_and_counted_live_and_replayed(
    gateway: Gateway, unique_player: Callable[[], str], garbage: bytes
) -> None:
    player = unique_player()
    listening = await gateway.connect(player)
    before = (await gateway.process.metrics())["starwake_gateway_unreadable_pushes_total"]
    first = await gateway.push(player, n=1)
    bad = (await JetStreamPublisher(gateway.bus).publish(subjects.notify(PlayerId(player)), garbage)).seq
    last = await gateway.push(player, n=2)
    hello = listening.hello
    resume = {"epoch": hello["epoch"], "seq": first, "all": hello["all"]}
    back = await gateway.connect(player, resume=resume)
    assert back.hello["recovered"] is True
    live = [await listening.frame() for _ in range(3)]
    assert [(frame["seq"], frame["event"]) for frame in live] == [
        (first, "test.happened"),
        (bad, "unreadable"),
        (last, "test.happened"),
    ]
    replayed = [await back.frame() for _ in range(2)]
    for pushes, begin in ((live, live[0]["prev"]), (replayed, first)):
        assert [frame["prev"] for frame in pushes] == [begin, *(frame["seq"] for frame in pushes[:-1])]
    assert (await gateway.process.metrics())["starwake_gateway_unreadable_pushes_total"] > before
