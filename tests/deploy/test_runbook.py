"""The runbook says what is so: its arithmetic, its commands, its figures."""

import math
import re

import pytest

from starwake.gateway.settings import GatewaySettings
from tests.deploy.support.nats import REPOSITORY
from tests.deploy.support.render import named, overlay, pod_of

RUNBOOK = (REPOSITORY / "deploy" / "README.md").read_text()


def figure(name: str) -> int:
    """A figure of one of the two tables of the chapter on capacity."""
    [value] = re.findall(rf"^\| {re.escape(name)} \| (\d+) \|$", RUNBOOK, re.MULTILINE)
    return int(value)


def test_what_is_planned_with_is_no_less_than_what_was_measured() -> None:
    measured_for = {
        "gateway memory for each connection, bytes": (
            "gateway, bytes of process memory for each idle connection",
            "kernel, bytes of objects for each idle socket",
        ),
        "Postgres bytes for each pending build": ("Postgres, bytes for each pending build (row and indexes)",),
        "NATS memory for each pending build, bytes": ("NATS memory, bytes for each pending build",),
        "NATS disk for each pending build and replica, bytes": ("NATS disk, bytes for each pending build and replica",),
    }
    for planned, measured in measured_for.items():
        assert figure(planned) >= 1.3 * sum(map(figure, measured)), planned


def test_so_many_players_who_do_not_read_fit_into_a_gateways_memory() -> None:
    settings = GatewaySettings.model_fields
    each = settings["max_outbox_bytes"].default + settings["send_buffer_bytes"].default
    planned = figure("connections for each gateway") * figure("gateway memory for each connection, bytes") + 200e6
    left = 1024**3 - planned
    assert f"{round(left / 1e6)} MB, is for players who do not read" in RUNBOOK
    assert f"so {int(left / each)} of them fit" in RUNBOOK


def test_the_capacity_table_is_what_its_arithmetic_gives() -> None:
    rows = [
        [float(cell) for cell in row.split(" | ")]
        for row in re.findall(r"^\| (\d+ \| \d+ \| [\d. |]+) \|$", RUNBOOK, re.MULTILINE)
    ]
    assert [row[:2] for row in rows] == [[1e4, 1e5], [1e5, 1e6], [1e6, 1e7]]
    per_gateway = figure("connections for each gateway")
    for players, pending, *given in rows:
        memory = per_gateway * figure("gateway memory for each connection, bytes") + 200e6
        nats_memory = pending * figure("NATS memory for each pending build, bytes")
        nats_disk = pending * figure("NATS disk for each pending build and replica, bytes") + players * 256 * 400
        kept = figure("finished builds kept for each player") * players
        postgres = (pending + kept) * figure("Postgres bytes for each pending build")
        assert given == [
            math.ceil(players / per_gateway) + 1,
            round(memory / 1e6),
            round(nats_memory / 1e9, 1),
            round(nats_disk / 1e9, 1),
            round(postgres / 1e9, 1),
        ]


@pytest.mark.needs("kustomize")
def test_the_manifests_hold_what_the_table_plans() -> None:
    resources = overlay("production")
    scaled = named(resources, "ScaledObject", "gateway")["spec"]
    assert int(scaled["triggers"][0]["metadata"]["threshold"]) == figure("connections for each gateway")
    assert scaled["maxReplicaCount"] >= math.ceil(1e6 / figure("connections for each gateway")) + 1
    limit = pod_of(named(resources, "Deployment", "gateway"))["containers"][0]["resources"]["limits"]["memory"]
    planned = figure("connections for each gateway") * figure("gateway memory for each connection, bytes") + 200e6
    assert limit == "1Gi"
    assert planned < 1024**3


def test_every_file_and_folder_that_the_runbook_names_exists() -> None:
    for path in re.findall(r"`(deploy/[\w/.-]+|components/[\w/.-]+|postgres/[\w.]+)`", RUNBOOK):
        below = [REPOSITORY / path, REPOSITORY / "deploy" / path, REPOSITORY / "deploy" / "kubernetes" / path]
        assert any(each.exists() for each in below), path
