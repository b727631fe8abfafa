"""Every overlay and combination of components renders, validates strictly and refers to nothing that is not there."""

import functools
import io
import itertools
import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path

import kubernetes_validate
import pytest

from deploy.credentials.make import main as make_credentials
from starwake.command.settings import CommandSettings
from starwake.gateway.settings import GatewaySettings
from starwake.runtime.settings import Block, BusSettings, LogSettings, StoreSettings, TracingSettings, names_of
from starwake.scheduler.settings import SchedulerSettings
from tests.deploy.support.render import (
    KUBERNETES,
    OVERLAYS,
    Resource,
    combination,
    containers_of,
    custom_resource_complaints,
    label,
    named,
    of_kind,
    overlay,
    pod_of,
    walk,
    workloads,
)

pytestmark = pytest.mark.needs("kustomize")

# The oldest version that its makers still care for, and the newest that there are schemas for.
OLDEST, NEWEST = "1.32", "1.37"
SECRET_PATH = re.compile(r"([sS]ecret\.name|CASecret|TLSSecret|s3Credentials\.\w+\.name)$")
BUILT_IN = ("v1", "apps/v1", "batch/v1", "policy/v1", "networking.k8s.io/v1")

NATS = ("nats", "nats-single")
POSTGRES = ("postgres-cluster", "postgres-single")
SIGN_IN = ("sign-in-jwks", "sign-in-secret")
OPTIONAL = ("ingress", "autoscaling", "network-policies", "monitoring", "tracing")


def combinations() -> list[tuple[str, ...]]:
    """Every choice of the parts that are needed, with none and all of the optional ones; every pair of the optional."""
    needed = [("certificates", *choice) for choice in itertools.product(NATS, POSTGRES, SIGN_IN)]
    pairs = itertools.chain(itertools.combinations(OPTIONAL, 1), itertools.combinations(OPTIONAL, 2))
    return [(*each, *extra) for each in needed for extra in ((), OPTIONAL)] + [(*needed[0], *pair) for pair in pairs]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Resource]]:
    """What operators can apply: the overlays, and every combination."""
    work: Path = tmp_path_factory.mktemp("combinations")
    chosen = combinations()
    with ThreadPoolExecutor(2) as threads:
        rendered = threads.map(functools.partial(combination, work), chosen)
        combined = {" ".join(components): resources for components, resources in zip(chosen, rendered, strict=True)}
    return {name: overlay(name) for name in OVERLAYS} | combined


@pytest.fixture(scope="module")
def distinct(everything: dict[str, list[Resource]]) -> list[Resource]:
    """Each different resource once."""
    texts = {json.dumps(resource, sort_keys=True) for resources in everything.values() for resource in resources}
    return [json.loads(text) for text in sorted(texts)]


def test_every_component_is_in_a_combination() -> None:
    assert {folder.name for folder in (KUBERNETES / "components").iterdir()} == {
        name for chosen in combinations() for name in chosen
    }


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_resource_is_valid_in_the_oldest_and_the_newest_kubernetes(
    version: str, distinct: list[Resource]
) -> None:
    built_in = [resource for resource in distinct if resource["apiVersion"] in BUILT_IN]
    assert len(built_in) > 50
    for resource in built_in:
        kubernetes_validate.validate(resource, version, strict=True)


def test_every_custom_resource_is_what_its_makers_schema_says(distinct: list[Resource]) -> None:
    custom = [resource for resource in distinct if resource["apiVersion"] not in BUILT_IN]
    assert {resource["apiVersion"].split("/")[0] for resource in custom} == {
        "cert-manager.io",
        "gateway.networking.k8s.io",
        "keda.sh",
        "monitoring.coreos.com",
        "postgresql.cnpg.io",
    }
    assert custom_resource_complaints(custom) == []


def test_the_check_of_custom_resources_sees_a_wrong_type_and_an_unknown_field() -> None:
    wrong_type, unknown_field = (named(overlay("production"), "ScheduledBackup", "postgres-nightly") for _ in range(2))
    wrong_type["spec"]["schedule"] = 3
    unknown_field["spec"]["cluter"] = {"name": "postgres"}
    complaints = " ".join(custom_resource_complaints([wrong_type, unknown_field]))
    assert "schedule must be string" in complaints
    assert '"cluter"' in complaints
    assert "does not exist in type" in complaints


def test_no_resource_is_there_twice(everything: dict[str, list[Resource]]) -> None:
    for chosen, resources in everything.items():
        names = [(each["apiVersion"], label(each)) for each in resources]
        assert len(names) == len(set(names)), chosen


def test_everything_lies_in_the_namespace(everything: dict[str, list[Resource]]) -> None:
    for chosen, resources in everything.items():
        outside = {label(each) for each in resources if each["metadata"].get("namespace") != "starwake"}
        assert outside == {"Namespace/starwake"}, chosen


def test_every_service_and_budget_selects_pods_and_every_port_is_one_of_theirs(
    everything: dict[str, list[Resource]],
) -> None:
    for chosen, resources in everything.items():
        for service in of_kind(resources, "Service"):
            chosen_pods = selected(resources, service["spec"]["selector"])
            assert chosen_pods, f"{chosen}: {label(service)} selects nothing"
            for port in service["spec"]["ports"]:
                assert all(port["targetPort"] in port_names(pod) for pod in chosen_pods), f"{chosen}: {label(service)}"
        for budget in of_kind(resources, "PodDisruptionBudget"):
            assert selected(resources, budget["spec"]["selector"]["matchLabels"]), f"{chosen}: {label(budget)}"
        for workload in workloads(resources):
            for container in containers_of(workload):
                named_ports = {port["name"] for port in container.get("ports", [])}
                for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                    port = container.get(kind, {}).get("httpGet", {}).get("port")
                    assert port is None or port in named_ports, f"{chosen}: {label(workload)} {kind}"


def test_every_config_map_and_secret_that_is_referred_to_exists_with_its_keys(
    everything: dict[str, list[Resource]], tmp_path: Path
) -> None:
    secrets = secrets_of_operators(tmp_path)
    for chosen, resources in everything.items():
        maps = {each["metadata"]["name"]: set(each["data"]) for each in of_kind(resources, "ConfigMap")}
        known_secrets = secrets | {
            each["spec"]["secretName"]: {"ca.crt", "tls.crt", "tls.key"} for each in of_kind(resources, "Certificate")
        }
        for workload in workloads(resources):
            for kind, name, keys in references(workload):
                known = maps if kind == "ConfigMap" else known_secrets
                assert name in known, f"{chosen}: {label(workload)} needs {kind} {name}"
                assert keys <= known[name], f"{chosen}: {label(workload)} needs {keys} of {kind} {name}"


def test_the_postgres_cluster_refers_to_secrets_and_sql_that_exist(
    everything: dict[str, list[Resource]], tmp_path: Path
) -> None:
    secrets = secrets_of_operators(tmp_path)
    for chosen, resources in everything.items():
        known = set(secrets) | secrets_of_certificates(resources)
        for cluster in of_kind(resources, "Cluster"):
            named_secrets = [v for path, v in walk(cluster["spec"]) if SECRET_PATH.search(path)]
            assert len(named_secrets) == 7
            assert known.issuperset(str(name) for name in named_secrets), chosen
            for reference in cluster["spec"]["bootstrap"]["initdb"]["postInitSQLRefs"]["configMapRefs"]:
                assert reference["key"] in named(resources, "ConfigMap", reference["name"])["data"]


def test_every_scaler_scales_a_deployment_that_exists(everything: dict[str, list[Resource]]) -> None:
    for chosen, resources in everything.items():
        deployments = {each["metadata"]["name"] for each in of_kind(resources, "Deployment")}
        targets = {scaled["spec"]["scaleTargetRef"]["name"] for scaled in of_kind(resources, "ScaledObject")}
        assert targets <= deployments, chosen


def test_every_route_leads_from_a_listener_to_a_port(everything: dict[str, list[Resource]]) -> None:
    for resources in everything.values():
        for route in of_kind(resources, "HTTPRoute"):
            for parent in route["spec"]["parentRefs"]:
                listeners = named(resources, "Gateway", parent["name"])["spec"]["listeners"]
                assert parent["sectionName"] in {listener["name"] for listener in listeners}
            for backend in (b for rule in route["spec"]["rules"] for b in rule.get("backendRefs", [])):
                ports = named(resources, "Service", backend["name"])["spec"]["ports"]
                assert backend["port"] in {port["port"] for port in ports}


def test_every_listener_has_its_certificate_and_every_certificate_its_issuer(
    everything: dict[str, list[Resource]],
) -> None:
    for resources in everything.values():
        issued = secrets_of_certificates(resources)
        for gateway in of_kind(resources, "Gateway"):
            for listener in gateway["spec"]["listeners"]:
                references = listener.get("tls", {}).get("certificateRefs", [])
                assert issued.issuperset(reference["name"] for reference in references)
        issuers = {each["metadata"]["name"] for each in of_kind(resources, "Issuer")}
        for certificate in of_kind(resources, "Certificate"):
            issuer = certificate["spec"]["issuerRef"]
            assert issuer["kind"] == "ClusterIssuer" or issuer["name"] in issuers


def test_every_starwake_setting_in_the_manifests_is_one_that_its_service_reads(
    everything: dict[str, list[Resource]],
) -> None:
    known = settings_of_services()
    for chosen, resources in everything.items():
        maps = {each["metadata"]["name"]: each["data"] for each in of_kind(resources, "ConfigMap")}
        for workload in workloads(resources):
            for container in containers_of(workload):
                service = container["name"]
                names = {entry["name"] for entry in container.get("env", [])}
                for source in container.get("envFrom", []):
                    names |= set(maps[source["configMapRef"]["name"]])
                unknown = {name for name in names if name.startswith("STARWAKE_")} - known.get(service, frozenset())
                assert not unknown, f"{chosen}: {label(workload)} {service}"


def secrets_of_certificates(resources: list[Resource]) -> set[str]:
    return {each["spec"]["secretName"] for each in of_kind(resources, "Certificate")}


def selected(resources: list[Resource], labels: dict[str, str]) -> list[Resource]:
    return [
        workload
        for workload in workloads(resources)
        if labels.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
    ]


def port_names(workload: Resource) -> set[str]:
    return {port["name"] for container in containers_of(workload) for port in container.get("ports", [])}


def references(workload: Resource) -> list[tuple[str, str, set[str]]]:
    """Every ConfigMap and Secret that a workload needs: kind, name, keys."""
    found: list[tuple[str, str, set[str]]] = []
    for volume in pod_of(workload).get("volumes", []):
        for kind, field, name in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
            if field in volume:
                keys = {item["key"] for item in volume[field].get("items", [])}
                found.append((kind, volume[field][name], keys))
    for container in containers_of(workload):
        found.extend(("ConfigMap", source["configMapRef"]["name"], set()) for source in container.get("envFrom", []))
        keys = [entry.get("valueFrom", {}).get("secretKeyRef") for entry in container.get("env", [])]
        found.extend(("Secret", reference["name"], {reference["key"]}) for reference in keys if reference)
    return found


def secrets_of_operators(work: Path) -> dict[str, set[str]]:
    """The Secrets that operators make by the command of the runbook, and the one that they bring."""
    vault = str(work / "vault")
    assert make_credentials(["create", vault]) == 0
    printed = io.StringIO()
    with redirect_stdout(printed):
        assert make_credentials(["manifests", vault]) == 0
    items = json.loads(printed.getvalue())["items"]
    for item in items:
        kubernetes_validate.validate(item, NEWEST, strict=True)
    made = {item["metadata"]["name"]: set(item["stringData"]) for item in items}
    return made | {"backup-bucket": {"ACCESS_KEY_ID", "ACCESS_SECRET_KEY"}}


def settings_of_services() -> dict[str, frozenset[str]]:
    blocks: dict[str, tuple[type[Block], ...]] = {
        "gateway": (GatewaySettings,),
        "scheduler": (SchedulerSettings,),
        "command": (CommandSettings,),
        "migrate": (LogSettings, StoreSettings),
        "provision": (LogSettings, BusSettings, TracingSettings),
    }
    return {service: names_of(*classes) for service, classes in blocks.items()}
