"""Makes, renews and hands out the secrets of an installation.

    python -m deploy.credentials.make create DIR             all secrets, into an empty directory of yours
    python -m deploy.credentials.make renew DIR gateway b     one new nkey
    python -m deploy.credentials.make manifests DIR | kubectl apply -f -

JSON is YAML, so what `manifests` prints is one Kubernetes List.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.credentials.identities import NATS_IDENTITIES, SLOTS
from deploy.credentials.manifests import secret_manifests
from deploy.credentials.vault import Vault, VaultError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 1 and a line on stderr where it cannot be done."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "create":
            Vault.create(options.directory)
        elif options.command == "renew":
            Vault(options.directory).renew(options.identity, options.slot)
        else:
            items = secret_manifests(Vault(options.directory), options.namespace)
            json.dump({"apiVersion": "v1", "kind": "List", "items": items}, sys.stdout, indent=2)
            sys.stdout.write("\n")
    except (VaultError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("create", "renew", "manifests"):
        command = commands.add_parser(name)
        command.add_argument("directory", type=Path)
        if name == "renew":
            command.add_argument("identity", choices=NATS_IDENTITIES)
            command.add_argument("slot", choices=SLOTS)
        if name == "manifests":
            command.add_argument("--namespace", default="starwake")
    return parser


if __name__ == "__main__":
    sys.exit(main())
