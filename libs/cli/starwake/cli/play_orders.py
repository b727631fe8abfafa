"""What a player types in the terminal client: read, completed, explained. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from starwake.cli.play_state import PlayState

HELP = (
    "start KIND SITE    build something",
    "cancel N           cancel build number N",
    "speedup N FACTOR   let build N go FACTOR times as fast from now on",
    "list               what is being built",
    "catalogue          what can be built",
    "wait [SECONDS]     go on when nothing is being built any more (for scripts)",
    "help               this",
    "quit               leave; builds go on without you",
)

NAMES = tuple(line.split()[0] for line in HELP)


class NotUnderstood(ValueError):  # noqa: N818 - what the reader says, not a fault of the program
    """What was typed is no order; the message says what would be."""


@dataclass(frozen=True, slots=True)
class Start:
    """Build a kind on a site."""

    kind: str
    site: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel a build."""

    number: int


@dataclass(frozen=True, slots=True)
class SpeedUp:
    """Divide the time that a build has left."""

    number: int
    times: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Until nothing is being built, or so many seconds at most."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Show:
    """`list`, `catalogue` or `help`."""

    what: str


@dataclass(frozen=True, slots=True)
class Quit:
    """Leave."""


Order: TypeAlias = Start | Cancel | SpeedUp | Wait | Show | Quit


def parse(line: str) -> Order | None:
    """The order in a line, None for an empty one or a comment (`#`).

    Raises:
        NotUnderstood: it is none.
    """
    words = line.split()
    match words:
        case []:
            return None
        case ["list" | "catalogue" | "help" as what]:
            return Show(what)
        case ["quit" | "exit"]:
            return Quit()
        case [first, *_] if first.startswith("#"):
            return None
        case _:
            return _with_arguments(words)


def _with_arguments(words: Sequence[str]) -> Order:
    match list(words):
        case ["start", kind, site]:
            return Start(kind, site)
        case ["cancel", number]:
            return Cancel(_number(number))
        case ["speedup", number, factor]:
            return SpeedUp(_number(number), _positive(factor))
        case ["wait"]:
            return Wait(None)
        case ["wait", seconds]:
            return Wait(_positive(seconds))
        case _:
            raise NotUnderstood(_usage(words[0]))


def _usage(name: str) -> str:
    usage = next((line for line in HELP if line.split()[0] == name), None)
    return f"unknown: {name} (try help)" if usage is None else f"usage: {usage}"


def _number(word: str) -> int:
    digits = word.removeprefix("#")
    if not digits.isdecimal():
        raise NotUnderstood(f"{word} is not the number of a build (see list)")
    return int(digits)


def _positive(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise NotUnderstood(f"{word} is not a number above zero")
    return value


def complete(text: str, state: PlayState) -> list[str]:
    """Words that may stand where the last word of `text` stands."""
    words = text.split(" ")
    return sorted(word for word in _candidates(words[:-1], state) if word.startswith(words[-1]))


def _candidates(before: Sequence[str], state: PlayState) -> list[str]:
    match list(before):
        case []:
            return list(NAMES)
        case ["start"]:
            return list(state.kinds)
        case ["start", _]:
            return state.sites()
        case ["cancel" | "speedup"]:
            return [str(one.number) for one in state.active()]
        case ["speedup", _]:
            return ["2", "4", "10"]
        case _:
            return []
