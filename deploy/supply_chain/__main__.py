"""`python -m deploy.supply_chain sbom | licences | unused | audit`; 0 where all is well."""

import argparse
import json
import subprocess
import sys

from deploy.supply_chain.inventory import (
    IMAGE_ONLY,
    REPOSITORY,
    bill_of_materials,
    unknown_licences,
    unused_dependencies,
)

_OFFLINE = ("error sending request", "connect", "dns", "timed out", "failed to fetch", "status code")
_AUDIT_SECONDS = 120


def main() -> int:
    """Run one look; what it finds goes to stdout."""
    parser = argparse.ArgumentParser(prog="supply_chain", description=__doc__)
    parser.add_argument("look", choices=("sbom", "licences", "unused", "audit"))
    look = parser.parse_args().look
    if look == "sbom":
        json.dump(bill_of_materials(), sys.stdout, indent=2)
        sys.stdout.write("\n")
        return 0
    return {"licences": _licences, "unused": _unused, "audit": _audit}[look]()


def _licences() -> int:
    bill = bill_of_materials()
    for component in bill["components"]:
        licence = "; ".join(each["license"]["name"] for each in component.get("licenses", [])) or "-"
        sys.stdout.write(f"{component['name']:45} {component['version']:12} {licence}\n")
    return _complain("has a licence that nobody has looked at", unknown_licences(bill))


def _unused() -> int:
    return _complain("is a dependency that none of its modules imports", unused_dependencies())


def _audit() -> int:
    """Ask for known vulnerabilities; being offline is said, and is no failure."""
    command = ["uv", "audit", *IMAGE_ONLY]
    try:
        done = subprocess.run(  # noqa: S603 - the command is fixed
            command, cwd=REPOSITORY, capture_output=True, text=True, timeout=_AUDIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        sys.stdout.write("not audited: the database of vulnerabilities does not answer\n")
        return 0
    text = done.stdout + done.stderr
    if done.returncode != 0 and any(word in text.lower() for word in _OFFLINE):
        sys.stdout.write("not audited: the database of vulnerabilities cannot be reached from here\n")
        return 0
    sys.stdout.write(text)
    return done.returncode


def _complain(what: str, found: list[str]) -> int:
    for each in found:
        sys.stderr.write(f"{each} {what}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
