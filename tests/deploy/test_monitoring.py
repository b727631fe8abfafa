"""What operators see names only what the services export, and every alert fires when it should and not otherwise."""

import importlib
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

from tests.deploy.support.nats import REPOSITORY
from tests.deploy.support.render import KUBERNETES, Resource

METRIC_MODULES = (
    "starwake.bus.metrics",
    "starwake.gateway.metrics",
    "starwake.command.metrics",
    "starwake.scheduler.metrics",
)
DASHBOARD = REPOSITORY / "deploy" / "grafana" / "starwake.json"
ALERTS = KUBERNETES / "components" / "monitoring" / "alerts.yaml"
CASES: dict[str, dict[str, dict[str, str]]] = yaml.safe_load((Path(__file__).parent / "alerts.yaml").read_text())
# What the kubelet exports (Kubernetes, "Volume Health Monitoring" and kubelet metrics).
OF_OTHERS = {"kubelet_volume_stats_used_bytes", "kubelet_volume_stats_capacity_bytes"}
# What Prometheus itself adds to every series of a pod.
LABELS_OF_PODS = {"namespace", "pod", "le", "persistentvolumeclaim"}


def exported() -> dict[str, set[str]]:
    """Every series name that the services export, with its labels."""
    for module in METRIC_MODULES:
        importlib.import_module(module)
    names: dict[str, set[str]] = {}
    for collector, series in REGISTRY._collector_to_names.items():  # pyright: ignore[reportPrivateUsage] - says which labels there are
        labels: set[str] = set(getattr(collector, "_labelnames", ()))
        names |= {name: labels for name in series if name.startswith("starwake_")}
    return names


def rules() -> list[Resource]:
    return yaml.safe_load(ALERTS.read_text())["spec"]["groups"][0]["rules"]


def dashboard_expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def unknown_in(expression: str, known: dict[str, set[str]]) -> list[str]:
    """Metrics and labels in a PromQL expression that nothing exports."""
    metrics = set(re.findall(r"\b(?:starwake|kubelet)_[a-z_]+", expression)) - OF_OTHERS
    labels = {name for group in re.findall(r"\{([^{}]*)\}", expression) for name in re.findall(r"(\w+)\s*[=!]", group)}
    labels |= {name.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for name in group.split(",")}
    allowed = LABELS_OF_PODS.union(*(known.get(metric, set()) for metric in metrics))
    return sorted(metrics - known.keys()) + sorted(labels - allowed)


def test_every_panel_names_what_the_services_export() -> None:
    known = exported()
    expressions = dashboard_expressions()
    assert len(expressions) > 40
    assert {e: found for e in expressions if (found := unknown_in(e, known))} == {}


def test_everything_that_the_services_export_is_on_the_dashboard() -> None:
    shown = " ".join(dashboard_expressions())
    families = {re.sub(r"_(bucket|count|sum|created|total)$", "", name) for name in exported()}
    assert {family for family in families if family not in shown} == set()


def test_every_alert_names_what_the_services_export() -> None:
    known = exported()
    assert {rule["alert"]: found for rule in rules() if (found := unknown_in(rule["expr"], known))} == {}


def test_the_check_sees_a_metric_and_a_label_that_nobody_exports() -> None:
    known = exported()
    assert unknown_in("sum by (planet) (starwake_gateway_conections)", known) == [
        "starwake_gateway_conections",
        "planet",
    ]


def test_every_alert_has_a_severity_a_summary_and_an_entry_in_the_runbook() -> None:
    runbook = (REPOSITORY / "deploy" / "README.md").read_text()
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["runbook"] == f"deploy/README.md#{rule['alert'].lower()}"
        assert re.search(rf"^### {rule['alert']}$", runbook, re.MULTILINE), rule["alert"]


def test_every_alert_has_a_test() -> None:
    assert [rule["alert"] for rule in rules()] == list(CASES)


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_when_it_should_and_not_otherwise(alert: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(json.dumps(yaml.safe_load(ALERTS.read_text())["spec"]))
    firing = f'max(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in CASES[alert][case].items()],
            "promql_expr_test": [
                {"expr": firing, "eval_time": "30m", "exp_samples": [{"labels": "{}", "value": 1}] if fires else []}
            ],
        }
        for case, fires in (("fires", True), ("quiet", False))
    ]
    cases = tmp_path / "cases.yaml"
    cases.write_text(json.dumps({"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}))
    for arguments in (["check", "rules", "rules.yaml"], ["test", "rules", "cases.yaml"]):
        done = subprocess.run(
            ["promtool", *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
