"""Spans of time as people type them: `90`, `90s`, `15m`, `1h30m`, `2d`."""

import re
from typing import Final

_SECONDS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])")


def parse_duration(text: str) -> float:
    """Seconds; a bare number counts as seconds.

    Raises:
        ValueError: the text is no span of time.
    """
    word = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", word):
        return float(word)
    parts = _PART.findall(word)
    if not parts or "".join(number + unit for number, unit in parts) != word:
        raise ValueError(f"{text!r} is not a span of time: write 90s, 15m, 1h30m or 2d")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)
