"""A project for new images, made from a file of `usseg save`: its params, its fitted artifacts and its names.

It needs neither the images of the saved project nor its other artifacts. A fitted artifact is an input like any other:
its params, its version and its bytes are compared, and nothing that it was fitted on is read.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from usseg.pipeline.artifact import Artifact, artifact_path
from usseg.pipeline.disk import remove, write_file
from usseg.pipeline.errors import ArtifactError, ParamsError, WeightsError, reason
from usseg.pipeline.files import file_checksum
from usseg.pipeline.integrity import verify_artifact
from usseg.pipeline.opening import open_checked
from usseg.pipeline.params import PARAMS_FILE
from usseg.pipeline.plan import code_of
from usseg.pipeline.project import INDEX, Project
from usseg.pipeline.stage import Input
from usseg.results.applied_stages import applied_stages
from usseg.results.derive import edited_params
from usseg.results.names import NAMES_FILE
from usseg.results.project_file import ARTIFACTS, NAMES, ProjectFile, WeightsFile, damaged
from usseg.results.save import network_name, network_of
from usseg.stages import STAGES

log = logging.getLogger("usseg")
LARGEST = 4 << 30  # bytes of an array; the weights of a network of a billion numbers


def new_split(project: Project) -> str:
    """The name of the split of the new images. It is not that of the fit split."""
    return "new" if project.fit_split != "new" else "photos"


def unpacked(file: ProjectFile, folder: Path, images: Path, *, reader: str, weights: Path | None = None) -> Project:
    """Make a project in a folder, or make it anew in the folder where it already is. Its other artifacts stay.

    The project has two splits: `new` with the new images, and the fit split, whose artifacts are those of the file.

    Args:
        file: the file.
        folder: the project folder; it is created if missing.
        images: the folder of the new images.
        reader: the command, for messages.
        weights: the file of the weights; None: where the params name it, relative paths next to the file.

    Raises:
        ParamsError: the params need a method that is not installed, or are damaged.
        ArtifactError: a fitted artifact is missing, damaged, or does not fit the params.
        WeightsError: the weights are missing, or are other ones.
    """
    try:
        saved = Project.of(STAGES, folder, file.manifest.params)
        fit = saved.index_params["splits"][saved.fit_split]
    except ParamsError as error:
        raise ParamsError(f"{file.path}: {error}") from None
    stages = applied_stages(saved)
    if set(file.manifest.stages) != {*stages.applied, *stages.fitted}:
        raise damaged(file.path, "its stages are not those that its params need")
    splits = {saved.fit_split: fit, new_split(saved): {"images": ".", "labels": None, "ids": None}}
    content = edited_params(saved, {INDEX: {"root": str(images.resolve()), "splits": splits, "on_error": "skip"}})
    places = {one.path: str(weights_place(file, one, weights)) for one in file.manifest.weights}
    for name in stages.applied:
        content[name] = content[name] if name == INDEX else replaced(content[name], places)
    project = Project.of(STAGES, folder, content)
    write_file(folder / PARAMS_FILE, json.dumps(content, indent=1).encode())  # JSON is YAML
    for stage in stages.fitted:
        remove(artifact_path(folder, stage, saved.fit_split))
    remove(folder / NAMES_FILE)
    allowed = tuple(f"{ARTIFACTS}/{stage}/{saved.fit_split}.zarr/" for stage in stages.fitted)
    for name, member in file.members.items():
        if name != NAMES and not name.startswith(allowed):
            raise damaged(file.path, f"{name!a} is no artifact that its params need")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(member)
    for stage in stages.fitted:
        try:
            verify_artifact(artifact_path(folder, stage, saved.fit_split))
            check_arrays(open_checked(project, reader, Input(stage), saved.fit_split))
        except ArtifactError as error:
            raise damaged(file.path, f"its artifact {stage}: {str(error).partition(';')[0]}") from None
    return project


def check_arrays(artifact: Artifact) -> None:
    """Read every array of a fitted artifact, which may come from a stranger.

    Raises:
        ArtifactError: an array cannot be read, declares more than LARGEST bytes, has another number of axes, or holds
            a number that is not finite.
    """
    import zarr

    for name, described in artifact.attrs["arrays"].items():
        try:
            array = zarr.open_array(str(artifact.path / name), mode="r")
            size = array.nbytes
            values = np.asarray(array[:]) if 0 <= size <= LARGEST else np.zeros(0)
        except Exception as error:  # zarr and its codecs raise many types
            raise ArtifactError(f"array {name} cannot be read ({reason(error)[:200]})") from None
        if not 0 <= size <= LARGEST:
            raise ArtifactError(f"array {name} declares {size:,} bytes, more than the {LARGEST:,} that are allowed")
        if values.ndim != len(described["axes"]) or values.dtype != described["dtype"]:
            raise ArtifactError(f"array {name} is {values.dtype} {values.shape}, not {described['dtype']}")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ArtifactError(f"array {name} holds numbers that are not finite")


def replaced(values: Any, places: Mapping[str, str]) -> Any:
    """The values of a section, with every string that is a key of `places` replaced by its value."""
    if isinstance(values, dict):
        return {key: replaced(value, places) for key, value in values.items()}
    if isinstance(values, list):
        return [replaced(value, places) for value in values]
    return places.get(values, values) if isinstance(values, str) else values


def weights_place(file: ProjectFile, wanted: WeightsFile, given: Path | None) -> Path:
    """The path of the weights on this machine.

    Args:
        file: the file that needs them.
        wanted: the path in the params, and the checksum.
        given: the file that the user names; None: the path in the params, relative to the folder of `file`.

    Raises:
        WeightsError: there is no such file, or its checksum is another.
    """
    place = (file.path.parent / wanted.path if given is None else given).resolve()
    needs = f"{file.path} needs the weights {wanted.path} (SHA-256 {wanted.sha256[:12]}, {wanted.size:,} bytes)"
    if not place.is_file():
        raise WeightsError(f"{needs}: no file {place}; copy it there, or name it with --weights")
    found = file_checksum(place)
    if found != wanted.sha256:
        raise WeightsError(f"{needs}: {place} has other ones (SHA-256 {found[:12]}); give the right ones by --weights")
    return place


def check_network(file: ProjectFile, project: Project) -> None:
    """Load the backbone if timm downloads its weights, and compare these with those of the saved project.

    Raises:
        WeightsError: the weights cannot be downloaded, or are other ones.
    """
    if file.manifest.network and (found := network_of(project)) != file.manifest.network:
        raise WeightsError(
            f"{file.path} needs other weights of {network_name(project)} than timm gives here (digest "
            f"{file.manifest.network[:12]}, found {found[:12]}); install the version of timm that the project was "
            "made with"
        )


def warn_of_other_code(file: ProjectFile, project: Project) -> None:
    """Log a line if the code of a stage is not that of the saved project: its masks may differ a little."""
    code: dict[str, str] = {}
    for name in file.manifest.stages:
        code |= code_of(project, name)
    other = sorted(name for name in code if code[name] != file.manifest.code.get(name))
    if other:
        log.warning(
            "%s: written by usseg %s, and the code of %s has changed since: new masks may differ from those that "
            "the project gave",
            *(file.path, file.manifest.usseg, ", ".join(other)),
        )
