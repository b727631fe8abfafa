"""Percentiles of what was measured, in the unit that went in."""

from collections.abc import Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the `ordered` values lie (nearest rank)."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(values: Sequence[float], scale: float = 1.0) -> dict[str, float]:
    """Count, p50, p99, p99.9 and maximum of `values`, each multiplied by `scale`."""
    if not values:
        return {"count": 0}
    ordered = sorted(values)
    return {
        "count": len(ordered),
        "p50": round(percentile(ordered, 0.50) * scale, 3),
        "p99": round(percentile(ordered, 0.99) * scale, 3),
        "p999": round(percentile(ordered, 0.999) * scale, 3),
        "max": round(ordered[-1] * scale, 3),
    }
