"""`starwake play`: a player at a terminal."""

import sys

from starwake.cli.play_plain import play_plain
from starwake.cli.play_screen import play_on_screen
from starwake.client import CommandError, SessionError, Starwake, TokenUnavailable
from starwake.client.line import TokenProvider
from starwake.client.player import socket_url


async def play(url: str, token_provider: TokenProvider, player: str) -> int:
    """Play until the player leaves; what ends it otherwise is one line on stderr.

    On a terminal a screen with live bars; otherwise lines: orders from stdin, a line of stdout for each push.

    Args:
        url: the page's address or that of the socket.
        token_provider: returns a token for `player` that is valid now.
        player: who plays, for what is said when no session comes about.

    Returns:
        The process's exit code: 0; 1 where the session failed or, without a terminal, an order did.
    """
    try:
        address = socket_url(url)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    on_screen = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        async with Starwake.connect(address, token_provider=token_provider) as session:
            if on_screen:
                return await play_on_screen(session)
            return await play_plain(session, sys.stdin, sys.stdout)
    except (SessionError, TokenUnavailable, CommandError) as error:
        sys.stderr.write(f"{player} cannot play: {error}\n")
        return 1
