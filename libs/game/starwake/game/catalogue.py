"""What can be built, how long it takes, and the game's limits: read once from a TOML file at the start."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from starwake.contracts.subjects import is_name
from starwake.game.errors import CatalogueError

DEFAULT: Final = Path(__file__).with_name("default") / "catalogue.toml"

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)d)? ?(?:(\d+(?:\.\d+)?)h)? ?(?:(\d+(?:\.\d+)?)m)? ?(?:(\d+(?:\.\d+)?)s)?\Z")
_LONGEST = timedelta(days=3650)
_SHORTEST = timedelta(milliseconds=1)

_Factor = Annotated[float, msgspec.Meta(ge=0, le=1000)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Reschedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a build may be moved: the shares of its duration that it must take at least and at most."""

    min_factor: _Factor = 0.0
    max_factor: _Factor = 1.0


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much one player may have going on at the same time."""

    builds_at_once: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 250
    queued_per_site: _Count = 5
    queued_per_player: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 100


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be built; `duration` is what counts now, the time scale applied."""

    name: str
    title: str
    duration: timedelta
    description: str = ""
    category: str = "other"
    requires: tuple[str, ...] = ()
    reschedule: Reschedule | None = None
    command: str = "build.start"

    def view(self) -> dict[str, object]:
        """What `catalogue.list` tells of it."""
        return {
            "kind": self.name,
            "title": self.title,
            "description": self.description,
            "category": self.category,
            "duration_s": self.duration / timedelta(seconds=1),
            "requires": self.requires,
            "reschedulable": self.reschedule is not None,
            "reschedule": self.reschedule,
            "command": self.command,
        }


class Catalogue:
    """All kinds by name, in the file's order, and the limits."""

    def __init__(self, kinds: Iterable[Kind], limits: Limits | None = None) -> None:
        self.kinds: Mapping[str, Kind] = {kind.name: kind for kind in kinds}
        self.limits = limits or Limits()

    def view(self) -> dict[str, object]:
        """The result of `catalogue.list`."""
        return {"kinds": [kind.view() for kind in self.kinds.values()], "limits": self.limits}

    def get(self, name: str) -> Kind | None:
        """The kind of this name, if there is one (any more)."""
        return self.kinds.get(name)


class _Limits(msgspec.Struct, frozen=True):
    limits: Limits


class _KindEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: _Text
    duration: str
    description: str = ""
    category: str = "other"
    requires: tuple[str, ...] = ()
    reschedule: Reschedule | None = None
    command: str = "build.start"


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kinds: dict[str, dict[str, Any]] = {}
    limits: dict[str, Any] = {}
    extends: str | None = None


def load_catalogue(path: Path = DEFAULT, *, time_scale: float = 1.0) -> Catalogue:
    """Read and check a catalogue; durations are divided by `time_scale`.

    With `extends = "default"` at its top it adds to the shipped one: a kind of a name that is there already changes
    what it names of that kind, `[limits]` what it names of the limits, everything else stays.

    Raises:
        CatalogueError: the file is not there, not TOML, or does not hold together.
    """
    try:
        file = _read(path)
        if file.extends is not None:
            file = _extended(file)
        kinds = [_kind(name, _entry(name, fields, file), time_scale) for name, fields in file.kinds.items()]
        if not kinds:
            raise ValueError("it has no kinds")  # noqa: TRY301 - as all that is wrong with it
        _check_requirements(kinds)
        limits = msgspec.convert({"limits": file.limits}, _Limits).limits
    except (OSError, ValueError) as error:  # tomllib's and msgspec's errors are ValueErrors
        raise CatalogueError(f"the catalogue {path} cannot be used: {error}") from error
    return Catalogue(kinds, limits)


def _read(path: Path) -> _File:
    return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)


def _extended(file: _File) -> _File:
    if file.extends != "default":
        raise ValueError(f'extends: there is no catalogue {file.extends!r} to extend, only "default"')
    base = _read(DEFAULT)
    kinds = {name: {**base.kinds.get(name, {}), **fields} for name, fields in file.kinds.items()}
    # The shipped kinds keep their places.
    return _File(kinds=base.kinds | kinds, limits=base.limits | file.limits, extends=file.extends)


def _entry(name: str, fields: dict[str, Any], file: _File) -> _KindEntry:
    try:
        return msgspec.convert(fields, _KindEntry)
    except msgspec.ValidationError as error:
        others = [other for other in file.kinds if other != name]
        hint = _did_you_mean(name, others) if "required" in str(error) and file.extends else ""
        raise ValueError(f"kinds.{name}: {error}{hint}") from error


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(name, names, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def parse_duration(text: str) -> timedelta:
    """`45s`, `30m`, `6h`, `2d`, or larger units before smaller ones: `1d 12h`.

    Raises:
        ValueError: not a duration, or not between a millisecond and ten years.
    """
    match = _DURATION.match(text)
    if match is None or not any(match.groups()):
        raise ValueError(f"not a duration: {text!r} (such as '30m' or '1d 12h')")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not _SHORTEST <= duration <= _LONGEST:
        raise ValueError(f"a duration lies between a millisecond and ten years: {text!r}")
    return duration


def _kind(name: str, entry: _KindEntry, time_scale: float) -> Kind:
    if not is_name(name) or "." in name:
        raise ValueError(f"a kind's name is one lower-case word: {name!r}")
    scaled = parse_duration(entry.duration) / _SHORTEST / time_scale
    if scaled > _LONGEST / _SHORTEST:
        raise ValueError(f"{name} takes longer than ten years by this time scale, {time_scale:g}")
    milliseconds = max(1, round(scaled))
    return Kind(
        name=name,
        title=entry.title,
        duration=timedelta(milliseconds=milliseconds),
        description=entry.description,
        category=entry.category,
        requires=entry.requires,
        reschedule=entry.reschedule,
        command=entry.command,
    )


def _check_requirements(kinds: list[Kind]) -> None:
    """Each requirement exists, and none leads back to its own kind: such a one could never be built."""
    names = {kind.name for kind in kinds}
    for kind in kinds:
        for name in kind.requires:
            if name not in names:
                raise ValueError(f"{kind.name} requires {name}, which is no kind{_did_you_mean(name, names)}")
    try:
        TopologicalSorter({kind.name: kind.requires for kind in kinds}).prepare()
    except CycleError as error:
        circle = " requires ".join(reversed(error.args[1]))
        raise ValueError(f"these require one another in a circle: {circle}") from error
