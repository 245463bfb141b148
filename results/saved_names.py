"""The names that the page shows and saves, as JSON: the content of names.yaml."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from usseg.pipeline.errors import ParamsError, UssegError, reason
from usseg.pipeline.project import Project
from usseg.results.names import (
    NAMES_FILE,
    Clustering,
    NamesFile,
    checked_names,
    clustering_of,
    read_names_file,
    save_names,
)
from usseg.results.names_script import write_names_script

READER = "usseg open"
LABEL = re.compile(r"0|[1-9][0-9]{0,5}")


class Refused(UssegError):
    """Names that are not saved.

    Attributes:
        outdated: the clustering of the project or its names.yaml is not what the page knows.
    """

    def __init__(self, line: str, *, outdated: bool) -> None:
        super().__init__(line)
        self.outdated = outdated


def current(project: Path) -> tuple[Clustering, NamesFile]:
    """The clustering of a project and its names, as they are now on the disk.

    Raises:
        ParamsError: params.yaml or names.yaml cannot be used, or labels are not those of clusters.
        ArtifactError: the clustering is missing, or not of the present params.
    """
    from usseg.stages import STAGES

    clustering = clustering_of(Project.open(STAGES, project), READER)
    return clustering, read_names_file(project, clustering)


def names_or_none(project: Path) -> tuple[dict[str, Any], str | None]:
    """The names of a project, or no names and the reason: params, clustering or names.yaml cannot be used.

    Returns:
        {"clustering": digest, "names": {label: name}, "colors": {label: colour}}, and the reason on one line or None.
    """
    try:
        clustering, file = current(project)
    except UssegError as error:
        return {"clustering": "", "names": {}, "colors": {}}, reason(error)
    return file.content(clustering), None


def refresh_names_script(project: Path) -> Iterator[str]:
    """Write report/names.js anew, as a new clustering has no names yet. Yield a line if names.yaml cannot be used."""
    content, refusal = names_or_none(project)
    write_names_script(project, content)
    if refusal is not None and (project / NAMES_FILE).exists():
        yield f"the page shows no names: {refusal}"


def replace_names(project: Path, body: bytes) -> dict[str, Any]:
    """Replace the names of a project by those of a request; an empty name is none.

    Returns:
        The names that were saved.

    Raises:
        Refused: the request cannot be used. Nothing is written then.
        OSError: names.yaml cannot be written.
    """
    try:
        clustering, _ = current(project)
    except UssegError as error:
        raise Refused(reason(error), outdated=True) from None
    content = parsed(body)
    if content.get("clustering") != clustering.content:
        raise Refused("the clustering has changed since; reload the page", outdated=True)
    try:
        file = checked_names(content, clustering, "names")
    except ParamsError as error:
        raise Refused(reason(error), outdated=False) from None
    save_names(project, clustering, file)
    return file.content(clustering)


def parsed(body: bytes) -> dict[str, Any]:
    """The content of a request: keys of `names` and `colors` are labels, empty names are left out.

    Raises:
        Refused: it is no JSON object, or a key is no label.
    """
    try:
        content = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Refused("names: found no JSON", outdated=False) from None
    if not isinstance(content, dict):
        raise Refused("names: found no JSON object", outdated=False)
    for key in ("names", "colors"):
        values = content.get(key)
        if isinstance(values, dict):
            wrong = next((label for label in values if not LABEL.fullmatch(label)), None)
            if wrong is not None:
                raise Refused(f"{key}: found the key {wrong[:20]!r}; a label such as 3 is needed", outdated=False)
            content[key] = {int(label): value for label, value in values.items() if value != ""}
    return content
