"""Scores that the stage `evaluate` writes for each split: the main scores, and their details in a second file."""

import json
from pathlib import Path
from typing import Any

from usseg.pipeline.errors import ArtifactError
from usseg.stages.evaluate.method import main_scores


def metrics_path(project: Path, split: str) -> Path:
    """Path of the main scores of a split. DVC shows all values of this file."""
    return project / "metrics" / f"{split}.json"


def details_path(project: Path, split: str) -> Path:
    """Path of the details of the scores of a split: counts, classes and conventions. DVC does not show them."""
    return project / "metrics" / "details" / f"{split}.json"


def read_metrics(project: Path, split: str) -> dict[str, Any]:
    """Read the main scores of a split and their details.

    The key `labelled` says whether the split has labels, and so scores.

    Raises:
        ArtifactError: a file is missing or damaged, or the scores are of an earlier version, which wrote one file.
    """
    path, remedy = metrics_path(project, split), f"run: usseg stage evaluate --split {split}"
    scores = read_object(path, remedy)
    if "labelled" in scores:
        raise ArtifactError(f"{path} is of an earlier version of usseg, which wrote one file of scores; {remedy}")
    details = read_object(details_path(project, split), remedy)
    if main_scores(scores) != scores:
        raise ArtifactError(f"{path} is damaged; {remedy}")
    if not isinstance(details.get("labelled"), bool) or not are_scores(details.get("per_class", {})):
        raise ArtifactError(f"{details_path(project, split)} is damaged; {remedy}")
    return {**details, **scores}


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ArtifactError: the file is missing, or holds something else. The message ends with `remedy`.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; {remedy}") from None
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise ArtifactError(f"{path} is damaged; {remedy}")
    return content


def are_scores(values: Any) -> bool:
    """Whether a value is a mapping of names to numbers, or to None for an undefined score."""
    return isinstance(values, dict) and all(v is None or isinstance(v, int | float) for v in values.values())


def shown(value: float | None) -> str:
    """A score with three decimals; a dash for None."""
    return "-" if value is None else f"{value:.3f}"
