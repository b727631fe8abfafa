"""The types of the page's modules, checked by TypeScript, which npm brings into an ignored folder."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.node import node_environment, node_folder, npm_install

_WEB: Final = Path(__file__).resolve().parents[1] / "web"
_SECONDS: Final = 300


def main() -> int:
    """Install TypeScript as package-lock.json pins it, unless it is there; then check. The exit code of the check."""
    environment = node_environment()
    compiler = _WEB / "node_modules" / "typescript" / "bin" / "tsc"
    if not compiler.exists():
        npm_install(_WEB)
    check = [str(node_folder() / "node"), str(compiler), "--project", str(_WEB / "tsconfig.json")]
    return subprocess.run(check, check=False, env=environment, timeout=_SECONDS).returncode


if __name__ == "__main__":
    sys.exit(main())
