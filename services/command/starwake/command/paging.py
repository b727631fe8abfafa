"""PURE: pages by bytes: what one message of NATS can carry decides too how long a page is."""

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

MAX_PAGE_BYTES: Final = 196_608
"""192 KiB, below the smallest `max_payload` that is planned with (256 KB in `deploy/nats`)."""

_Item = TypeVar("_Item")
_encoder = msgspec.json.Encoder()


def fitting(items: Sequence[_Item], limit: int = MAX_PAGE_BYTES) -> Sequence[_Item]:
    """As many of `items`, from the first, as have `limit` bytes of JSON together; one at least."""
    size = 0
    for count, item in enumerate(items):
        size += len(_encoder.encode(item)) + 1
        if size > limit and count:
            return items[:count]
    return items
