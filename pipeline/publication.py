"""Publication of an artifact: its digests, its attributes, and the rename that makes it visible."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usseg.pipeline.artifact import GROUP
from usseg.pipeline.disk import remove, sync, write_file


def array_files(folder: Path) -> dict[str, Path]:
    """The files of all arrays by their path below the artifact, sorted. Hidden files do not belong to an artifact."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    hidden = {name for name in files if any(part.startswith(".") for part in name.split("/"))}
    return {name: files[name] for name in sorted(files.keys() - hidden - {GROUP})}


def content_digest(files: Mapping[str, str]) -> str:
    """SHA-256 over the names and contents of array files. `files` maps each name to the SHA-256 of its content."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + bytes.fromhex(files[name]))
    return digest.hexdigest()


def attributes_digest(attrs: Mapping[str, Any]) -> str:
    """SHA-256 over all attributes except `digest`."""
    named = {name: value for name, value in attrs.items() if name != "digest"}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def seal(folder: Path, attrs: Mapping[str, Any]) -> str:
    """Write the attributes of a group, with the digests of its files, and flush all of it to the disk.

    Returns:
        The content digest of the artifact.
    """
    for stray in [*folder.rglob("*.partial"), *folder.rglob(".*.new")]:  # of writes that were killed
        stray.unlink()
    files = {}
    for name, path in array_files(folder).items():
        with path.open("rb") as stream:
            files[name] = hashlib.file_digest(stream, "sha256").hexdigest()
    whole = {**attrs, "files": files, "content": content_digest(files)}
    whole["digest"] = attributes_digest(whole)
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"usseg": whole}}
    write_file(folder / GROUP, json.dumps(group, indent=1).encode())
    sync(folder)
    return str(whole["content"])


def publish(folder: Path, target: Path) -> None:
    """Move a sealed group to `target` by rename.

    If the process is killed between two renames, `recover` repairs this.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    old = replaced_path(target)
    if os.path.lexists(target):
        os.rename(target, old)
    os.rename(folder, target)
    sync(target.parent, deep=False)
    remove(old)


def replaced_path(target: Path) -> Path:
    """Path to which the old artifact is moved while the new one is published."""
    return target.with_name(f".{target.name}.old")


def recover(target: Path) -> None:
    """Clean up after a publication that was killed.

    The old artifact returns if the new one is not in its place; otherwise the old one is removed. Half-written and
    half-removed files next to the artifact are removed too.
    """
    old = replaced_path(target)
    if os.path.lexists(old) and not os.path.lexists(target):
        os.rename(old, target)
    for left in [old, *target.parent.glob(f".{target.stem}.*.dropped")]:
        remove(left)
    for stray in target.parent.glob(f"..{target.stem}.*.new"):
        stray.unlink(missing_ok=True)
