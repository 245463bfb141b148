"""Provenance of an artifact: the cache key that decides whether it is current, and its sidecar file."""

import hashlib
import importlib.metadata
import json
import logging
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usseg.pipeline.artifact import Artifact, artifact_path, open_artifact
from usseg.pipeline.disk import drop, remove, sync
from usseg.pipeline.errors import ArtifactError, WorkersError
from usseg.pipeline.files import file_checksum
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.integrity import verify_artifact
from usseg.pipeline.opening import input_artifacts, open_inputs
from usseg.pipeline.plan import code_digest, plan_of
from usseg.pipeline.project import Project, Table
from usseg.pipeline.publication import content_digest

log = logging.getLogger("usseg")
NOTE = "run.json"  # the sidecar in the partial folder, until the artifact is published


def software(stages: Table) -> dict[str, str]:
    """Software that decides the bytes of a block: versions of numpy and torch, digests of the code of usseg."""
    modules = {"pipeline": "usseg.pipeline.provenance"} | {
        f"stages/{s.name}": s.run.__module__ for s in stages.values()
    }
    modules |= {f"stages/{package}": f"usseg.stages.{package}" for s in stages.values() for package in s.shares}
    versions = {package: importlib.metadata.version(package) for package in ("numpy", "torch")}
    return versions | {f"code of {folder}": code_digest(module)[:12] for folder, module in modules.items()}


def refuse_other_software(wanted: Mapping[str, str], installed: Mapping[str, str]) -> None:
    """Refuse to compute on a worker whose software differs from that of the command.

    Args:
        wanted: `software` of the command.
        installed: `software` of the worker.

    Raises:
        WorkersError: names the first difference and the worker's machine.
    """
    for name in sorted(set(wanted) | set(installed)):
        if wanted.get(name) != installed.get(name):
            raise WorkersError(
                f"the worker on {socket.gethostname()} has {name} {installed.get(name)}, "
                f"this command has {wanted.get(name)}; "
                "install the same usseg, numpy and torch everywhere, and start the workers anew"
            )


def images_digest(index: Artifact) -> str:
    """Digest of the arrays of an index that describe images. dvc.yaml depends on the same arrays."""
    files = index.attrs["files"]
    return content_digest({name: files[name] for name in files if name.startswith(("id/", "checksum/"))})


def run_key(project: Project, name: str, split: str, inputs: Inputs) -> str:
    """Cache key of a run: SHA-256 over its plan and its inputs."""
    labels = any(item.labels for item in project.reads(name))
    digests = {key: input_digest(artifact, labels=labels) for key, artifact in input_artifacts(inputs).items()}
    parts = {"plan": plan_of(project, name, split), "inputs": digests}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def input_digest(artifact: Artifact, *, labels: bool) -> Any:
    """The part of an input that a stage can see: arrays and params. Without `labels`, an index has only its images."""
    if artifact.attrs["stage"] == "index" and not labels:
        return images_digest(artifact)
    return artifact.attrs["content"], artifact.params


def sidecar_path(target: Path) -> Path:
    """Path of the sidecar. DVC does not track it, so it may hold times."""
    return target.with_suffix(".run.json")


def refuse_other_run(project: Project, name: str, split: str) -> None:
    """Refuse an artifact whose sidecar says that it was made with other params, code or inputs than the present ones.

    An artifact without a sidecar, such as one that `dvc pull` brought, cannot be compared.

    Raises:
        ArtifactError: the artifact is not of the present params, code and inputs.
    """
    target = artifact_path(project.root, name, split)
    try:
        made_by = json.loads(sidecar_path(target).read_text(encoding="utf-8"))["key"]
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, LookupError):
        made_by = None
    if made_by != run_key(project, name, split, open_inputs(project, name, split)):
        raise ArtifactError(
            f"{name}@{split} is not of the present params, code and inputs; run: usseg run, or dvc repro"
        )


def is_current(target: Path, key: str, project: Path) -> bool:
    """Whether the artifact was made with this cache key, and its bytes and its other files are unchanged."""
    try:
        sidecar = json.loads(sidecar_path(target).read_text(encoding="utf-8"))
        made_by, content, files = sidecar["key"], sidecar["content"], dict(sidecar["files"])
        folders = dict(sidecar.get("folders", {}))
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
    changed = [name for name in folders if folder_digest(project / name) != folders[name]]
    changed += [
        name for name in files if not (project / name).is_file() or file_checksum(project / name) != files[name]
    ]
    if changed:
        log.warning("%s is missing or has been changed; making it anew", project / changed[0])
    # An index is never current: it reads files that no digest of an input covers.
    return artifact.attrs["stage"] != "index" and not changed


def folder_digest(folder: Path) -> str:
    """SHA-256 over the paths and contents of all files below a folder; that of no file if there is no folder."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return content_digest({name: file_checksum(path) for name, path in files.items()})


def settle(folder: Path, target: Path, project: Path) -> None:
    """Move the other files and folders of a run, then its sidecar, out of the partial folder.

    It does nothing before the artifact is published. The next run calls it again, in case the process was killed in
    between.
    """
    if not (folder / NOTE).exists() or (folder / "data").exists():
        return
    note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    for path in note.get("folders", {}):
        if (folder / "files" / path).exists():
            former, kept = project / path, folder / "former" / path
            if former.exists():
                kept.parent.mkdir(parents=True, exist_ok=True)
                remove(kept)
                os.rename(former, kept)
            former.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folder / "files" / path, former)
            sync(former.parent, deep=False)
    for path in note["files"]:
        if (folder / "files" / path).exists():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(folder / "files" / path, project / path)
            sync((project / path).parent, deep=False)
    os.replace(folder / NOTE, sidecar_path(target))
    sync(target.parent, deep=False)
    drop(folder)
