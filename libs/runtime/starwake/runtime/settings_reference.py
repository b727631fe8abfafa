"""PURE: what settings there are, read from the settings classes; for `docs/settings.md` and `--help`.

A settings class is composed of blocks. The first line of a block's docstring is its heading, the rest its text; what a
setting does stands beside it (`starwake.runtime.settings.about`).
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from starwake.runtime.settings import PREFIX, ReadableFile

NOT_SHOWN = "not shown"
"""In place of the default of a setting that is a secret, or that may hold one."""

_TYPES: Mapping[object, str] = {
    bool: "true or false",
    float: "number",
    int: "whole number",
    str: "text",
    SecretStr: "secret text",
}
# Attributes of pydantic's constraints.
_BOUNDS: Mapping[str, str] = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable.

    Attributes:
        name: with the prefix.
        type: what it takes, with its bounds, in words.
        unit: of its number; empty where it has none.
        what: what it does.
        defaults: of each service that reads it, in words; empty where there is none.
    """

    name: str
    type: str
    unit: str
    what: str
    defaults: Mapping[str, str]

    @property
    def services(self) -> tuple[str, ...]:
        """Who reads it."""
        return tuple(self.defaults)

    @property
    def default(self) -> str:
        """The default in words, by service where it differs."""
        if len(set(self.defaults.values())) == 1:
            return next(iter(self.defaults.values()))
        return ", ".join(f"{default} ({service})" for service, default in self.defaults.items())


@dataclass(frozen=True, slots=True)
class Section:
    """One block of settings: what concerns the same thing."""

    title: str
    text: str
    settings: list[Setting] = field(default_factory=list[Setting])


def sections_of(services: Mapping[str, type[BaseSettings]]) -> list[Section]:
    """Every setting once, under the block that declares it, in the order of the classes."""
    sections: dict[type, Section] = {}
    named: set[str] = set()
    for owner in dict.fromkeys(base for loaded in services.values() for base in loaded.__mro__):
        # A service's own class may only change a default: the block behind it declares the setting.
        for name in inspect.get_annotations(owner):
            readers = {service: loaded for service, loaded in services.items() if name in loaded.model_fields}
            declared_here = all(_owner(name, loaded) is owner for loaded in readers.values())
            if readers and declared_here and name not in named:
                named.add(name)
                sections.setdefault(owner, _section(owner)).settings.append(_setting(name, owner, readers))
    return list(sections.values())


def _owner(name: str, loaded: type[BaseSettings]) -> type:
    return [base for base in loaded.__mro__ if name in inspect.get_annotations(base)][-1]


def _section(owner: type) -> Section:
    title, _, text = inspect.cleandoc(owner.__doc__ or owner.__name__).partition("\n")
    return Section(title.rstrip("."), " ".join(text.split()))


def _setting(name: str, owner: type, readers: Mapping[str, type[BaseSettings]]) -> Setting:
    declared = cast("type[BaseSettings]", owner).model_fields[name]
    extra = cast("Mapping[str, str]", declared.json_schema_extra or {})
    return Setting(
        name=PREFIX + name.upper(),
        type=_type(declared),
        unit=extra.get("unit", ""),
        what=declared.description or "",
        defaults={service: _default(loaded.model_fields[name], extra) for service, loaded in readers.items()},
    )


def _default(declared: FieldInfo, extra: Mapping[str, str]) -> str:
    default: object = declared.default
    if default is None:
        return ""
    if not declared.repr or isinstance(default, SecretStr):
        return NOT_SHOWN
    if extra.get("default"):
        return extra["default"]
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


def _type(declared: FieldInfo) -> str:
    plain, constraints = _taken_apart(declared.annotation, declared.metadata)
    if get_origin(plain) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(plain))
    words = _TYPES.get(plain, "path")
    if plain is _taken_apart(ReadableFile, [])[0] and constraints:
        words = "readable file"
    for constraint in constraints:
        for attribute, bound in _BOUNDS.items():
            if (value := getattr(constraint, attribute, None)) is not None:
                words += f", {bound} {value:,}"
    return words


def _taken_apart(annotation: object, constraints: Sequence[object]) -> tuple[Any, list[object]]:
    """A type without `None` and `Annotated`, and all that constrains it."""
    if get_origin(annotation) in {Union, UnionType}:
        (annotation,) = (each for each in get_args(annotation) if each is not type(None))
    if get_origin(annotation) is Annotated:
        plain, *more = get_args(annotation)
        flat = [inner for each in more for inner in (each.metadata if isinstance(each, FieldInfo) else [each])]
        return _taken_apart(plain, [*flat, *constraints])
    return annotation, list(constraints)


def as_help(sections: Iterable[Section]) -> list[tuple[str, str]]:
    """For `--help`: a heading and what it says of itself, or a setting (with its type and default) and what it does."""
    lines: list[tuple[str, str]] = []
    for section in sections:
        lines.append((section.title, section.text))
        for setting in section.settings:
            unit = f", {setting.unit}" if setting.unit else ""
            default = f", default {setting.default}" if setting.default else ""
            lines.append((f"{setting.name} ({setting.type}{unit}{default})", setting.what))
    return lines


def as_markdown(sections: Iterable[Section]) -> str:
    """For `docs/settings.md`: a table a block."""
    parts: list[str] = []
    for section in sections:
        parts += [f"## {section.title}", ""]
        if section.text:
            parts += [section.text, ""]
        parts += ["| setting | takes | unit | default | does | read by |", "|---|---|---|---|---|---|"]
        parts += [
            f"| `{setting.name}` | {setting.type} | {setting.unit} | {_cell(setting)} | {_escaped(setting.what)} "
            f"| {', '.join(setting.services)} |"
            for setting in section.settings
        ]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _cell(setting: Setting) -> str:
    return _escaped(setting.default) or "none"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
