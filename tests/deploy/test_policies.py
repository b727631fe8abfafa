"""What holds for every workload that is applied to a cluster: one row a policy, one test a row and overlay."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.deploy.support.nats import NATS_FILES
from tests.deploy.support.render import (
    OVERLAYS,
    Resource,
    containers_of,
    label,
    named,
    of_kind,
    overlay,
    pod_of,
    walk,
    workloads,
)
from tests.support.kustomize import kustomize_command

pytestmark = pytest.mark.needs("kustomize")

STARWAKE = ("gateway", "command", "scheduler")
RELEASE = re.compile(r"^[a-z0-9.-]+(/[a-z0-9._-]+)+(:v?\d+\.\d+(\.\d+)?(-[a-z0-9.-]+)?|@sha256:[0-9a-f]{64})$")

Check = Callable[[Resource], bool]

# What every container has to fulfil.
CONTAINER_POLICIES: dict[str, Check] = {
    "may not gain privileges": lambda c: c["securityContext"]["allowPrivilegeEscalation"] is False,
    "writes nowhere but to its volumes": lambda c: c["securityContext"]["readOnlyRootFilesystem"] is True,
    "has no capability": lambda c: c["securityContext"]["capabilities"] == {"drop": ["ALL"]},
    "is not privileged": lambda c: not c["securityContext"].get("privileged", False),
    "comes from a pinned image": lambda c: bool(RELEASE.match(c["image"])),
    "requests CPU and memory": lambda c: {"cpu", "memory"} <= c["resources"]["requests"].keys(),
    "has a limit on memory and none on CPU": lambda c: c["resources"]["limits"].keys() == {"memory"},
    "opens no port of the node": lambda c: all("hostPort" not in port for port in c.get("ports", [])),
    "has no secret among its plain settings": lambda c: (
        not any(
            re.search(r"PASSWORD$|SECRET$|TOKEN$|SEED$", entry["name"]) and "value" in entry
            for entry in c.get("env", [])
        )
    ),
    "never has the development sign-in": lambda c: all(
        entry["name"] != "STARWAKE_DEV_SIGN_IN" for entry in c.get("env", [])
    ),
}

# What every pod has to fulfil.
POD_POLICIES: dict[str, Check] = {
    "does not run as root": lambda p: (
        p["securityContext"]["runAsNonRoot"] is True and p["securityContext"]["runAsUser"] > 0
    ),
    "has the runtime's system call filter": lambda p: (
        p["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    ),
    "holds no token for the cluster": lambda p: p["automountServiceAccountToken"] is False,
    "has an account of its own": lambda p: p["serviceAccountName"] not in ("", "default"),
    "gets no addresses of services as variables": lambda p: p["enableServiceLinks"] is False,
    "shares nothing with its node": lambda p: not any(p.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
    "mounts nothing of its node": lambda p: not any("hostPath" in volume for volume in p.get("volumes", [])),
    "mounts secrets for reading alone": lambda p: all(
        mount.get("readOnly", False)
        for container in [*p.get("initContainers", []), *p["containers"]]
        for mount in container.get("volumeMounts", [])
        if any(volume["name"] == mount["name"] and "secret" in volume for volume in p.get("volumes", []))
    ),
    "bounds what it writes in memory or on the node": lambda p: all(
        "sizeLimit" in volume["emptyDir"] for volume in p.get("volumes", []) if "emptyDir" in volume
    ),
}

# What every workload that runs for ever has to fulfil.
SERVING_POLICIES: dict[str, Check] = {
    "says when it has started, is ready, is alive": lambda w: all(
        {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
        for container in pod_of(w)["containers"][:1]
    ),
    "has a time to end": lambda w: pod_of(w)["terminationGracePeriodSeconds"] >= 30,
    "keeps few old revisions": lambda w: w["spec"]["revisionHistoryLimit"] <= 5,
}

# What every Deployment has to fulfil besides.
DEPLOYMENT_POLICIES: dict[str, Check] = {
    "replaces a copy only once the new one is ready": lambda w: (
        w["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    ),
    "is spread over nodes and zones": lambda w: (
        {spread["topologyKey"] for spread in pod_of(w)["topologySpreadConstraints"]}
        == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    ),
    "is alive without its dependencies, ready only with them": lambda w: (
        (
            pod_of(w)["containers"][0]["livenessProbe"]["httpGet"]["path"],
            pod_of(w)["containers"][0]["readinessProbe"]["httpGet"]["path"],
        )
        == ("/healthz", "/readyz")
    ),
}


def rows(policies: dict[str, Check], items: Callable[[list[Resource]], Iterator[tuple[str, Resource]]]) -> list[object]:
    return [
        pytest.param(check, item, id=f"{name}-{where}-{policy}")
        for name in (OVERLAYS if kustomize_command() else ())
        for where, item in items(overlay(name))
        for policy, check in policies.items()
    ]


def containers(resources: list[Resource]) -> Iterator[tuple[str, Resource]]:
    for workload in workloads(resources):
        for container in containers_of(workload):
            yield f"{label(workload)}.{container['name']}", container


def pods(resources: list[Resource]) -> Iterator[tuple[str, Resource]]:
    for workload in workloads(resources):
        yield label(workload), pod_of(workload)


def serving(resources: list[Resource]) -> Iterator[tuple[str, Resource]]:
    for workload in of_kind(resources, "Deployment", "StatefulSet", "DaemonSet"):
        yield label(workload), workload


def deployments(resources: list[Resource]) -> Iterator[tuple[str, Resource]]:
    for workload in of_kind(resources, "Deployment"):
        yield label(workload), workload


@pytest.mark.parametrize(("check", "container"), rows(CONTAINER_POLICIES, containers))
def test_every_container(check: Check, container: Resource) -> None:
    assert check(container)


@pytest.mark.parametrize(("check", "pod"), rows(POD_POLICIES, pods))
def test_every_pod(check: Check, pod: Resource) -> None:
    assert check(pod)


@pytest.mark.parametrize(("check", "workload"), rows(SERVING_POLICIES, serving))
def test_every_serving_workload(check: Check, workload: Resource) -> None:
    assert check(workload)


@pytest.mark.parametrize(("check", "workload"), rows(DEPLOYMENT_POLICIES, deployments))
def test_every_deployment(check: Check, workload: Resource) -> None:
    assert check(workload)


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_namespace_enforces_restricted_pod_security(name: str) -> None:
    labels = named(overlay(name), "Namespace", "starwake")["metadata"]["labels"]
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == {"restricted"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_secret_is_among_the_manifests(name: str) -> None:
    assert of_kind(overlay(name), "Secret") == []
    for resource in overlay(name):
        for path, value in walk(resource):
            assert not re.search(r"SU[A-Z2-7]{56}|BEGIN \w*\s?PRIVATE KEY|postgresql://[^ ]+:[^ ]+@", str(value)), path


@pytest.mark.parametrize("name", OVERLAYS)
@pytest.mark.parametrize("service", STARWAKE)
def test_a_service_has_more_time_to_end_than_its_drain_needs(name: str, service: str) -> None:
    resources = overlay(name)
    pod = pod_of(named(resources, "Deployment", service))
    settings = settings_of(resources, service)
    pre_stop = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    closing = 10  # libs/runtime/starwake/runtime/service.py: 5 s below the drain, 5 s for what is broken off
    assert pod["terminationGracePeriodSeconds"] >= pre_stop + int(settings["STARWAKE_DRAIN_SECONDS"]) + closing + 5


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_gateway_is_out_of_every_proxys_list_before_it_sends_players_away(name: str) -> None:
    gateway = pod_of(named(overlay(name), "Deployment", "gateway"))["containers"][0]
    readiness = gateway["readinessProbe"]
    assert (
        gateway["lifecycle"]["preStop"]["sleep"]["seconds"]
        >= readiness["periodSeconds"] * readiness["failureThreshold"]
    )


@pytest.mark.parametrize("name", OVERLAYS)
def test_nats_has_more_time_to_end_than_its_lame_duck_takes(name: str) -> None:
    text = (NATS_FILES / "config" / "server.conf").read_text()
    lame_duck = sum(int(value) for value in re.findall(r"^lame_duck_\w+: (\d+)s$", text, re.MULTILINE))
    assert lame_duck == 35
    assert pod_of(named(overlay(name), "StatefulSet", "nats"))["terminationGracePeriodSeconds"] > lame_duck


@pytest.mark.parametrize("name", OVERLAYS)
def test_streams_have_as_many_replicas_as_there_are_nats_servers(name: str) -> None:
    resources = overlay(name)
    servers = named(resources, "StatefulSet", "nats")["spec"]["replicas"]
    for kind, workload in (("Deployment", "scheduler"), ("Job", "provision")):
        own = pod_of(named(resources, kind, workload))["containers"][0].get("env", [])
        settings = settings_of(resources, workload) | {entry["name"]: entry.get("value") for entry in own}
        assert settings["STARWAKE_STREAM_REPLICAS"] == str(servers)


def test_production_has_three_nats_servers_of_which_one_may_go_at_a_time() -> None:
    resources = overlay("production")
    nats = named(resources, "StatefulSet", "nats")
    assert nats["spec"]["replicas"] == 3
    assert nats["spec"]["podManagementPolicy"] == "Parallel"
    assert named(resources, "PodDisruptionBudget", "nats")["spec"]["maxUnavailable"] == 1
    assert named(resources, "Service", "nats-members")["spec"]["publishNotReadyAddresses"] is True
    on_nodes = [s for s in pod_of(nats)["topologySpreadConstraints"] if s["topologyKey"] == "kubernetes.io/hostname"]
    assert [spread["whenUnsatisfiable"] for spread in on_nodes] == ["DoNotSchedule"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_nats_store_fits_its_volume_with_a_tenth_to_spare(name: str) -> None:
    nats = named(overlay(name), "StatefulSet", "nats")
    volume = nats["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
    [store] = [e["value"] for e in pod_of(nats)["containers"][0]["env"] if e["name"] == "NATS_MAX_FILE"]
    assert int(store.removesuffix("GB")) * 1000**3 <= 0.9 * int(volume.removesuffix("Gi")) * 1024**3


@pytest.mark.parametrize("service", STARWAKE)
def test_every_service_in_production_survives_the_loss_of_a_node(service: str) -> None:
    resources = overlay("production")
    scaled = named(resources, "ScaledObject", service)
    assert scaled["spec"]["minReplicaCount"] >= 2
    assert named(resources, "PodDisruptionBudget", service)["spec"]["maxUnavailable"] == 1


def test_who_is_scaled_by_keda_has_no_number_of_its_own_and_no_second_scaler() -> None:
    resources = overlay("production")
    assert of_kind(resources, "HorizontalPodAutoscaler") == []
    targets = [scaled["spec"]["scaleTargetRef"]["name"] for scaled in of_kind(resources, "ScaledObject")]
    assert sorted(targets) == sorted(STARWAKE)
    for target in targets:
        assert "replicas" not in named(resources, "Deployment", target)["spec"]


def test_in_production_nobody_speaks_to_anybody_without_a_policy_that_says_so() -> None:
    policies = of_kind(overlay("production"), "NetworkPolicy")
    deny = named(policies, "NetworkPolicy", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []}
    covered = {
        policy["spec"]["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name") for policy in policies
    }
    assert {w["metadata"]["name"] for w in workloads(overlay("production"))} <= covered


def test_players_reach_the_gateways_players_port_alone() -> None:
    resources = overlay("production")
    assert [port["targetPort"] for port in named(resources, "Service", "gateway")["spec"]["ports"]] == ["players"]
    ingress = named(resources, "NetworkPolicy", "gateway")["spec"]["ingress"]
    open_to_players = [
        rule["ports"]
        for rule in ingress
        if any(
            peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == "envoy-gateway-system"
            for peer in rule["from"]
        )
    ]
    assert open_to_players == [[{"protocol": "TCP", "port": "players"}]]


@pytest.mark.parametrize("name", OVERLAYS)
def test_connections_to_postgres_add_up(name: str) -> None:
    """Each role's limit holds its copies, one more during a rollout; all limits together leave room for the owner."""
    resources = overlay(name)
    limits = role_limits(resources)
    for service in ("command", "scheduler"):
        scaled = [s for s in of_kind(resources, "ScaledObject") if s["metadata"]["name"] == service]
        copies = (
            scaled[0]["spec"]["maxReplicaCount"]
            if scaled
            else named(resources, "Deployment", service)["spec"]["replicas"]
        )
        settings = settings_of(resources, service)
        pool = int(settings["STARWAKE_DATABASE_POOL"]) + int(settings.get("STARWAKE_READ_POOL", 0))
        assert (copies + 1) * pool <= limits[f"starwake_{service}"], service
    reserved = 10  # superuser_reserved_connections, replication, the operator's own
    assert sum(limits.values()) + reserved <= max_connections(resources)


def test_cloud_native_pg_limits_roles_as_the_sql_does() -> None:
    resources = overlay("production")
    limits = role_limits(resources)
    managed = named(resources, "Cluster", "postgres")["spec"]["managed"]["roles"]
    assert {role["name"]: role["connectionLimit"] for role in managed}.items() <= limits.items()
    assert {f"starwake_{name}" for name in ("command", "scheduler")} == {role["name"] for role in managed}


def test_a_commit_in_production_is_on_two_machines() -> None:
    cluster = named(overlay("production"), "Cluster", "postgres")["spec"]
    assert (cluster["instances"], cluster["minSyncReplicas"], cluster["maxSyncReplicas"]) == (3, 1, 1)


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_websocket_is_never_cut_by_the_route(name: str) -> None:
    routes = [r for r in of_kind(overlay(name), "HTTPRoute") if r["metadata"]["name"] == "players"]
    if name == "production":
        [socket] = [rule for rule in routes[0]["spec"]["rules"] if rule["name"] == "socket"]
        assert socket["timeouts"] == {"request": "0s", "backendRequest": "0s"}
        assert socket["matches"] == [{"path": {"type": "Exact", "value": "/ws"}}]
    else:
        assert routes == []


def role_limits(resources: list[Resource]) -> dict[str, int]:
    sql = named(resources, "ConfigMap", "postgres-sql")["data"]["roles.sql"]
    return {role: int(limit) for role, limit in re.findall(r"ALTER ROLE (\w+) LOGIN .* CONNECTION LIMIT (\d+);", sql)}


def max_connections(resources: list[Resource]) -> int:
    for cluster in of_kind(resources, "Cluster"):
        return int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
    args = pod_of(named(resources, "StatefulSet", "postgres"))["containers"][0]["args"]
    [value] = [arg.removeprefix("max_connections=") for arg in args if arg.startswith("max_connections=")]
    return int(value)


def settings_of(resources: list[Resource], service: str) -> dict[str, str]:
    [settings] = [m for m in of_kind(resources, "ConfigMap") if m["metadata"]["name"].startswith(f"{service}-settings")]
    return settings["data"]
