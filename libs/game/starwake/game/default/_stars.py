"""PURE: stars that nobody has seen before, the same ones for the same seed.

Spectral classes occur about as often as in the sun's neighbourhood (most stars are red dwarfs: Ledrew 2001, "The Real
Starry Sky", J. RASC 95), distances fill a sphere evenly.
"""

import random
from typing import Any, Final

_CLASSES: Final = (("M", 765), ("K", 121), ("G", 76), ("F", 30), ("A", 6), ("B", 2), ("O", 1))
_GIANTS: Final = 0.03
_FIRST: Final = (
    *("Ald", "Ankor", "Bel", "Cael", "Cass", "Dene", "Eri", "Fom", "Gien", "Hal", "Izar", "Kep", "Lys", "Mir", "Nash"),
    *("Oph", "Pol", "Quaor", "Ras", "Sirr", "Tal", "Ull", "Veg", "Wez", "Yil", "Zan"),
)
_MIDDLE: Final = ("a", "e", "i", "o", "u", "ara", "eba", "idi", "oma", "uri", "ela", "ani")
_LAST: Final = ("n", "r", "th", "x", "bar", "dra", "gol", "lith", "mir", "nis", "phar", "ron", "sha", "tis", "vane")
_COMPONENTS: Final = ("", "", "", "", " A", " B", " Minor", " Prime")
_SURVEYS: Final = ("SW", "KDS", "HVR", "LTP", "NGS")
_MOST_PLANETS: Final = 9


def discover(seed: str, *, at_most: int, within_ly: float) -> list[dict[str, Any]]:
    """One to `at_most` stars within `within_ly` light years, by no repeated name."""
    chance = random.Random(f"stars:{seed}")  # noqa: S311 - a game's dice, which have to fall the same way again
    found: dict[str, dict[str, Any]] = {}
    for _ in range(chance.randint(1, at_most)):
        star = _star(chance, within_ly)
        found[star["name"]] = star
    return list(found.values())


def _star(chance: random.Random, within_ly: float) -> dict[str, Any]:
    letter = chance.choices([name for name, _ in _CLASSES], [weight for _, weight in _CLASSES])[0]
    luminosity = "III" if chance.random() < _GIANTS else "V"
    return {
        "name": _name(chance),
        "class": f"{letter}{chance.randint(0, 9)}{luminosity}",
        # Evenly in a sphere: the cube root of an even chance. Nothing lies nearer than four light years.
        "distance_ly": round(4 + (within_ly - 4) * chance.random() ** (1 / 3), 1),
        "planets": min(int(chance.expovariate(0.5)), _MOST_PLANETS),
    }


def _name(chance: random.Random) -> str:
    if chance.random() < 1 / 4:
        return f"{chance.choice(_SURVEYS)} {chance.randint(1000, 99999)}"
    return chance.choice(_FIRST) + chance.choice(_MIDDLE) + chance.choice(_LAST) + chance.choice(_COMPONENTS)
