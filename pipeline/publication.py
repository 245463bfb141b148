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
    """The files of all arrays, by their path below the artifact, sorted. Hidden files are no part of an artifact."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    hidden = {name for name in found if any(part.startswith(".") for part in name.split("/"))}
    return {name: found[name] for name in sorted(found.keys() - hidden - {GROUP})}


def content_digest(files: Mapping[str, str]) -> str:
    """SHA-256 over names and contents of array files, which are given by their digests."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + bytes.fromhex(files[name]))
    return digest.hexdigest()


def attributes_digest(attrs: Mapping[str, Any]) -> str:
    """SHA-256 over all attributes but itself."""
    named = {name: value for name, value in attrs.items() if name != "digest"}
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()


def seal(folder: Path, attrs: Mapping[str, Any]) -> str:
    """Complete the group in `folder` with the digests of all files, and bring all to the disk; returns its content digest."""
    for stray in [*folder.rglob("*.partial"), *folder.rglob(".*.new")]:  # left by writes that were killed
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
    """Move a sealed group to `target` by rename. Killed in between, `recover` ends it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    old = replaced_path(target)
    if os.path.lexists(target):
        os.rename(target, old)
    os.rename(folder, target)
    sync(target.parent, deep=False)
    remove(old)


def replaced_path(target: Path) -> Path:
    """Where an artifact stands while another takes its place."""
    return target.with_name(f".{target.name}.old")


def recover(target: Path) -> None:
    """Bring back the artifact of a publication that was killed, or remove what it replaced; and half-written files beside it."""
    old = replaced_path(target)
    if os.path.lexists(old) and not os.path.lexists(target):
        os.rename(old, target)
    for left in [old, *target.parent.glob(f".{target.stem}.*.dropped")]:
        remove(left)
    for stray in target.parent.glob(f"..{target.stem}.*.new"):
        stray.unlink(missing_ok=True)
