"""The command that a user most likely wants after another one."""

from typing import Any

from usseg.pipeline.project import Project


def after_run(project: Project) -> str:
    """What to do after a finished run: look at the page; with labels read the scores, else vary cluster.k."""
    step = "usseg open, to look at the maps"
    refine: Any = project.params["refine"]
    if refine.source == "assign":
        step += " and to name the clusters"
    if any(split["labels"] for split in project.index_params["splits"].values()):
        return f"{step}; usseg scores prints the scores"
    cluster: Any = project.params["cluster"]
    return f"{step}; usseg run --clusters K makes more or fewer clusters than {cluster.k}"
