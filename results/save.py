"""Write a finished project into one portable file: `usseg save`. The file holds no image and no weights of a backbone.

`results/project_file.py` has the form of the file, `results/apply.py` uses it.
"""

import shlex
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from usseg.pipeline.artifact import artifact_path
from usseg.pipeline.errors import ParamsError, WeightsError
from usseg.pipeline.files import file_checksum
from usseg.pipeline.format import FORMAT
from usseg.pipeline.integrity import verify_artifact
from usseg.pipeline.opening import open_checked, remedy_for
from usseg.pipeline.plan import code_of
from usseg.pipeline.project import Project
from usseg.pipeline.provenance import refuse_other_run
from usseg.pipeline.stage import Input
from usseg.results.applied_stages import applied_stages, finished_stages
from usseg.results.names import NAMES_FILE, clustering_of, read_names
from usseg.results.project_file import (
    LAYOUT,
    NAMES,
    SUFFIX,
    Manifest,
    WeightsFile,
    member_files,
    write_project_file,
)
from usseg.stages.features.backbone_cache import network_digest

READER = "usseg save"


def save_project(project: Project, path: Path) -> Iterator[str]:
    """Write the params, the fitted artifacts and the names of a project into one file.

    Args:
        project: the project. Its result of the fit split is up to date.
        path: the file; its name ends with `.usseg`. A file with this name is replaced.

    Yields:
        Lines for the user: what was written, the weights that are not in the file, and the next step.

    Raises:
        ParamsError: the path cannot be used, or names.yaml cannot be used.
        ArtifactError: a stage has not been run, or its artifact is damaged or not of the present params and inputs.
        WeightsError: weights that the params name are missing, or the backbone cannot be loaded.
    """
    if path.suffix != SUFFIX or path.is_dir():
        raise ParamsError(f"found {path}; a file whose name ends with {SUFFIX} is needed, such as meadow{SUFFIX}")
    for name in finished_stages(project):
        open_checked(project, READER, Input(name), project.fit_split)
        refuse_other_run(project, name, project.fit_split)
    stages, members = applied_stages(project), dict[str, bytes]()
    for name in stages.fitted:
        artifact = artifact_path(project.root, name, project.fit_split)
        verify_artifact(artifact, remedy=remedy_for(name, project.fit_split))
        members |= member_files(project.root, artifact)
    named: Mapping[int, str] = {}
    if "cluster" in stages.fitted and (project.root / NAMES_FILE).exists():
        named = read_names(project.root, clustering_of(project, READER))
        members[NAMES] = (project.root / NAMES_FILE).read_bytes()
    manifest = manifest_of(project, (*stages.applied, *stages.fitted))
    size = write_project_file(path, manifest, members)
    parts = ["params", *(f"{name}@{project.fit_split}" for name in stages.fitted)]
    parts += [f"names of {len(named)} clusters"] if named else []
    yield f"{path}: {size:,} bytes: {', '.join(parts)}"
    for file in manifest.weights:
        yield f"not in it: the weights {file.path} ({file.size:,} bytes); another machine needs the same file"
    if manifest.network:
        yield f"not in it: the weights of {network_name(project)}; timm downloads them on another machine"
    yield f"next: usseg apply {shlex.quote(str(path))} FOLDER --out masks-new --format coco"


def manifest_of(project: Project, names: tuple[str, ...]) -> Manifest:
    """The manifest of a project, for the stages that are applied or whose artifacts are saved.

    Raises:
        WeightsError: weights are missing.
    """
    weights = [weights_file(project, path) for path in named_files(project, names)]
    code: dict[str, str] = {}
    for name in names:
        code |= code_of(project, name)
    return Manifest(
        layout=LAYOUT,
        usseg=version("usseg"),
        format=FORMAT,
        stages={name: project.stages[name].version for name in project.stages if name in names},
        code=code,
        params={name: params.model_dump(mode="json") for name, params in project.params.items()},
        weights=weights,
        network="" if weights else network_of(project),
        members={},
    )


def named_files(project: Project, names: tuple[str, ...]) -> list[str]:
    """The files that the params of these stages name, as they name them, without repetitions."""
    return list(dict.fromkeys(file for name in names for file in project.stages[name].files(project.params[name])))


def weights_file(project: Project, path: str) -> WeightsFile:
    """The checksum and the size of a file that params name.

    Raises:
        WeightsError: there is no such file.
    """
    file = project.root / path
    if not file.is_file():
        raise WeightsError(f"{READER}: no file {file}, which params.yaml names; put it there")
    return WeightsFile(path=path, sha256=file_checksum(file), size=file.stat().st_size)


def network_of(project: Project) -> str:
    """The digest of the weights that timm downloads; empty if the backbone has none.

    Raises:
        WeightsError: the backbone cannot be loaded.
    """
    return network_digest(project.params["features"].model_dump(mode="json"), project.root)


def network_name(project: Project) -> str:
    """The name of the network of the backbone, or the name of the backbone if it has only one network."""
    features: Any = project.params["features"]
    return str(getattr(features.options, "name", features.backbone))
