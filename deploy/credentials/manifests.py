"""The Kubernetes Secrets that the manifests of deploy/kubernetes refer to, from a vault."""

import urllib.parse

from deploy.credentials.identities import DATABASE_ROLES, NATS_IDENTITIES, SLOTS
from deploy.credentials.vault import Vault

DATABASE_HOST = "postgres-rw"
DATABASE_NAME = "starwake"
# Where the workloads mount the authority's certificate.
AUTHORITY_FILE = "/run/secrets/authority/ca.crt"


def secret_manifests(vault: Vault, namespace: str) -> list[dict[str, object]]:
    """One Secret for each thing that one workload needs, so that none can read another's."""
    manifests = [
        _secret(namespace, "nats-keys", {"keys.conf": vault.keys_file.read_text()}),
        _secret(namespace, "gateway-jwt", {"secret": vault.jwt_secret_file.read_text()}),
    ]
    for identity in NATS_IDENTITIES:
        for slot in SLOTS:
            seed = vault.seed_file(identity, slot).read_text()
            manifests.append(_secret(namespace, f"nats-{identity}-{slot}", {"seed": seed}))
    for role in DATABASE_ROLES:
        password = vault.password_file(role.role).read_text()
        data = {"username": role.role, "password": password, "url": database_url(role.role, password)}
        manifests.append(_secret(namespace, f"postgres-{role.workload}", data, "kubernetes.io/basic-auth"))
    return manifests


def database_url(role: str, password: str) -> str:
    """How a role reaches the database inside the cluster: encrypted, and only the server that our authority knows."""
    query = urllib.parse.urlencode({"sslmode": "verify-full", "sslrootcert": AUTHORITY_FILE}, safe="/")
    return f"postgresql://{role}:{urllib.parse.quote(password)}@{DATABASE_HOST}:5432/{DATABASE_NAME}?{query}"


def _secret(namespace: str, name: str, data: dict[str, str], kind: str = "Opaque") -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "starwake"}},
        "type": kind,
        "stringData": data,
    }
