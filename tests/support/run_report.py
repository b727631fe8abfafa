"""What a run says about itself: how far it is, where its servers were, which tests were left out and why.

With several workers (pytest-xdist), workers collect and run, and hand over at their end what the run's owner prints.
"""

import os
import time
from collections import Counter
from typing import Any, Final

import pytest

from tests.support import needs
from tests.support.node import node_environment, node_folder

_EVERY_S: Final = 20.0
_NOTES: Final = pytest.StashKey[list[str]]()
_LEFT_OUT: Final = pytest.StashKey[Counter[str]]()


def note(config: pytest.Config, line: str) -> None:
    """Have `line` printed at once where one can, and at the run's end, once however many workers say it."""
    notes = config.stash[_NOTES]
    if line not in notes:
        notes.append(line)
    if not hasattr(config, "workerinput"):
        _say(config, line)


def pytest_configure(config: pytest.Config) -> None:
    """Count from nothing; `node`, `npm` and `npx` are those of the development tools, in what tests start too."""
    config.addinivalue_line("markers", "needs(*names): what the test needs of the machine, see tests/support/needs.py")
    config.stash[_NOTES] = []
    config.stash[_LEFT_OUT] = Counter()
    os.environ["PATH"] = node_environment()["PATH"]
    # Playwright's own needs a library that a bare Debian has not (libatomic).
    os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", str(node_folder() / "node"))
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress(config), "starwake-progress")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and count, the tests whose needs this machine does not meet; none where all is required."""
    if needs.is_required():
        return
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        lacking = needs.missing(name for marker in item.iter_markers("needs") for name in marker.args)
        if lacking:
            config.stash[_LEFT_OUT][lacking[0]] += 1
            left_out.append(item)
        else:
            kept.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands over what it has noted."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["notes"] = session.config.stash[_NOTES]
        output["left_out"] = dict(session.config.stash[_LEFT_OUT])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - pytest-xdist's, without types
    """The owner of the run takes over what a worker has noted; each worker collects all tests."""
    output: dict[str, Any] = getattr(node, "workeroutput", {})
    for line in output.get("notes", ()):
        note(node.config, line)
    node.config.stash[_LEFT_OUT] |= Counter(output.get("left_out", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say where the servers were, and, loudly, what was left out."""
    lines = config.stash[_NOTES]
    if lines:
        terminalreporter.section("of this run")
        for line in lines:
            terminalreporter.line(line)
    left_out = needs.in_words(config.stash[_LEFT_OUT])
    if left_out:
        terminalreporter.section("LEFT OUT", red=True, bold=True)
        for line in left_out:
            terminalreporter.line(line, red=True)


def _say(config: pytest.Config, line: str) -> None:
    """On a line of its own, past pytest's capture of what tests print."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal.ensure_newline()
        terminal.write_line(line)


class Progress:
    """Prints a line every 20 seconds: how many tests are done, how many failed, and how long it has taken."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._began = self._said = time.monotonic()
        self._done = 0
        self._failed = 0
        self._of = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """One process: the number of tests is known."""
        self._of = len(session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """Several workers: each has collected all of them."""
        self._of = len(ids)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count; a test that failed counts once, in whichever of its parts."""
        self._failed += report.failed
        self._done += report.when == "teardown"

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Say how far it is, unless it was said a moment ago."""
        now = time.monotonic()
        if now - self._said < _EVERY_S:
            return
        self._said = now
        minutes, seconds = divmod(int(now - self._began), 60)
        failed = f", {self._failed} failed" if self._failed else ""
        where = nodeid.partition("::")[0]
        _say(self._config, f"{minutes:d}:{seconds:02d}  {self._done} of {self._of} done{failed}  {where}")
