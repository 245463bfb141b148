"""Whether the bytes of a published artifact are those that were written."""

import json
import logging
from pathlib import Path
from typing import Any

from usseg.pipeline.artifact import GROUP, REMEDY, Artifact, open_artifact
from usseg.pipeline.disk import write_file
from usseg.pipeline.errors import ArtifactError
from usseg.pipeline.images import file_checksum
from usseg.pipeline.publication import array_files, attributes_digest

log = logging.getLogger("usseg")
State = tuple[int, int, str]  # of a file: size, time of change in nanoseconds, and the digest that it had then


def verify_artifact(path: Path, *, remedy: str = REMEDY) -> Artifact:
    """Open an artifact and compare every file with its digest.

    A file that has the size and time of the last comparison is not read again.

    Raises:
        ArtifactError: names the artifact and the first file that is missing, other or too many.
    """
    artifact = open_artifact(path, remedy=remedy)
    if attributes_digest(artifact.attrs) != artifact.attrs["digest"]:
        raise ArtifactError(f"{path}: {GROUP} has been changed since it was written; {remedy}")
    recorded, files, known = artifact.attrs["files"], array_files(path), verified_before(path)
    found: dict[str, State] = {}
    for name in sorted(recorded.keys() | files.keys()):
        if name not in files:
            raise ArtifactError(f"{path}: {name} is missing; {remedy}")
        if name not in recorded:
            raise ArtifactError(f"{path}: {name} is no part of it; {remedy}")
        found[name] = state_of(files[name], recorded[name])
        if known.get(name) != found[name] and file_checksum(files[name]) != recorded[name]:
            raise ArtifactError(f"{path}: {name} has been changed since it was written; {remedy}")
    if found != known:
        remember(path, found)
    return artifact


def remember_written(path: Path) -> None:
    """Note that the files of an artifact are as they were written a moment ago."""
    recorded = open_artifact(path).attrs["files"]
    remember(path, {name: state_of(file, recorded[name]) for name, file in array_files(path).items()})


def state_of(file: Path, digest: str) -> State:
    """What is remembered of a file with that digest."""
    state = file.stat()
    return state.st_size, state.st_mtime_ns, digest


def memory_path(path: Path) -> Path:
    """Beside the artifact, so that it outlives a checkout by DVC, which does not track it."""
    return path.with_name(f".{path.stem}.verified.run.json")


def verified_before(path: Path) -> dict[str, State]:
    """What is remembered of the files of an artifact; nothing where that cannot be read."""
    try:
        content: Any = json.loads(memory_path(path).read_text(encoding="utf-8"))
        return {name: (int(state[0]), int(state[1]), str(state[2])) for name, state in content.items()}
    except (OSError, ValueError, TypeError, AttributeError, LookupError):
        return {}


def remember(path: Path, found: dict[str, State]) -> None:
    """Keep what was compared."""
    try:
        write_file(memory_path(path), json.dumps(found).encode())
    except FileNotFoundError:  # another process keeps the same at the same time
        return
    except OSError as error:
        log.info("%s: its bytes are compared again next time: %s", path, error)
