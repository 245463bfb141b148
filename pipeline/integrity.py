"""Integrity of published artifacts: the bytes on disk are compared with the recorded digests."""

import json
import logging
from pathlib import Path
from typing import Any

from usseg.pipeline.artifact import GROUP, REMEDY, Artifact, open_artifact
from usseg.pipeline.disk import write_file
from usseg.pipeline.errors import ArtifactError
from usseg.pipeline.files import file_checksum
from usseg.pipeline.publication import array_files, attributes_digest

log = logging.getLogger("usseg")
State = tuple[int, int, str]  # of a file: bytes, time of change in nanoseconds, SHA-256


def verify_artifact(path: Path, *, remedy: str = REMEDY) -> Artifact:
    """Open an artifact and compare every file with its digest.

    A file is not read again if its size and its time of change are those of the last comparison.

    Raises:
        ArtifactError: a file is missing, changed, or does not belong to the artifact.
    """
    artifact = open_artifact(path, remedy=remedy)
    if attributes_digest(artifact.attrs) != artifact.attrs["digest"]:
        raise ArtifactError(f"{path}: {GROUP} has been changed since it was written; {remedy}")
    recorded, files, known = artifact.attrs["files"], array_files(path), verified_before(path)
    states: dict[str, State] = {}
    for name in sorted(recorded.keys() | files.keys()):
        if name not in files:
            raise ArtifactError(f"{path}: {name} is missing; {remedy}")
        if name not in recorded:
            raise ArtifactError(f"{path}: {name} is no part of it; {remedy}")
        states[name] = state_of(files[name], recorded[name])
        if known.get(name) != states[name] and file_checksum(files[name]) != recorded[name]:
            raise ArtifactError(f"{path}: {name} has been changed since it was written; {remedy}")
    if states != known:
        remember(path, states)
    return artifact


def remember_written(path: Path) -> None:
    """Record the state of the files of an artifact that has just been written."""
    recorded = open_artifact(path).attrs["files"]
    remember(path, {name: state_of(file, recorded[name]) for name, file in array_files(path).items()})


def state_of(file: Path, digest: str) -> State:
    """The state of a file with a known digest."""
    state = file.stat()
    return state.st_size, state.st_mtime_ns, digest


def memory_path(path: Path) -> Path:
    """Path of the recorded states: next to the artifact, because a checkout by DVC replaces the artifact itself."""
    return path.with_name(f".{path.stem}.verified.run.json")


def verified_before(path: Path) -> dict[str, State]:
    """The recorded states of the files of an artifact; empty if the record cannot be read."""
    try:
        content: Any = json.loads(memory_path(path).read_text(encoding="utf-8"))
        return {name: (int(state[0]), int(state[1]), str(state[2])) for name, state in content.items()}
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return {}


def remember(path: Path, states: dict[str, State]) -> None:
    """Write the states of the compared files."""
    try:
        write_file(memory_path(path), json.dumps(states).encode())
    except FileNotFoundError:  # another process writes the same record at the same time
        return
    except OSError as error:
        log.info("%s: its bytes are compared again next time: %s", path, error)
