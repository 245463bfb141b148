"""How a project was run: the times of its stages, versions of software, and the recipes that its params are.

Stages may not write this: equal inputs give equal artifacts, and times differ. It is in the sidecars of the artifacts.
"""

import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

from usseg.pipeline.artifact import artifact_path
from usseg.pipeline.errors import UssegError
from usseg.pipeline.params import read_params
from usseg.pipeline.project import Project
from usseg.pipeline.provenance import sidecar_path
from usseg.results.recipes import RECIPES, USERS, USERS_OPTIONS, USERS_SECTIONS

PACKAGES = ("usseg", "numpy", "torch", "timm", "faiss-gpu", "faiss-cpu", "scikit-learn", "opencv-python", "zarr")


def run_record(project: Project) -> dict[str, Any]:
    """The record of a project, as JSON values.

    Returns:
        `stages`: a list of {"stage", "split", "seconds", "device", "finished"} in the order of the pipeline, without
        artifacts whose sidecar is missing. `versions`: package -> version that is installed now. `recipes`: names.
    """
    stages = []
    for name in project.stages:
        for split in project.splits_of(name) if name in project.needed else ():
            try:
                sidecar = json.loads(sidecar_path(artifact_path(project.root, name, split)).read_text(encoding="utf-8"))
                facts = {key: sidecar[key] for key in ("seconds", "device", "finished")}
            except (OSError, ValueError, TypeError, LookupError):
                continue  # `dvc pull` brings artifacts without sidecars
            stages.append({"stage": name, "split": split, **facts})
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # faiss has one name for each kind of machine
    return {"stages": stages, "versions": versions, "recipes": matching_recipes(project)}


def record_or_none(root: Path) -> dict[str, Any] | None:
    """The record of the project in a folder; None if its params cannot be used."""
    from usseg.stages import STAGES

    try:
        return run_record(Project.open(STAGES, root))
    except UssegError:
        return None


def matching_recipes(project: Project) -> list[str]:
    """The names of the recipes whose params the project has, apart from what belongs to the user."""
    index = read_params(project.root).get("index", {})
    found = []
    for name, recipe in RECIPES.items():
        settings = {key: dict(values) for key, values in recipe.settings.items() if key not in USERS_SECTIONS}
        try:
            other = Project.of(project.stages, project.root, {"index": index, **settings})
        except UssegError:  # needs a file, such as weights, that the recipe does not name
            continue
        if all(
            own_values(project, section) == own_values(other, section)
            for section in project.stages
            if section not in USERS_SECTIONS
        ):
            found.append(name)
    return found


def own_values(project: Project, section: str) -> dict[str, Any]:
    """The params of a section that a recipe decides."""
    values = project.params[section].model_dump(mode="json")
    options = values.get("options")
    if isinstance(options, dict):
        values["options"] = {key: value for key, value in options.items() if key not in USERS_OPTIONS}
    return {key: value for key, value in values.items() if key not in USERS}
