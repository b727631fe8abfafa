"""A directory with every secret of one installation, readable by its owner alone, and never inside the repository.

DIR/keys/keys.conf                 public halves of all nkeys, as nats-server includes them
DIR/nats/<identity>-<slot>.seed    secret halves; slots a and b have the same permissions
DIR/database/<role>.password
DIR/jwt.secret                     signs development tokens, where no identity provider does
"""

import os
import secrets
from pathlib import Path
from typing import cast

import nkeys

from deploy.credentials.identities import DATABASE_ROLES, NATS_IDENTITIES, SLOTS, Slot

_SECRET_BYTES = 32


class VaultError(Exception):
    """The directory cannot be used so; the text says why."""


class Vault:
    """The secrets of one installation, in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def create(cls, directory: Path) -> "Vault":
        """Make all secrets anew.

        Raises:
            VaultError: the directory holds something already; secrets in use are never overwritten.
        """
        if directory.exists() and any(directory.iterdir()):
            raise VaultError(f"{directory} is not empty")
        vault = cls(directory)
        for folder in ("keys", "nats", "database"):
            (directory / folder).mkdir(parents=True, mode=0o700, exist_ok=True)
        directory.chmod(0o700)
        for identity in NATS_IDENTITIES:
            for slot in SLOTS:
                _write(vault.seed_file(identity, slot), _new_seed())
        vault.write_public_keys()
        for role in DATABASE_ROLES:
            _write(vault.password_file(role.role), secrets.token_urlsafe(_SECRET_BYTES))
        _write(vault.jwt_secret_file, secrets.token_urlsafe(_SECRET_BYTES))
        return vault

    @property
    def keys_file(self) -> Path:
        """What nats-server includes."""
        return self.directory / "keys" / "keys.conf"

    @property
    def jwt_secret_file(self) -> Path:
        """The secret that signs tokens (HS256)."""
        return self.directory / "jwt.secret"

    def seed_file(self, identity: str, slot: Slot = "a") -> Path:
        """The secret half of a key."""
        return self.directory / "nats" / f"{identity}-{slot}.seed"

    def password_file(self, role: str) -> Path:
        """The password of a Postgres role."""
        return self.directory / "database" / f"{role}.password"

    def renew(self, identity: str, slot: Slot) -> None:
        """Replace one key; the other slot's goes on as it was.

        Raises:
            VaultError: there is no such identity here.
        """
        if identity not in NATS_IDENTITIES or not self.seed_file(identity, slot).exists():
            raise VaultError(f"no key {identity}-{slot} in {self.directory}")
        _write(self.seed_file(identity, slot), _new_seed())
        self.write_public_keys()

    def write_public_keys(self) -> None:
        """Write keys.conf from the seeds."""
        lines = ["# Public halves of the keys: who they are is said in accounts.conf. Nothing here is secret."]
        for identity in NATS_IDENTITIES:
            for slot in SLOTS:
                public = public_key(self.seed_file(identity, slot).read_text().strip())
                lines.append(f'{identity.upper()}_{slot.upper()}: "{public}"')
        _write(self.keys_file, "\n".join(lines) + "\n")


def public_key(seed: str) -> str:
    """The public half (`U...`) of a user's seed (`SU...`)."""
    pair = nkeys.from_seed(bytearray(seed.encode()))  # pyright: ignore[reportUnknownMemberType] - untyped package
    return cast("bytes", pair.public_key).decode()  # pyright: ignore[reportUnknownMemberType] - untyped package


def _new_seed() -> str:
    raw = secrets.token_bytes(_SECRET_BYTES)
    seed = nkeys.encode_seed(raw, nkeys.PREFIX_BYTE_USER)  # pyright: ignore[reportUnknownMemberType] - untyped package
    return seed.decode()


def _write(path: Path, text: str) -> None:
    """Write whole or not at all, readable by the owner alone from its first byte on."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)
