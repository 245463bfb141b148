"""What a run depends on and how it came about: the key that decides whether an artifact is current, and its sidecar."""

import functools
import hashlib
import json
import os
import shutil
from pathlib import Path

from pipeline.artifact import Artifact, content_digest, open_artifact
from pipeline.errors import ArtifactError
from pipeline.images import file_checksum
from pipeline.inputs import input_artifacts
from pipeline.params import Params
from pipeline.stage import Inputs, Stage

NOTE = "run.json"  # the sidecar while it waits in the partial folder for its artifact to be published


@functools.cache
def code_digest(module: str) -> str:
    """SHA-256 over the sources of a stage's folder and of the plumbing."""
    digest = hashlib.sha256()
    folders = [Path(__file__).parent]
    spec = __import__(module, fromlist=["__file__"])
    folders.append(Path(str(spec.__file__)).parent)
    for folder in folders:
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def images_digest(index: Artifact) -> str:
    """The part of an index that is about images; dvc.yaml depends on the same arrays."""
    return "".join(content_digest(index.path / name) for name in ("id", "checksum"))


def run_key(stage: Stage, params: Params, split: str, inputs: Inputs) -> str:
    """What a run depends on, as one digest: params, inputs, schema and code."""
    labels = any(item.labels for item in stage.inputs)
    parts = {
        "stage": stage.name,
        "version": stage.version,
        "split": split,
        "params": params.model_dump(mode="json"),
        "inputs": {
            name: artifact.attrs["content"] if labels or not name.startswith("index@") else images_digest(artifact)
            for name, artifact in input_artifacts(inputs).items()
        },
        "labels": {key: inputs.index_params.get(key) for key in ("classes", "label_values", "ignore")}
        if labels
        else {},
        "files": [file_checksum(path) for name in stage.files(params) if (path := inputs.project / name).is_file()],
        "code": code_digest(stage.run.__module__),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def sidecar_path(target: Path) -> Path:
    """The provenance of a run: beside the artifact, not tracked by DVC, free to hold times."""
    return target.with_suffix(".run.json")


def is_current(target: Path, key: str, project: Path) -> bool:
    """Whether the artifact was made by a run with this key, and its files still stand."""
    try:
        sidecar = json.loads(sidecar_path(target).read_text(encoding="utf-8"))
        artifact = open_artifact(target)
    except (OSError, ValueError, ArtifactError):
        return False
    if sidecar["key"] != key or sidecar["content"] != artifact.attrs["content"]:
        return False
    # The index reads files that no digest of an input covers.
    return artifact.attrs["stage"] != "index" and all((project / name).exists() for name in sidecar["files"])


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
    os.replace(folder / NOTE, sidecar_path(target))
    shutil.rmtree(folder)
