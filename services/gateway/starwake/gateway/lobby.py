"""PURE: connections that have yet to show what they are worth, the one that has waited for longest first."""

from typing import Generic, TypeVar

G = TypeVar("G")


class Lobby(Generic[G]):
    """Guests in the order of their last sign of life, each with its moment (monotonic seconds)."""

    __slots__ = ("_guests",)

    def __init__(self) -> None:
        self._guests: dict[G, float] = {}

    def __len__(self) -> int:
        return len(self._guests)

    def enter(self, guest: G, now: float) -> None:
        """Begin to wait, or begin anew."""
        self._guests.pop(guest, None)
        self._guests[guest] = now

    def leave(self, guest: G) -> None:
        """Wait no more; idempotent."""
        self._guests.pop(guest, None)

    def turn_out(self, before: float = float("inf")) -> G | None:
        """Take out the guest that has waited for longest; None where none gave its last sign of life before then."""
        for guest, since in self._guests.items():
            if since >= before:
                break
            del self._guests[guest]
            return guest
        return None
