"""A list file -> the ids of the images that it names."""

import codecs
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from usseg.pipeline.errors import ParamsError
from usseg.stages.index.globs import nfc

GAP = re.compile(r"[\s,;]+")  # between columns
FLAG = re.compile(r"[\s,;]+(-1|0|1)$")


@dataclass(frozen=True)
class Selection:
    """The content of a list file.

    Attributes:
        ids: ids of the named images, in the order of the file, without repeats.
        absent: lines that name no image.
        flagged: ids of images that only lines with the flag -1 name.
        notes: lines for the log.
    """

    ids: list[str]
    absent: list[str]
    flagged: set[str]
    notes: list[str]


def listed(root: Path, ids: str, where: str, files: Mapping[str, Path]) -> Selection:
    """The images that the lines of a list file name.

    A line is an id, a file name or a path, with or without suffix; more columns may follow, as in `image.jpg
    label.png`. The column that is the path or id of an image names it, or else the first whose name is an id. VOC's
    flags are one more column: -1 leaves the image out, 1 and 0 (difficult) keep it. Lines that begin with # are
    comments. UTF-8 or UTF-16, any line ends.

    Raises:
        ParamsError: the file is no text file, or a line fits several images.
    """
    names = Names(files, f"{where}: {ids}")
    chosen: list[str] = []
    absent: list[str] = []
    flagged: set[str] = set()
    flags = columns = 0
    lines = lines_of(root / os.path.expanduser(ids), where)
    found = [(line, *names.find(line)) for line in lines if not (line.startswith("#") and names.is_comment(line))]
    whole = any(name and not rest for _, name, rest in found)
    for line, name, rest in found:
        flag = FLAG.search(rest if name else line)
        if whole and rest:  # a line that has columns where others have none is a name with a space
            absent.append(line)
        elif flag and flag[1] == "-1":
            flagged |= {name} if name else set()
            flags += 1
        elif name is None:
            absent.append(line)
        else:
            chosen.append(name)
            flags += flag is not None
            columns += bool(rest) and flag is None
    once = list(dict.fromkeys(chosen))
    repeats = len(chosen) - len(once)
    notes = [
        f"{number_of(flags, 'has', 'have')} a flag: 1 and 0 keep an image, -1 leaves it out" if flags else "",
        f"{number_of(columns, 'has', 'have')} further columns; the one that names an image counts" if columns else "",
        f"{number_of(repeats, 'repeats', 'repeat')} an image" if repeats else "",
    ]
    return Selection(once, absent, flagged - set(once), [f"{ids}: {note}" for note in notes if note])


def number_of(lines: int, one: str, several: str) -> str:
    """The subject and the verb of a sentence about a number of lines: `1 line has`, `2 lines have`."""
    return f"1 line {one}" if lines == 1 else f"{lines} lines {several}"


def lines_of(path: Path, where: str) -> list[str]:
    """The lines of a text file, without blank ones, stripped and in NFC.

    Raises:
        ParamsError: the file cannot be read, or is neither UTF-8 nor UTF-16.
    """
    reason = "a text file with an id a line is needed"
    if path.exists() and not path.is_file():
        raise ParamsError(f"{where}: {path}: not a file; {reason}")
    try:
        content = path.read_bytes()
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except OSError as error:
        raise ParamsError(f"{where}: {path}: {error.strerror}; {reason}") from None
    except UnicodeDecodeError:
        raise ParamsError(f"{where}: {path}: neither UTF-8 nor UTF-16; {reason}") from None
    return [line.strip() for line in re.split(r"\r\n|\r|\n", nfc(text)) if line.strip()]


class Names:
    """An index of the images by id, file name and path, with and without suffix."""

    def __init__(self, files: Mapping[str, Path], where: str) -> None:
        self.files, self.where = files, where
        self.paths: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
        for name, path in files.items():
            for parts in {PurePosixPath(name).parts, PurePosixPath(nfc(path.with_suffix("").as_posix())).parts}:
                self.paths[parts[-1]].append((parts, name))

    def find(self, line: str) -> tuple[str | None, str]:
        """The id of the image that a line names, and the text after its name.

        The id is None where the line names no image.
        """
        ends = [len(line), *(gap.start() for gap in reversed(list(GAP.finditer(line))))]
        for end in ends:
            if name := self.by_path(line[:end]):
                return name, line[end:]
        for column in GAP.split(line)[1:]:
            if name := self.by_path(column):
                return name, line
        for end in reversed(ends):
            if name := self.by_name(line[:end]):
                return name, line[end:]
        return None, ""

    def is_comment(self, line: str) -> bool:
        """Whether a line that begins with # names no image."""
        return not (self.by_path(line) or self.by_path(GAP.split(line)[0]))

    def by_path(self, text: str) -> str | None:
        """The id of the image whose id or path ends with this text, with or without suffix; None without one.

        Raises:
            ParamsError: several images match.
        """
        if text in self.files:
            return text
        for parts in spelled(text):
            matches = {name for path, name in self.paths.get(parts[-1], ()) if path[-len(parts) :] == parts}
            if len(matches) > 1:
                raise ParamsError(
                    f"{self.where}: {text!r} fits {len(matches)} images, such as {min(matches)!r}; write its id"
                )
            if matches:
                return matches.pop()
        return None

    def by_name(self, text: str) -> str | None:
        """The longest id that this path ends with, with or without suffix; None without one."""
        for parts in spelled(text):
            for start in range(len(parts)):
                if (name := "/".join(parts[start:])) in self.files:
                    return name
        return None


def spelled(text: str) -> Iterator[tuple[str, ...]]:
    """The parts of a path, first with and then without its suffix."""
    path = PurePosixPath(text.replace("\\", "/").lstrip("/"))
    if path.name:
        yield path.parts
        yield path.with_suffix("").parts
