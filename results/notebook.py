"""Projects in a notebook: the implementation of `usseg.open`, `usseg.load` and `usseg.run`."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from usseg.pipeline.artifact import Artifact, artifact_path, open_artifact
from usseg.pipeline.errors import ArtifactError, ParamsError
from usseg.pipeline.params import nearest
from usseg.pipeline.project import INDEX, Project, find_root

if TYPE_CHECKING:
    import xarray

    from usseg.results.fitted_project import FittedProject

Folder = str | PathLike[str]


def opened(project: Folder) -> Project:
    """Open the project of a folder."""
    from usseg.stages import STAGES

    return Project.open(STAGES, find_root(Path(project)))


def load_anything(name: Folder, project: Folder, *, weights: Folder | None) -> "Artifact | FittedProject":
    """Open the artifact `stage@split` of a project, or a file of `usseg save`; see `usseg.load`.

    Raises:
        ParamsError: weights are given for an artifact.
    """
    from usseg.results.project_file import SUFFIX

    if Path(name).suffix == SUFFIX:
        from usseg.results.fitted_project import FittedProject

        return FittedProject(name, weights=weights)
    if weights is not None:
        raise ParamsError(f"usseg.load: {name} is no file of usseg save, so that weights are not read; leave them out")
    return artifact_of(opened(project), str(name))


def artifact_of(project: Project, name: str) -> Artifact:
    """Open the artifact `stage@split` of an opened project. Without a split, the first one is used.

    Raises:
        ParamsError: no such stage or split.
        ArtifactError: the stage has not been run, or its artifact was left empty.
    """
    stage, _, split = name.partition("@")
    if stage not in project.stages:
        raise ParamsError(f"no stage {stage!r}{nearest(stage, project.stages)} (known: {', '.join(project.stages)})")
    splits = project.splits_of(stage)
    split = split or splits[0]
    if split not in splits:
        raise ParamsError(f"{stage}: no split {split!r}{nearest(split, splits)} (known: {', '.join(splits)})")
    artifact = open_artifact(artifact_path(project.root, stage, split))
    if artifact.attrs.get("empty"):
        raise ArtifactError(f"{stage}@{split} was left empty, because no chosen method reads it")
    return artifact


def open_dataset(name: str, project: Folder) -> "xarray.Dataset":
    """Open the artifact `stage@split` of a project as a dataset; see `usseg.open`."""
    import dask.array
    import xarray

    source = opened(project)
    artifact = artifact_of(source, name)
    stage, split = artifact.attrs["stage"], artifact.attrs["split"]
    variables: dict[str, Any] = {}
    for key, spec in artifact.attrs["arrays"].items():
        path = str(artifact.path / key)
        values = artifact[key] if spec["dtype"] == "str" else dask.array.from_zarr(path)
        variables[key] = (spec["axes"], values, {"description": spec["doc"]})
    ids: dict[str, Any] = {}
    if stage != INDEX and split in source.splits and any("image" in axes for axes, _, _ in variables.values()):
        ids["image"] = artifact_of(source, f"{INDEX}@{split}")["id"]
    elif stage == INDEX:
        ids["image"] = variables.pop("id")[1]
    attrs = {"stage": stage, "split": split, "params": artifact.params, "content": artifact.attrs["content"]}
    return xarray.Dataset(variables, coords=ids, attrs=attrs)


def run_whole_chain(project: Folder, *, device: str, workers: int) -> None:
    """Run the chain of a project; see `usseg.run`."""
    from usseg.pipeline.chain import run_project
    from usseg.pipeline.execution import Execution
    from usseg.pipeline.machine import resolve_device
    from usseg.pipeline.progress import progress_bar

    run_project(opened(project), Execution(resolve_device(device), workers=workers), display=progress_bar)
