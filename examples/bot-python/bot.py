"""A player that is a program: it orders whatever is quickest, waits until that stands, and orders again.

`python bot.py URL TOKEN [BUILDS]`
"""

import asyncio
import secrets
import sys

from starwake.client import PushesMissed, Refused, Starwake


async def main(url: str, token: str, builds: str = "3") -> None:
    """Build so many; whatever happens to the connection meanwhile is the client's business."""
    async with Starwake.connect(url, token=token) as player:
        free = [kind for kind in await player.catalogue() if not kind.requires]
        quickest = min(free, key=lambda kind: kind.duration_s)
        for _ in range(int(builds)):
            try:
                build = await player.build_start(quickest.kind, f"base-{secrets.token_hex(3)}")
            except Refused as refused:  # it holds as many builds as it may, say
                sys.exit(f"refused: {refused.code}: {refused.message}")
            print(f"ordered {quickest.title} on {build.site}, due at {build.due_at}")
            await until_completed(player, build.id)
            print(f"{quickest.title} stands on {build.site}")


async def until_completed(player: Starwake, build_id: str) -> None:
    """Wait for the push; after a time away that was too long for the server's history, look at the list."""
    while True:
        try:
            async for push in player.events():
                if push.event == "build.completed" and push.build and push.build.id == build_id:
                    return
        except PushesMissed:
            if build_id in {build.id async for build in player.builds("completed")}:
                return


asyncio.run(main(*sys.argv[1:]))
