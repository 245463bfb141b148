"""The files that a folder or a glob matches: braces, brackets, suffixes in any case, hidden names, circular links."""

import os
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from usseg.pipeline.errors import ParamsError

SAME = (("jpg", "jpeg", "jpe", "jfif"), ("tif", "tiff"))  # one suffix means all of its group
IMAGES = {
    *(suffix for group in SAME for suffix in group),
    *("png", "apng", "webp", "bmp", "gif", "ppm", "pgm", "pbm", "pnm", "mpo", "jp2", "j2k", "j2c", "jpc", "jpf", "jpx"),
    *("avif", "heic", "heif", "mat"),
}
# Names of files and folders that systems write next to photos. Names that begin with a dot are hidden too.
JUNK = {
    *("@eadir", "__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini", "icon\r", "lost+found"),
    *("$recycle.bin", "system volume information", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),
}
# The reasons why a path is no candidate.
HIDDEN_FILE, HIDDEN_FOLDER, OTHER, BACK, NO_TEXT, EMPTY = (
    *("hidden file", "hidden folder", "other file", "link back to a folder above", "file whose name is not UTF-8"),
    "glob that matches nothing",
)
ALTERNATIVES = 1000  # largest number of globs that braces may stand for
BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
ID = "(?P<id>.+)"  # the expression of {id}; a second {id} matches the same text
TOKEN = re.compile(r"\{id\}|\*+|\?|\[[!^]?\]?[^\]]*\]|.", re.DOTALL)


@dataclass(frozen=True)
class Part:
    """One part of the path of a glob. `names` is the pattern of its names, None for `**`."""

    text: str
    names: re.Pattern[str] | None


def candidates(
    root: Path, glob: str, where: str, kinds: Collection[str], left: dict[Path, str]
) -> Iterator[tuple[Path, str]]:
    """Yield path and id of every file that a folder, a glob or a file name matches.

    Paths that are left out are added to `left`, with the reason.
    """
    fixed, rest = root, list(Path(os.path.expanduser(glob)).parts)
    while rest and (path := literal(fixed, rest[0])) and (len(rest) == 1 or path.is_dir()):
        fixed, rest = path, rest[1:]
    if not rest and not fixed.is_dir():
        yield fixed, nfc(fixed.stem)
        return
    above = frozenset(map(identity, fixed.resolve().parents))
    for parts in alternatives("/".join(rest), where):
        is_folder = parts[-1:] == ["**"] or fixed.joinpath(*parts).is_dir()
        *through, last = [*parts, "**", "*"] if is_folder else parts
        names = names_of(last, file=True)
        wanted = [Part(part, None if part == "**" else names_of(part)) for part in through]
        for path in matching(fixed, [*wanted, Part(last, names)], left, where, above):
            if is_folder and path.suffix[1:].lower() not in kinds:
                left[path] = OTHER if is_text(path.name) else NO_TEXT
                continue
            match = names.fullmatch(nfc(path.name))
            name = match["id"] if match and "{id}" in last else path.stem
            yield path, nfc((path.relative_to(fixed).parent / name).as_posix())


def literal(folder: Path, name: str) -> Path | None:
    """The entry with exactly this name in any Unicode form; None without one, and for a name with `*` or `?`."""
    if "*" in name or "?" in name:
        return None
    if os.path.lexists(folder / name):
        return folder / name
    if name.isascii() or not folder.is_dir():
        return None
    return next((folder / entry for entry in sorted(os.listdir(folder)) if nfc(entry) == nfc(name)), None)


def alternatives(glob: str, where: str) -> list[list[str]]:
    """The parts of every glob that the braces of a glob stand for.

    Raises:
        ParamsError: the braces stand for more than ALTERNATIVES globs.
    """
    globs = [glob]
    while any(map(BRACES.search, globs)):
        globs = [
            one[: braces.start()] + choice + one[braces.end() :] if braces else one
            for one in globs
            for braces in [BRACES.search(one)]
            for choice in (braces[1].split(",") if braces else [""])
        ]
        if len(globs) > ALTERNATIVES:
            raise ParamsError(f"{where}: the braces of {glob!r} stand for more than {ALTERNATIVES} globs; write fewer")
    return [[part for part in one.split("/") if part not in ("", ".")] for one in dict.fromkeys(globs)]


def names_of(part: str, *, file: bool = False) -> re.Pattern[str]:
    """The pattern of the names that one part of a glob matches.

    The suffix of a file matches in any case and spelling.
    """
    tokens = TOKEN.findall(nfc(part))
    dots = [position for position, token in enumerate(tokens) if token == "."]
    end = dots[-1] + 1 if file and dots else len(tokens)
    suffix = "".join(tokens[end:])
    group = next((group for group in SAME if suffix.lower() in group), None)
    tail = "|".join(group) if group else "".join(map(expression, tokens[end:]))
    whole = f"{''.join(map(expression, tokens[:end]))}(?i:{tail})"
    return re.compile(whole.replace(ID, "(?P=id)").replace("(?P=id)", ID, 1), re.DOTALL)


def expression(token: str) -> str:
    """The regular expression of a token of a glob. Brackets match one of their characters, or themselves literally."""
    if token.startswith("*") or token in ("?", "{id}"):
        return {"?": ".", "{id}": ID}.get(token, ".*")
    if len(token) == 1:
        return re.escape(token)
    negated = token[1] in "!^"
    characters = token[2:-1] if negated else token[1:-1]
    escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", characters)
    one_of = f"[^{escaped}]" if negated else f"[{escaped}]"
    try:
        re.compile(one_of)
    except re.error:  # such as [9-0]
        return re.escape(token)
    return f"(?:{one_of}|{re.escape(token)})"


def matching(
    folder: Path,
    parts: Sequence[Part],
    left: dict[Path, str],
    where: str,
    above: frozenset[tuple[int, int]],
) -> Iterator[Path]:
    """Yield the entries below a folder whose paths match, part by part.

    `above` holds the identities of the parent folders. A folder that matches the last part is an entry too. A folder
    below `**` is an entry only with the suffix of an image.

    Raises:
        ParamsError: a folder cannot be listed.
    """
    try:
        own = identity(folder)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise ParamsError(f"{where}: {folder}: {error.strerror}; make the folder readable, or leave it out") from None
    if own in above:
        left[folder] = BACK
        return
    above = above | {own}
    deep = parts[0].names is None
    while deep and parts[1].names is None:  # a second ** adds nothing
        parts = parts[1:]
    part, *rest = parts[1:] if deep else parts
    assert part.names is not None
    for entry in entries:
        path = folder / entry.name
        is_folder = os.path.isdir(path) if entry.is_symlink() else entry.is_dir()
        matches = part.names.fullmatch(nfc(entry.name)) is not None
        taken = matches and not rest and not (deep and is_folder and path.suffix[1:].lower() not in IMAGES)
        into = is_folder and (deep or (matches and bool(rest)))
        if (taken or into) and is_hidden(entry.name, part.text if matches else ""):
            left[path] = HIDDEN_FOLDER if is_folder else HIDDEN_FILE
            continue
        if not (taken or into) and not is_text(entry.name):
            left[path] = NO_TEXT
        if taken:
            yield path
        if is_folder and deep:
            yield from matching(path, parts, left, where, above)
        if is_folder and matches and rest:
            yield from matching(path, rest, left, where, above)


def identity(folder: Path) -> tuple[int, int]:
    """The device and inode of a folder, equal for all links to it."""
    state = folder.stat()
    return state.st_dev, state.st_ino


def is_hidden(name: str, part: str) -> bool:
    """Whether a name begins with a dot that the glob does not contain, or is a name that systems write."""
    return (name.startswith(".") and not part.startswith(".")) or (name.lower() in JUNK and name != part)


def is_text(name: str) -> bool:
    """Whether a file name is valid UTF-8."""
    return not any("\ud800" <= sign <= "\udfff" for sign in name)


def nfc(name: str) -> str:
    """A name in Unicode form NFC: some systems store é as one character, others as two."""
    return unicodedata.normalize("NFC", name)
