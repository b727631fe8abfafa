"""Where the terminal's player plays, and with which token."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from starwake.cli.embedded.state import read_state
from starwake.cli.errors import EXIT_NOT_RUNNING, CliError
from starwake.cli.token import make_token
from starwake.client.wire import is_loopback

_TOKEN_SECONDS: Final = 3600.0
_ANSWER_SECONDS: Final = 10.0


def address_of(data: Path) -> str:
    """The page of the stack that runs on `data`.

    Raises:
        CliError: none does.
    """
    state = read_state(data)
    if state is None or not state.is_alive:
        raise CliError(f"no stack runs on {data}: start one with `starwake up`, or say --url", EXIT_NOT_RUNNING)
    return state.url


def token_provider(
    address: str, player: str, data: Path, *, token: str | None, own_stack: bool
) -> Callable[[], Awaitable[str]]:
    """How a session gets a token, at its start and whenever the old one runs out.

    The one that was given; for the own stack one signed with its secret; else the development sign-in at `address`.
    """

    async def given() -> str:
        return token or ""

    async def signed() -> str:
        return make_token(player, _TOKEN_SECONDS, data)

    async def fetched() -> str:
        page = address.replace("ws://", "http://", 1).replace("wss://", "https://", 1).removesuffix("/ws").rstrip("/")
        try:
            # HTTP_PROXY and the like are for other machines.
            by_proxy = not is_loopback(urlsplit(page).hostname or "")
            async with httpx.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=by_proxy) as http:
                answer = await http.post(f"{page}/dev/token", json={"player": player, "ttl_s": _TOKEN_SECONDS})
                answer.raise_for_status()
                return str(answer.json()["token"])
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise CliError(f"nothing answers at {page} ({error or type(error).__name__}): check --url") from error
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise CliError(f"{page} gives no token ({error}): it has no development sign-in, use --token") from error

    if token is not None:
        return given
    return signed if own_stack else fetched
