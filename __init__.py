"""Unlabelled images to semantic segmentations: a staged, cached, resumable pipeline.

The names of `__all__` are promised: they stay as they are between versions. Everything else in the package may change.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["load", "open", "run"]


def open(name: str, project: "str | PathLike[str]" = ".") -> Any:
    """Open an artifact of a project as an xarray dataset. Arrays are read when they are used.

    Args:
        name: stage and split, such as `refine@val`.
        project: a folder of the project, or one below it.

    Returns:
        `xarray.Dataset`. Dimensions are the axes of the arrays, `image` has the ids as coordinates, strings are decoded, and
        `attrs` holds stage, split and params. Arrays of pixels are flat, as they are stored: `load` gives maps of images.

    Raises:
        ParamsError, ArtifactError: there is no such project, stage, split or artifact, or it is damaged.
        ImportError: xarray is not installed (`pip install 'usseg[notebooks]'`).
    """
    from usseg.results.notebook import open_dataset

    return open_dataset(name, project)


def load(name: str, project: "str | PathLike[str]" = ".") -> Any:
    """Open an artifact of a project.

    Args:
        name: stage and split, such as `refine@val`.
        project: a folder of the project, or one below it.

    Returns:
        `usseg.pipeline.artifact.Artifact`: `artifact["eigenvalues"][:]` is an array, `artifact["maps"][i]` the map of image `i`, (height,
        width), and `artifact.params` what made it.

    Raises:
        ParamsError, ArtifactError: there is no such project, stage, split or artifact, or it is damaged.
    """
    from usseg.results.notebook import load_artifact

    return load_artifact(name, project)


def run(project: "str | PathLike[str]" = ".", *, device: str = "auto", workers: int = 0) -> None:
    """Run the whole chain of a project, as `usseg run` does; what is up to date is not run again.

    Args:
        project: a folder of the project, or one below it.
        device: auto, cpu, cuda or cuda:N.
        workers: processes; 0: one a core, or one where a stage runs on a GPU.

    Raises:
        ParamsError, ArtifactError, ImageError: the user's mistakes, each one line.
    """
    from usseg.results.notebook import run_whole_chain

    run_whole_chain(project, device=device, workers=workers)
