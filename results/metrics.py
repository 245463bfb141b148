"""Scores that the stage `evaluate` writes for each split."""

import json
from pathlib import Path
from typing import Any

from usseg.pipeline.errors import ArtifactError
from usseg.stages.evaluate.method import main_scores


def metrics_path(project: Path, split: str) -> Path:
    """Path of the scores of a split."""
    return project / "metrics" / f"{split}.json"


def read_metrics(project: Path, split: str) -> dict[str, Any]:
    """Read the scores of a split. The key `labelled` says whether the split has labels, and so scores.

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


def shown(value: float | None) -> str:
    """A score with three decimals; a dash for None."""
    return "-" if value is None else f"{value:.3f}"
