"""The browser of the page's tests: an installed Chromium, else Playwright's own.

`python -m tests.support.chromium` says whether there is one, and fetches Playwright's where there is none.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_DOWNLOAD_SECONDS: Final = 600
_HELP: Final = """\
The page's tests need Chromium, and there is none.
  Debian, Ubuntu:  apt-get install chromium
  elsewhere:       uv run --all-groups playwright install --with-deps chromium
or name one in STARWAKE_TEST_CHROMIUM.
"""


def chromium_program() -> str | None:
    """An installed Chromium; None means that Playwright's own is to be tried."""
    named = os.environ.get("STARWAKE_TEST_CHROMIUM")
    candidates = [named] if named else list(_NAMES)
    return next((found for found in map(shutil.which, candidates) if found), None)


def playwright_has_its_own() -> bool:
    """Whether `playwright install chromium` was done."""
    folder = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    cache = Path(folder) if folder else Path.home() / ".cache" / "ms-playwright"
    return any(cache.glob("chromium*-*"))


def main() -> int:
    """0 where a browser is there, or could be fetched."""
    if chromium_program() is not None or playwright_has_its_own():
        return 0
    try:
        fetched = subprocess.run(
            [sys.executable, "-m", "playwright", "install", "chromium"], check=False, timeout=_DOWNLOAD_SECONDS
        )
    except subprocess.TimeoutExpired:
        fetched = None
    if fetched is not None and fetched.returncode == 0:
        return 0
    sys.stderr.write(_HELP)
    return 1


if __name__ == "__main__":
    sys.exit(main())
