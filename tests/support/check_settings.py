"""Whether `docs/settings.md` says what the settings classes say.

`python -m tests.support.check_settings` writes the document, with `--check` it only compares.
"""

import sys
from pathlib import Path
from typing import Final

from starwake.cli.services import OWN_SETTINGS, SERVICES, settings_class
from starwake.runtime.settings_reference import as_markdown, sections_of

PATH: Final = Path(__file__).parents[2] / "docs" / "settings.md"

_HEAD: Final = """# Settings

Every setting is an environment variable. An empty one counts as not set; a variable that begins with `STARWAKE_` and is
no setting stops a service at start, with the name that was likely meant, as a bad value does. A default that is a
secret, or could hold one, is not shown. `starwake up` chooses addresses, ports and secrets by itself, and passes on
whatever else is set.

`starwake <service> --help` lists the settings of one service. This page is generated from the settings classes
(`python -m tests.support.check_settings`); `just check` compares.

"""
_OWN: Final = """
## Command line and tests

| setting | does |
|---|---|
"""


def rendered() -> str:
    """The document as it is stored."""
    services = as_markdown(sections_of({name: settings_class(name) for name in SERVICES}))
    own = "".join(f"| `{name}` | {what} |\n" for name, what in OWN_SETTINGS.items())
    return _HEAD + services + _OWN + own


def main(arguments: list[str]) -> int:
    """Write the document, or check that it is fresh; the process's exit code."""
    text = rendered()
    if "--check" not in arguments:
        PATH.write_text(text)
        return 0
    if not PATH.exists() or PATH.read_text() != text:
        print(  # noqa: T201 - for whoever runs the check
            f"{PATH} is stale: run `python -m tests.support.check_settings` and commit it", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
