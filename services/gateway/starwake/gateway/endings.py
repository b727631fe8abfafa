"""Log lines of sessions that ended for a reason that an operator may want to know."""

from typing import TYPE_CHECKING, Final

from starwake.contracts.reasons import CloseCode
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger

if TYPE_CHECKING:
    from starwake.gateway.session import Session

_log = RateLimitedLogger(get_logger("gateway.session"))

_AS_USUAL: Final = frozenset(
    {
        CloseCode.NORMAL,
        CloseCode.GOING_AWAY,
        CloseCode.DRAINING,
        CloseCode.TOKEN_EXPIRED,
        CloseCode.FEED_INTERRUPTED,
        CloseCode.NO_LIFE_SIGN,
    }
)


def log_end(session: "Session", code: CloseCode, reason: str) -> None:
    """Say who was closed, from where and why, a few of each code; nothing where that is as usual."""
    if code not in _AS_USUAL:
        _log.info(
            "session.ended",
            kind=str(code.value),
            code=code.value,
            reason=reason,
            session=session.id,
            player=session.player,
            address=session.address,
        )
