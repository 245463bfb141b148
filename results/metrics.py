"""The scores that stage evaluate writes for each split."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usseg.pipeline.errors import ArtifactError


def metrics_path(project: Path, split: str) -> Path:
    """Where the scores of a split stand."""
    return project / "metrics" / f"{split}.json"


def read_metrics(project: Path, split: str) -> dict[str, Any]:
    """The scores of a split; `labelled` says whether there are any.

    Raises:
        ArtifactError: the file is damaged.
    """
    path = metrics_path(project, split)
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        values = [*main_scores(metrics).values(), *metrics.get("per_class", {}).values()]
        if isinstance(metrics["labelled"], bool) and all(v is None or isinstance(v, int | float) for v in values):
            return dict(metrics)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise ArtifactError(f"{path} is damaged; run: usseg stage evaluate --split {split}")


def main_scores(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The scores of the split as a whole, whatever the method; None where undefined.

    In the file they are the floats: counts are ints, parts are mappings.
    """
    return {name: value for name, value in metrics.items() if value is None or isinstance(value, float)}


def shown(value: float | None) -> str:
    """A score with three digits, or a dash."""
    return "-" if value is None else f"{value:.3f}"
