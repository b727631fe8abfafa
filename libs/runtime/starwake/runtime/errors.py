"""What ends a service before or outside its work.

RuntimeFailure
├── SettingsError     a setting is missing, unknown or has a bad value
└── StartError        a service cannot start and says why in one line
"""


class RuntimeFailure(Exception):  # noqa: N818 - the root of the tree; its leaves are errors
    """Root of this tree; its text is one line for the person who runs the service."""


class SettingsError(RuntimeFailure):
    """A setting is missing, unknown or has a bad value."""


class StartError(RuntimeFailure):
    """The service cannot start: no key configured, a stream that cannot be repaired, and the like."""
