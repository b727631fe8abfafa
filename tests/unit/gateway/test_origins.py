"""Origins in the settings that no browser could ever send are refused when the gateway starts."""

import pytest
from pydantic import ValidationError

from starwake.gateway.settings import PlayersPortSettings


@pytest.mark.parametrize(
    "origin",
    [
        "https://game.example:443",
        "http://game.example:80",
        "game.example",
        "https://game.example/play",
        "https://*.game.example",
        "https://a.example https://b.example",
        "wss://game.example",
        "https://",
        "https://me@game.example",
        "https://game.example:port",
        "https://käse.example",
    ],
)
def test_an_origin_that_can_never_match_is_refused_by_name(origin: str) -> None:
    with pytest.raises(ValidationError, match=r"STARWAKE_ALLOWED_ORIGINS.*can never match"):
        PlayersPortSettings(allowed_origins=f"https://fine.example,{origin}")


@pytest.mark.parametrize(
    "origins", ["", "*", "https://game.example, http://127.0.0.1:8080", "https://game.example/", "http://[::1]:8080"]
)
def test_origins_that_browsers_send_are_taken(origins: str) -> None:
    assert PlayersPortSettings(allowed_origins=origins).allowed_origins == origins
