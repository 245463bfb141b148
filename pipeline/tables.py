"""Tables for the terminal: scores, and what an artifact holds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact import Artifact
from pipeline.errors import ArtifactError

if TYPE_CHECKING:
    from rich.table import Table


def scores_table(folder: Path, splits: Sequence[str]) -> "Table":
    """The scores below `metrics/`, one column a split.

    Raises:
        ArtifactError: no split has scores.
    """
    from rich.table import Table

    paths = {split: folder / f"{split}.json" for split in splits}
    found = {split: json.loads(path.read_text(encoding="utf-8")) for split, path in paths.items() if path.exists()}
    scored = {split: metrics for split, metrics in found.items() if metrics["labelled"]}
    if not scored:
        raise ArtifactError(f"{folder}: no scores; run dvc repro on a split with labels")
    table = Table("", *scored)
    for score in ("miou", "accuracy"):
        table.add_row(score, *(f"{metrics[score]:.3f}" for metrics in scored.values()))
    table.add_section()
    names = dict.fromkeys(name for metrics in scored.values() for name in metrics["per_class"])
    for name in names:
        values = [metrics["per_class"].get(name) for metrics in scored.values()]
        table.add_row(f"IoU {name}", *("-" if value is None else f"{value:.3f}" for value in values))
    return table


def arrays_table(artifact: Artifact) -> "Table":
    """The arrays of an artifact, a row each."""
    from rich.table import Table

    table = Table("array", "axes", "shape", "dtype", "what")
    for name, spec in artifact.attrs["arrays"].items():
        shape = " x ".join(map(str, stored_shape(artifact.path / name)))
        table.add_row(name, ", ".join(spec["axes"]), shape, spec["dtype"], spec["doc"])
    return table


def stored_shape(path: Path) -> list[int]:
    """The shape in an array's metadata."""
    try:
        metadata: dict[str, Any] = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    except OSError:
        raise ArtifactError(f"{path}: array missing; remove the artifact and run its stage again") from None
    return list(metadata["shape"])
