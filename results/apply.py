"""Segment new photos with a saved project: `usseg apply`. Nothing is fitted again.

The work is done in the folder `.usseg-apply` of the masks, which is a project with the new photos. It is removed at
the end. If the command is killed, the same command continues there: a finished artifact, and a finished block of an
unfinished one, is not computed again. With another file or other photos the cache keys differ, and it begins anew.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from usseg.pipeline.artifact import artifact_path, open_artifact
from usseg.pipeline.chain import Display
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.execution import Execution
from usseg.pipeline.project import INDEX, Project
from usseg.pipeline.runner import locked, run_stage
from usseg.results.applied_stages import applied_stages
from usseg.results.export.writing import Request, check_request, export_masks
from usseg.results.init import account_of
from usseg.results.project_file import ProjectFile, read_project_file
from usseg.results.saved_project import check_network, new_split, unpacked, warn_of_other_code
from usseg.stages import STAGES
from usseg.stages.index.listing import files_of

READER = "usseg apply"
FOLDER = ".usseg-apply"  # below the folder of the masks


@dataclass(frozen=True)
class Application:
    """What the user asks for.

    Attributes:
        file: a file of `usseg save`.
        photos: the folder of the new photos; every photo below it is taken.
        request: formats, folder and options of the masks. The split is ignored.
        weights: the file of the weights; None: where the params name it.
        keep: whether the working folder stays.
    """

    file: Path
    photos: Path
    request: Request
    weights: Path | None = None
    keep: bool = False


def apply_project(wanted: Application, execution: Execution, *, display: Display | None = None) -> Iterator[str]:
    """Segment new photos and write their masks.

    Args:
        wanted: what the user asks for.
        execution: how to run.
        display: shows the progress of a stage; see `run_chain`.

    Yields:
        Lines for the user: the photos that were found and left out, and what was written.

    Raises:
        ParamsError: the folders, formats or options cannot be used, or a method is not installed.
        ArtifactError: the file cannot be used.
        WeightsError: the weights are missing, or are other ones.
        ImageError: no photo can be read. Except for this last error, nothing has been written then.
    """
    file = read_project_file(wanted.file, STAGES)
    out, photos = wanted.request.out.resolve(), wanted.photos.expanduser().resolve()
    check_folders(out, photos)
    with TemporaryDirectory() as trial:  # everything that can be refused is refused before the first write
        project = unpacked(file, Path(trial) / "project", photos, reader=READER, weights=wanted.weights)
        check_masks(file, project, wanted.request)
        found = list(account_of(project, new_split(project)))
        warn_of_other_code(file, project)
        check_network(file, project)
    yield from found
    folder = out / FOLDER
    with locked(folder / "apply"):
        project = unpacked(file, folder, photos, reader=READER, weights=wanted.weights)
        split = new_split(project)
        names = applied_stages(project).applied
        for number, name in enumerate(names, 1):
            if display is None:
                run_stage(project, name, split, execution)
                continue
            with display(f"{number} of {len(names)}: {name}") as progress:
                run_stage(project, name, split, replace(execution, progress=progress))
        count = open_artifact(artifact_path(folder, INDEX, split)).num_images
        request = replace(wanted.request, split=split, out=out)
        left = len(files_of(photos, ".", "photos").files) - count
        yield f"{count} photos are segmented" + (f", {left} left out, because they cannot be read" if left else "")
        yield from export_masks(project, request)
        if not wanted.keep:
            shutil.rmtree(folder)
    if wanted.keep:
        yield f"kept: {folder}, a project with the new photos"


def check_folders(out: Path, photos: Path) -> None:
    """Refuse a folder of photos that does not exist, and masks in a place where they could be taken for photos.

    Raises:
        ParamsError: names the folder.
    """
    if not photos.is_dir():
        raise ParamsError(f"no folder {photos}; name the folder of the new photos")
    if out.is_relative_to(photos):
        raise ParamsError(f"--out: {out} is inside the folder of the photos; choose another")
    existing = next(above for above in (out, *out.parents) if above.exists())
    if not existing.is_dir():
        raise ParamsError(f"--out: {existing} is a file; name a folder")


def check_masks(file: ProjectFile, project: Project, request: Request) -> None:
    """Refuse formats and classes that the project does not have.

    Raises:
        ParamsError: names the option, or says why the result has no masks with names.
    """
    try:
        check_request(project, request)
    except ParamsError as error:
        if applied_stages(project).fitted and "cluster" in applied_stages(project).fitted:
            raise
        raise ParamsError(
            f"{file.path}: {error}; in Python, usseg.load({str(file.path)!r}).segment(image) gives the map"
        ) from None
