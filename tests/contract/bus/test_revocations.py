from datetime import UTC, datetime, timedelta

import pytest

from starwake.bus.connection import Bus
from starwake.bus.revocations import parse_revocation, publish_revocation, read_revocations, watch_control
from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId
from tests.support.eventually import eventually
from tests.support.players import unique_player

NOW = datetime(2026, 11, 22, 10, 0, 0, 123000, tzinfo=UTC)


@pytest.mark.parametrize("suffix", ["", ".a", " *", "%", "名"])
async def test_a_revocation_is_heard_and_kept(streams: Bus, suffix: str) -> None:
    player = PlayerId(unique_player() + suffix)
    heard: list[tuple[PlayerId, str, datetime]] = []
    await watch_control(streams, lambda who, action, body: heard.append((who, action, parse_revocation(body))))
    assert await read_revocations(streams, [player]) == {}
    await publish_revocation(streams, player, NOW)
    await publish_revocation(streams, player, NOW + timedelta(hours=1))
    await eventually(lambda: len(heard) == 2)
    assert heard == [(player, "revoke", NOW), (player, "revoke", NOW + timedelta(hours=1))]
    found = await read_revocations(streams, [PlayerId(unique_player()), player])
    assert {who: parse_revocation(body) for who, body in found.items()} == {player: NOW + timedelta(hours=1)}


async def test_very_many_players_are_looked_up_at_once(streams: Bus) -> None:
    revoked = [PlayerId(unique_player()) for _ in range(3)]
    for player in revoked:
        await publish_revocation(streams, player, NOW)
    crowd = [PlayerId(f"{unique_player()}-{number}") for number in range(1500)]
    assert (await read_revocations(streams, [*crowd, *revoked])).keys() == set(revoked)


async def test_other_control_messages_are_heard_by_their_action(streams: Bus) -> None:
    player = PlayerId(unique_player())
    heard: list[tuple[PlayerId, str, bytes]] = []
    await watch_control(streams, lambda who, action, body: heard.append((who, action, body)))
    streams.publish(subjects.control(player, "connected"), b"{}")
    await streams.flush()
    assert (player, "connected", b"{}") in heard
