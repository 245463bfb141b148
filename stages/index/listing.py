"""A folder, a glob, or a list of them -> files by id, and the paths that were left out."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from usseg.pipeline.coco import coco_file
from usseg.pipeline.errors import ParamsError
from usseg.stages.index.globs import (
    BACK,
    EMPTY,
    HIDDEN_FILE,
    HIDDEN_FOLDER,
    IMAGES,
    NO_TEXT,
    OTHER,
    candidates,
    is_text,
    nfc,
)

TRUTHS = {*IMAGES, "xml", "json"}
# The plural of each reason, for the log.
SEVERAL = {
    **{HIDDEN_FILE: "hidden files", HIDDEN_FOLDER: "hidden folders", OTHER: "other files"},
    **{BACK: "links back to a folder above", NO_TEXT: "files whose names are not UTF-8"},
    EMPTY: "globs that match nothing",
}
Spelling = str | Sequence[str]


@dataclass(frozen=True)
class Listing:
    """Files by id, and the paths that were left out: path -> reason, a key of `SEVERAL`."""

    files: dict[str, Path] = field(default_factory=dict)
    left: dict[Path, str] = field(default_factory=dict)


def files_of(root: Path, spelling: Spelling, where: str, kinds: Collection[str] = frozenset(IMAGES)) -> Listing:
    """The files below `root` that a folder, a glob or a list of them matches, by id.

    A folder means every file below it whose suffix is one of `kinds`. In a glob a suffix means every case of it, `jpg`
    also `jpeg`, and `tif` also `tiff`; `{jpg,png}` means both, `**` any folders. A name that is there literally is
    meant, whatever its brackets. Links to folders are followed. The id is the path below the glob's fixed part,
    without suffix, in Unicode's NFC; where the file name has `{id}`, what that stands for:
    `gtFine/val/*/{id}_labelIds.png` gives `bonn/bonn_000001`.

    Raises:
        ParamsError: nothing matches, a folder cannot be listed, a name is not UTF-8, or two files have one id.
    """
    if not root.is_dir():
        raise ParamsError(f"{where}: index.root, {root}, is not a folder")
    globs = [spelling] if isinstance(spelling, str) else list(spelling)
    needed = f"{where}: found {spelling!r}; a glob below index.root is needed, such as 'images/*', or a folder"
    if not globs or not all(glob.strip() and "\0" not in glob for glob in globs):
        raise ParamsError(needed)
    left: dict[Path, str] = {}
    ids: dict[Path, str] = {}
    for glob in globs:
        found = list(candidates(root, glob, where, kinds, left))
        ids = {**dict(found), **ids}
        if not found:
            left[Path(glob)] = EMPTY
    if not ids:
        if globs[0].startswith("/"):
            raise ParamsError(f"{needed}; no file matches this one")
        rest = {path: kind for path, kind in left.items() if kind != EMPTY}
        raise ParamsError(
            f"{where}: no file matches {', '.join(map(repr, globs))} below {root}; "
            f"{f'left out: {counted(rest)}; ' if rest else ''}check index.root and the glob"
        )
    files: dict[str, Path] = {}
    for path in sorted(ids):
        strange = [part for part in path.parts if not is_text(part)]
        if strange:
            raise ParamsError(f"{where}: the file name {strange[0]!a} is not UTF-8; rename it")
        if ids[path] in files:
            raise ParamsError(f"{where}: {two_names(files[ids[path]], path)} share the id {ids[path]!r}; rename one")
        files[ids[path]] = path
    return Listing(files, {path: kind for path, kind in left.items() if path not in ids})


def truth_files(root: Path, spelling: Spelling, names: Iterable[str], where: str, *, outlines: bool = False) -> Listing:
    """The file with the ground truth of each image, by id. A .json file holds the ground truth of all images.

    `outlines` tells whether the outlines of objects are read from a .json file.

    Raises:
        ParamsError: as `files_of`, or there are several .json files.
        ImageError: a .json file holds no COCO instances.
    """
    listing = files_of(root, spelling, where, TRUTHS)
    whole = [path for path in listing.files.values() if path.suffix.lower() == ".json"]
    if not whole:
        return listing
    if len(listing.files) > 1:
        raise ParamsError(
            f"{where}: {spelling!r} matches {len(listing.files)} files; of .json one file with all images is needed"
        )
    coco_file(whole[0], outlines=outlines)
    return Listing(dict.fromkeys(names, whole[0]), listing.left)


def two_names(one: Path, other: Path) -> str:
    """The names of two paths, or the whole paths where the names are equal."""
    if one.name == other.name:
        return f"{one} and {other}"
    return f"{one.name!a} and {other.name!a}" if nfc(one.name) == nfc(other.name) else f"{one.name} and {other.name}"


def by_suffix(paths: Iterable[Path]) -> str:
    """How many paths have each suffix, the most frequent first: `48 .jpg, 12 .JPG`."""
    found = Counter(path.suffix for path in paths)
    return ", ".join(
        f"{number} {suffix or 'without suffix'}"
        for suffix, number in sorted(found.items(), key=lambda item: (-item[1], not item[0], item[0]))
    )


def counted(left: dict[Path, str]) -> str:
    """The number of paths left out for each reason: `2 hidden files, 1 other file (1 .txt)`."""
    parts = []
    for kind, several in SEVERAL.items():
        paths = sorted(path for path in left if left[path] == kind)
        if paths:
            shown = {HIDDEN_FILE: "", HIDDEN_FOLDER: "", OTHER: f" ({by_suffix(paths)})"}.get(
                kind, f" ({str(paths[0])!a})"
            )
            parts.append(f"{len(paths)} {kind if len(paths) == 1 else several}{shown}")
    return ", ".join(parts)


def account(taken: Sequence[Path], images: Listing, left: Mapping[str, int], labels: Listing) -> str:
    """One line on all files: `60 images (48 .jpg, 12 .JPG); left out: 2 hidden files, 1 unreadable (skipped)`.

    `left` maps later reasons to the numbers of images left out.
    """
    alone = len(set(labels.files) - set(images.files))
    parts = [
        f"{len(taken)} image{'s' * (len(taken) != 1)} ({by_suffix(taken)})",
        listed_out("left out", counted(images.left), *(f"{number} {kind}" for kind, number in left.items() if number)),
        listed_out("labels left out", counted(labels.left), f"{alone} without an image" if alone else ""),
    ]
    return "; ".join(filter(None, parts))


def listed_out(title: str, *parts: str) -> str:
    """`title: parts`, or nothing where there are none."""
    some = ", ".join(filter(None, parts))
    return f"{title}: {some}" if some else ""
