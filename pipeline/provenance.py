"""What a run depends on and how it came about: the key that decides whether an artifact is current, and its sidecar."""

import functools
import hashlib
import importlib.metadata
import json
import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usseg.pipeline.artifact import Artifact, content_digest, drop, open_artifact, sync
from usseg.pipeline.errors import ArtifactError, WorkersError
from usseg.pipeline.format import FORMAT
from usseg.pipeline.images import file_checksum
from usseg.pipeline.inputs import Table, input_artifacts
from usseg.pipeline.integrity import verify_artifact
from usseg.pipeline.params import parse_section
from usseg.pipeline.stage import Inputs, Stage

log = logging.getLogger("usseg")
SOURCES = (".py", ".j2")  # suffixes of what a stage's folder may hold
NOTE = "run.json"  # the sidecar while it waits in the partial folder for its artifact to be published


@functools.cache
def code_digest(module: str) -> str:
    """SHA-256 over the sources of the folder that a module stands in: what `.dvcignore` leaves of it for DVC."""
    folder = Path(str(__import__(module, fromlist=["__file__"]).__file__)).parent
    digest = hashlib.sha256()
    for path in sources(folder):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def software(stages: Table) -> dict[str, str]:
    """What decides the bytes of a block on a worker: versions of numpy and torch, digests of the code of usseg."""
    modules = {"pipeline": "usseg.pipeline.provenance"} | {
        f"stages/{s.name}": s.run.__module__ for s in stages.values()
    }
    versions = {package: importlib.metadata.version(package) for package in ("numpy", "torch")}
    return versions | {f"code of {folder}": code_digest(module)[:12] for folder, module in modules.items()}


def refuse_other_software(wanted: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Refuse to compute on a worker what would be published as the command's own.

    Raises:
        WorkersError: names the first difference and the worker's machine.
    """
    for name in sorted(set(wanted) | set(found)):
        if wanted.get(name) != found.get(name):
            raise WorkersError(
                f"the worker on {socket.gethostname()} has {name} {found.get(name)}, this command has {wanted.get(name)}; "
                "install the same usseg, numpy and torch everywhere, and start the workers anew"
            )


def sources(folder: Path) -> list[Path]:
    """The files of a stage's folder that can change a result, sorted; no caches, and no backups of an editor."""
    found = (path for path in folder.rglob("*") if path.suffix in SOURCES and path.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def images_digest(index: Artifact) -> str:
    """The part of an index that is about images; dvc.yaml depends on the same arrays."""
    files = index.attrs["files"]
    return content_digest({name: files[name] for name in files if name.startswith(("id/", "checksum/"))})


def run_key(stages: Table, stage: Stage, split: str, inputs: Inputs, content: Mapping[str, Any]) -> str:
    """What a run depends on, as one digest.

    That is: params, inputs and the params that made them, the files that params name, the stage's schema and code, the code of the
    stages whose functions it may call, and `FORMAT` for the plumbing.
    """
    params = parse_section(content, stage.name, stage.params)
    called = [stages[item.stage] for item in stage.inputs if item.calls]
    opened = [stage, *(one for one in called if one.name in inputs.artifacts)]
    named = [name for one in opened for name in one.files(parse_section(content, one.name, one.params))]
    labels = any(item.labels for item in stage.inputs)
    parts = {
        "format": FORMAT,
        "stage": stage.name,
        "version": stage.version,
        "split": split,
        "params": params.model_dump(mode="json"),
        "inputs": {name: input_digest(artifact, labels=labels) for name, artifact in input_artifacts(inputs).items()},
        "labels": {key: inputs.index_params.get(key) for key in ("classes", "label_values", "ignore")}
        if labels
        else {},
        "files": [file_checksum(path) for name in named if (path := inputs.project / name).is_file()],
        "code": {one.name: code_digest(one.run.__module__) for one in (stage, *called)},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def input_digest(artifact: Artifact, *, labels: bool) -> Any:
    """What a stage can see of an input: arrays and params; of the index without `labels` the images only."""
    if artifact.attrs["stage"] == "index" and not labels:
        return images_digest(artifact)
    return artifact.attrs["content"], artifact.params


def sidecar_path(target: Path) -> Path:
    """The provenance of a run: beside the artifact, not tracked by DVC, free to hold times."""
    return target.with_suffix(".run.json")


def is_current(target: Path, key: str, project: Path) -> bool:
    """Whether the artifact was made by a run with this key, and all of its bytes and files still stand."""
    try:
        sidecar = json.loads(sidecar_path(target).read_text(encoding="utf-8"))
        made_by, content, files = sidecar["key"], sidecar["content"], dict(sidecar["files"])
    except (OSError, ValueError, TypeError, LookupError):
        return False
    if made_by != key or not target.exists():
        return False
    try:
        artifact = open_artifact(target, remedy="making it anew")
        if artifact.attrs["content"] != content:
            return False
        verify_artifact(target, remedy="making it anew")
    except ArtifactError as error:
        log.warning("%s", error)
        return False
    changed = [name for name in files if not (project / name).is_file() or file_checksum(project / name) != files[name]]
    if changed:
        log.warning("%s is missing or has been changed; making it anew", project / changed[0])
    # The index reads files that no digest of an input covers.
    return artifact.attrs["stage"] != "index" and not changed


def settle(folder: Path, target: Path, project: Path) -> None:
    """Bring in what waits in the partial folder of a run whose artifact is published: its other files, then its sidecar.

    Called again where a run was killed at this point.
    """
    if not (folder / NOTE).exists() or (folder / "data").exists():
        return
    for path in json.loads((folder / NOTE).read_text(encoding="utf-8"))["files"]:
        if (folder / "files" / path).exists():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(folder / "files" / path, project / path)
            sync((project / path).parent, deep=False)
    os.replace(folder / NOTE, sidecar_path(target))
    sync(target.parent, deep=False)
    drop(folder)
