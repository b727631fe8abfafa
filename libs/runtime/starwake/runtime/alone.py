"""A service's own program, for an environment in which the command-line tool `starwake` is not installed."""

import sys
from collections.abc import Callable, Sequence
from typing import Final

from starwake.runtime.errors import RuntimeFailure, SettingsError

_EXIT_FAILED: Final = 1
_EXIT_USAGE: Final = 2


def run_alone(name: str, run: Callable[[], int], words: Sequence[str] | None = None) -> int:
    """Run one service in the foreground; the process's exit code, as `starwake <name>` has it.

    Args:
        name: the service's. It may stand as the only word on the command line, so that an image with one service is
            started by the same words as the image with all of them.
        run: the service's `app.run`.
        words: of the command line; by default the process's own.
    """
    given = list(sys.argv[1:] if words is None else words)
    if given not in ([], [name]):
        return _complain(
            f"this environment holds the {name} service alone: {' '.join(given)!r} is not here", _EXIT_USAGE
        )
    try:
        return run()
    except RuntimeFailure as error:
        return _complain(str(error), _EXIT_USAGE if isinstance(error, SettingsError) else _EXIT_FAILED)


def _complain(text: str, code: int) -> int:
    sys.stderr.write(f"starwake: {text}\n")
    return code
