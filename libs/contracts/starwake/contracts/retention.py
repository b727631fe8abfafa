"""What the stream keeps of the players' feeds: stated here alone; its configuration and the gateway's replay follow."""

from datetime import timedelta
from typing import Final

KEPT_PUSHES: Final = 257
"""Of each feed (`max_msgs_per_subject`): the 256 that are promised, and the one at the client's position."""

KEPT_FOR: Final = timedelta(days=14)
"""How long a push is kept (`max_age`)."""
