"""The file of `usseg save`: a zip with a manifest, the fitted artifacts and the names of the clusters.

The members are not compressed, because the chunks of arrays are compressed already. They are sorted and have a fixed
time, so that equal projects give equal bytes. The manifest holds the SHA-256 of every other member. The comment of the
zip, the last 64 bytes of the file, is the SHA-256 of all bytes before it. A file is only read if everything fits.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from pydantic import BaseModel, ConfigDict, ValidationError

from usseg.pipeline.disk import write_file
from usseg.pipeline.errors import ArtifactError, UssegError, reason
from usseg.pipeline.files import check_regular
from usseg.pipeline.format import FORMAT
from usseg.pipeline.stage import Stage

SUFFIX = ".usseg"
MANIFEST, NAMES, ARTIFACTS = "manifest.json", "names.yaml", "artifacts"  # members
LAYOUT = 1  # raised when the manifest or the members change their form
START, DIGEST = b"PK\x03\x04", 64  # first bytes of a zip with members; characters of a SHA-256
TIME = (1980, 1, 1, 0, 0, 0)  # the earliest one that a zip can hold


class WeightsFile(BaseModel):
    """A file of weights that the project needs and that is not in the file.

    Attributes:
        path: as params name it; a relative path starts at the project folder.
        sha256: its SHA-256.
        size: bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    path: str
    sha256: str
    size: int


class Manifest(BaseModel):
    """The content of manifest.json.

    Attributes:
        kind: says what the file is.
        layout: LAYOUT.
        usseg: the version of usseg that wrote the file.
        format: its FORMAT.
        stages: the schema version of every stage that is applied, or whose artifact is in the file.
        code: digests of the code of these stages, by name, as in their plans.
        params: the params of every stage, complete.
        weights: the files of weights that params name.
        network: the digest of weights that timm downloads; empty if it downloads none.
        members: the SHA-256 of every other member.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    kind: Literal["saved project of usseg"] = "saved project of usseg"
    layout: int
    usseg: str
    format: int
    stages: dict[str, int]
    code: dict[str, str]
    params: dict[str, dict[str, Any]]
    weights: list[WeightsFile]
    network: str
    members: dict[str, str]


@dataclass(frozen=True)
class ProjectFile:
    """A file of `usseg save` that has been read and checked.

    Attributes:
        path: where it lies.
        manifest: its manifest.
        members: the content of every other member, by path below a project folder.
    """

    path: Path
    manifest: Manifest
    members: Mapping[str, bytes]


def sha256(content: bytes) -> str:
    """SHA-256 as hexadecimal text."""
    return hashlib.sha256(content).hexdigest()


def pack(manifest: Manifest, members: Mapping[str, bytes]) -> bytes:
    """The bytes of a file. `manifest.members` is replaced by the digests of the members."""
    complete = manifest.model_copy(update={"members": {name: sha256(members[name]) for name in sorted(members)}})
    text = json.dumps(complete.model_dump(), sort_keys=True, indent=1, ensure_ascii=False).encode()
    stream = io.BytesIO()
    with ZipFile(stream, "w", ZIP_STORED) as archive:
        for name, content in [(MANIFEST, text), *sorted(members.items())]:
            entry = ZipInfo(name, TIME)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # an ordinary file, on every system
            archive.writestr(entry, content)
        archive.comment = b"0" * DIGEST
    whole = stream.getvalue()[:-DIGEST]
    return whole + sha256(whole).encode()


def write_project_file(path: Path, manifest: Manifest, members: Mapping[str, bytes]) -> int:
    """Write a file atomically. Returns its number of bytes."""
    content = pack(manifest, members)
    write_file(path, content)
    return len(content)


def read_project_file(path: Path, stages: Mapping[str, Stage]) -> ProjectFile:
    """Read a file and check every byte of it.

    Args:
        path: the file.
        stages: the table of stages, whose versions are compared.

    Raises:
        ArtifactError: the file is missing, damaged, hostile, or of another FORMAT or stage version. One line.
    """
    content = whole_file(path)
    members = members_of(path, content)
    manifest = parsed_manifest(path, members.pop(MANIFEST, b""), stages)
    for name in sorted(manifest.members.keys() | members.keys()):
        if name not in members:
            raise damaged(path, f"{name} is missing")
        if name not in manifest.members:
            raise damaged(path, f"{name} is no part of it")
        if sha256(members[name]) != manifest.members[name]:
            raise damaged(path, f"{name} has been changed since it was written")
    return ProjectFile(path, manifest, members)


def damaged(path: Path, found: str) -> ArtifactError:
    """The error for a file whose content does not fit."""
    return ArtifactError(f"{path}: {found}; copy the file again, or write it again with usseg save")


def whole_file(path: Path) -> bytes:
    """The bytes of a file whose last 64 bytes are the digest of the others.

    Raises:
        ArtifactError: the file is missing or unreadable, is no zip, or the digest is another.
    """
    try:
        check_regular(path)
        with path.open("rb") as stream:
            head = stream.read(len(START))
            content = head + (stream.read() if head == START else b"")  # another file may be large
    except UssegError as error:
        raise ArtifactError(str(error)) from None
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}; make the file readable") from None
    check_bytes(path, content)
    return content


def check_bytes(path: Path, content: bytes) -> None:
    """Refuse the content of a file that is no zip, or whose last 64 bytes are not the digest of the others.

    Raises:
        ArtifactError: one line with the path.
    """
    if not content.startswith(START):
        raise ArtifactError(f"{path} is no file of usseg save; name one that usseg save wrote")
    if sha256(content[:-DIGEST]).encode() != content[-DIGEST:]:
        raise damaged(path, "not the bytes that usseg save wrote: the copy is incomplete, or the file was changed")


def members_of(path: Path, content: bytes) -> dict[str, bytes]:
    """The members of a zip, by name.

    Raises:
        ArtifactError: the zip cannot be read, a member is compressed or encrypted, the members have more bytes than
            the file, or a name leads out of the folder, is strange or occurs twice.
    """
    members: dict[str, bytes] = {}
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if sum(max(0, entry.file_size) for entry in entries) > len(content):
                raise damaged(path, "its members have more bytes than the file")
            for entry in entries:
                if entry.compress_type != ZIP_STORED or entry.flag_bits & 1:
                    raise damaged(path, f"{entry.filename!a} is compressed or encrypted, which usseg save never does")
                if not is_member(entry.filename) or entry.filename in members:
                    raise damaged(path, f"a member has the name {entry.filename!a}, or has it twice")
                members[entry.filename] = archive.read(entry)
    except UssegError:
        raise
    except Exception as error:  # zipfile raises many types for hostile files
        raise damaged(path, f"the zip cannot be read ({reason(error)[:200]})") from None
    return members


def is_member(name: str) -> bool:
    """Whether a member may have this name: a known one, or a path below `artifacts` without hidden or upward parts."""
    parts = name.split("/")
    plain = all(part.isprintable() and part[:1] not in ("", ".") and not set(part) & set('\\:*?"<>|') for part in parts)
    return name in (MANIFEST, NAMES) or (plain and len(parts) > 3 and parts[0] == ARTIFACTS)


def parsed_manifest(path: Path, text: bytes, stages: Mapping[str, Stage]) -> Manifest:
    """Parse a manifest.

    Raises:
        ArtifactError: it has another form, or FORMAT, a stage or the version of a stage is another.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("kind") != Manifest.model_fields["kind"].default:
        raise damaged(path, f"{MANIFEST} is missing or cannot be read")
    by = f"usseg {str(content.get('usseg'))[:40]!a}".replace("'", "")
    remedy = f"install {by} to use it, or save the project again with this version"
    for key, here in (("layout", LAYOUT), ("format", FORMAT)):
        if content.get(key) != here:
            found = str(content.get(key))[:40]
            raise ArtifactError(f"{path}: written by {by} with {key} {found}; this version reads {here}; {remedy}")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))[:100]
        raise damaged(path, f"{MANIFEST}: {place!a} has another form") from None
    for name, version in manifest.stages.items():
        known = f"this version has {stages[name].version}" if name in stages else "this version has no such stage"
        if name not in stages or version != stages[name].version:
            raise ArtifactError(f"{path}: written by {by} with {name[:40]!a} version {version}; {known}; {remedy}")
    return manifest


def member_files(root: Path, artifact: Path) -> dict[str, bytes]:
    """The files of an artifact, by path below the project folder `root`. Hidden files do not belong to an artifact."""
    files = {}
    for folder, folders, names in os.walk(artifact):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in (name for name in names if not name.startswith(".")):
            path = Path(folder) / name
            files[path.relative_to(root).as_posix()] = path.read_bytes()
    return files
