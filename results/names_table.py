"""The table that `usseg name` shows: labels, names, shares."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from usseg.pipeline.artifact import Artifact
from usseg.pipeline.opening import open_checked
from usseg.pipeline.project import Project
from usseg.pipeline.stage import Input
from usseg.results.names import BACKGROUND, clustering_of, read_names

if TYPE_CHECKING:
    from rich.table import Table

ROWS = 256  # images whose token labels are read at a time


def token_shares(assign: Artifact, count: int) -> npt.NDArray[np.float64]:
    """Share of the tokens of a split with each label, float64 (count,). All zero without tokens."""
    labels, tokens = assign["labels"], np.zeros(count, np.int64)
    for start in range(0, labels.shape[0], ROWS):
        block = np.asarray(labels[start : start + ROWS])
        tokens += np.bincount(block[block >= 0], minlength=count)[:count]
    return np.asarray(tokens / max(1, tokens.sum()))


def names_table(project: Project) -> Iterator["Table"]:
    """Yield the table of labels: the name of each, and its share of the patches of the fit split.

    Raises:
        ParamsError: names.yaml cannot be used.
        ArtifactError: an artifact is missing.
    """
    from rich.table import Table
    from rich.text import Text

    clustering = clustering_of(project, "usseg name")
    names = read_names(project.root, clustering)
    assign = open_checked(project, "usseg name", Input("assign"), project.fit_split)
    shares = token_shares(assign, clustering.labels.stop)
    table = Table("label", "name", f"share of {project.fit_split}")
    table.add_row("0", Text(BACKGROUND), f"{shares[0]:.1%}")
    for label in clustering.labels:
        table.add_row(str(label), Text(names.get(label, "")), f"{shares[label]:.1%}")
    yield table
