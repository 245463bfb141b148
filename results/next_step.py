"""The command that a user most likely wants after another one."""

from typing import Any

from usseg.pipeline.project import Project


def after_run(project: Project) -> str:
    """What to do after a finished run: read the scores, or without labels change the number of clusters."""
    if any(split["labels"] for split in project.index_params["splits"].values()):
        return "usseg scores"
    cluster: Any = project.params["cluster"]
    return f"open the page; usseg run --clusters K for more or fewer clusters than {cluster.k}"
