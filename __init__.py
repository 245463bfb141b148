"""Unlabelled images to semantic segmentations: a staged, cached, resumable pipeline.

The names in `__all__` are stable between versions. Everything else in the package may change.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["load", "open", "run"]


def open(name: str, project: "str | PathLike[str]" = ".") -> Any:
    """Open an artifact of a project as an xarray dataset. An array is read when it is used.

    Args:
        name: stage and split, such as `refine@val`.
        project: the project folder, or a folder below it.

    Returns:
        `xarray.Dataset`. Its dimensions are the axes of the arrays, and the coordinates of `image` are the image ids.
        Strings are decoded. `attrs` holds stage, split, params and content digest. Ragged arrays of pixels are flat, as
        they are stored; use `load` for the maps of single images.

    Raises:
        ParamsError, ArtifactError: the project, stage, split or artifact does not exist, or is damaged.
        ImportError: xarray is not installed (`pip install 'usseg[notebooks]'`).
    """
    from usseg.results.notebook import open_dataset

    return open_dataset(name, project)


def load(
    name: "str | PathLike[str]",
    project: "str | PathLike[str]" = ".",
    *,
    weights: "str | PathLike[str] | None" = None,
) -> Any:
    """Open what usseg has written: an artifact of a project, or a file of `usseg save`.

    Args:
        name: stage and split, such as `refine@val`; or the path of a file that ends with `.usseg`.
        project: the project folder of the artifact, or a folder below it. A file needs no project.
        weights: the file of the weights that a saved project needs; None: where its params name it, relative paths
            next to the file. An artifact needs none.

    Returns:
        For an artifact, `usseg.pipeline.artifact.Artifact`. For example, `artifact["eigenvalues"][:]` is an array,
        `artifact["maps"][i]` is the map of image `i` (height, width), and `artifact.params` are the params that it was
        made with. For a file, `usseg.results.fitted_project.FittedProject`: `labels, scores = fitted.segment(image)`
        segments an image file or an array, and `fitted.names` are the names of the labels.

    Raises:
        ParamsError, ArtifactError: the project, stage, split, artifact or file does not exist, or is damaged.
        WeightsError: the weights that a saved project needs are missing, or are other ones.
    """
    from usseg.results.notebook import load_anything

    return load_anything(name, project, weights=weights)


def run(project: "str | PathLike[str]" = ".", *, device: str = "auto", workers: int = 0) -> None:
    """Run the whole chain of a project, as `usseg run` does. Current artifacts are not computed again.

    Args:
        project: the project folder, or a folder below it.
        device: auto, cpu, cuda or cuda:N.
        workers: number of processes. 0: one for each core; 1 for a stage that runs on a GPU.

    Raises:
        ParamsError, ArtifactError, ImageError: a mistake of the user, on one line.
    """
    from usseg.results.notebook import run_whole_chain

    run_whole_chain(project, device=device, workers=workers)
