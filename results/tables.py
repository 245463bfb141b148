"""Tables for the terminal: scores, and what an artifact holds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from usseg.pipeline.artifact import Artifact
from usseg.pipeline.errors import ArtifactError
from usseg.results.metrics import main_scores, metrics_path, read_metrics, shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def scores_table(project: Path, splits: Sequence[str]) -> "Table":
    """The scores of a project, one column a split: those of the split as a whole, then the IoU of every class.

    Raises:
        ArtifactError: no split has scores.
    """
    from rich.table import Table
    from rich.text import Text

    found = {split: read_metrics(project, split) for split in splits if metrics_path(project, split).exists()}
    scored = {split: metrics for split, metrics in found.items() if metrics["labelled"]}
    if not scored:
        raise ArtifactError(f"{project / 'metrics'}: no scores; run dvc repro on a split with labels")
    table = Table("", *scored)
    whole = {split: main_scores(metrics) for split, metrics in scored.items()}
    classes = {split: metrics.get("per_class", {}) for split, metrics in scored.items()}
    for prefix, values in (("", whole), ("IoU ", classes)):
        for name in dict.fromkeys(name for scores in values.values() for name in scores):
            table.add_row(Text(f"{prefix}{name}"), *(shown(scores.get(name)) for scores in values.values()))
        table.add_section()
    return table


def print_artifact(artifact: Artifact, console: "Console") -> None:
    """Print what an artifact holds: its name, its arrays, and the params that made it."""
    from rich.text import Text

    attrs = artifact.attrs
    title = Text(f"{attrs['stage']}@{attrs['split']}", style="bold")
    version = f"schema version {attrs['version']}, content {attrs['content'][:12]}"
    console.print(title + Text(f"  {attrs['num_images']} images, {version}", style="not bold"))
    console.print(arrays_table(artifact))
    console.print_json(json.dumps(attrs["params"]))


def arrays_table(artifact: Artifact) -> "Table":
    """The arrays of an artifact, a row each."""
    from rich.table import Table
    from rich.text import Text

    table = Table("array", "axes", "shape", "dtype", "what")
    for name, spec in artifact.attrs["arrays"].items():
        shape = " x ".join(map(str, stored_shape(artifact.path / name)))
        table.add_row(*map(Text, (name, ", ".join(spec["axes"]), shape, spec["dtype"], spec["doc"])))
    return table


def stored_shape(path: Path) -> list[int]:
    """The shape in an array's metadata.

    Raises:
        ArtifactError: the array is missing or damaged.
    """
    try:
        return list(json.loads((path / "zarr.json").read_text(encoding="utf-8"))["shape"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        state = "missing" if isinstance(error, OSError) else "damaged"
        raise ArtifactError(f"{path}: array {state}; remove the artifact and run its stage again") from None
