"""`starwake <service> --help` ends with the settings of that service."""

import shutil
import textwrap
from typing import TYPE_CHECKING, Any, Final

from typer.core import TyperCommand

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

_WIDEST: Final = 100


class WithSettings(TyperCommand):
    """A command whose help lists what it reads from the environment; the settings are loaded only for that."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's own click, which it keeps to itself
        """What typer prints, and the settings below it."""
        super().format_help(ctx, formatter)
        print(settings_text(self.name or ""))  # noqa: T201 - where typer prints the rest


def settings_text(command: str) -> str:
    """The settings that a command reads, with types, defaults and meanings."""
    from starwake.runtime.settings_reference import as_help, sections_of  # noqa: PLC0415 - only for who asks

    width = min(_WIDEST, shutil.get_terminal_size().columns)
    lines = ["Settings, from the environment:"]
    for head, text in as_help(sections_of({command: _class(command)})):
        is_setting = "(" in head
        indent = "  " if is_setting else ""
        if not is_setting:
            lines.append("")
        lines += textwrap.wrap(head, width, initial_indent=indent, subsequent_indent=indent + "    ")
        lines += textwrap.wrap(text, width, initial_indent=indent + "  ", subsequent_indent=indent + "  ")
    return "\n".join(lines)


def _class(command: str) -> "type[BaseSettings]":
    from starwake.cli.services import SERVICES, settings_class  # noqa: PLC0415 - as above
    from starwake.runtime.settings import BusSettings, StoreSettings  # noqa: PLC0415 - as above

    for name in SERVICES:
        if name == command:
            return settings_class(name)
    return {"migrate": StoreSettings, "provision": BusSettings}[command]
