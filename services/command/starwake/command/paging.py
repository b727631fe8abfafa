"""PURE: pages by bytes: what one message of NATS can carry decides too how long a page is."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from starwake.contracts.frames import MAX_RESULT_BYTES
from starwake.runtime.errors import StartError

_Item = TypeVar("_Item")
_encoder = msgspec.json.Encoder()


def fitting(items: Sequence[_Item], limit: int = MAX_RESULT_BYTES) -> Sequence[_Item]:
    """As many of `items`, from the first, as have `limit` bytes of JSON together; one at least."""
    size = 0
    for count, item in enumerate(items):
        size += len(_encoder.encode(item)) + 1
        if size > limit and count:
            return items[:count]
    return items


def check_catalogue_size(size: int, max_payload: int) -> None:
    """Whether a reply of `size` bytes, all that `catalogue.list` answers, fits into one message of the bus.

    Raises:
        StartError: it does not; no player would ever see a catalogue.
    """
    if size > max_payload:
        raise StartError(
            f"the catalogue has {size:,} bytes as `catalogue.list` tells it, and NATS takes {max_payload:,} in one"
            " message: fewer kinds, shorter descriptions, or a larger `max_payload` in the server's configuration"
        )
