"""How a command ends that could not do its work: one line on stderr, and an exit code.

1 it failed, 2 it was called or configured wrongly, 3 no stack runs there, 130 interrupted.
"""

from typing import Final

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_NOT_RUNNING: Final = 3
EXIT_INTERRUPTED: Final = 130


class CliError(Exception):
    """A command's failure; the text is what the person reads."""

    def __init__(self, text: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(text)
        self.exit_code = exit_code
