"""A COCO file of instances: the images of a split, and the boxes or outlines of their objects.

An image is identified by its path. The `file_name` in the file matches if it is the end of the path of the image, or if
the path of the image below `index.root` is the end of it. Among several matches, the one with the most equal folders
is used.
"""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unicodedata import normalize
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from usseg.pipeline.errors import ImageError
from usseg.pipeline.files import check_regular
from usseg.pipeline.label_values import CROWD, UNCOVERED
from usseg.pipeline.outlines import outline_mask, shown

I64 = npt.NDArray[np.int64]
KEYS = {"images", "annotations", "categories", "id", "file_name", "width", "height", "image_id", "bbox", "iscrowd"}
OUTLINE_KEYS = {"category_id", "segmentation", "size", "counts", "name"}
LARGEST = 10**6  # pixels; the largest coordinate


@dataclass(frozen=True)
class CocoObject:
    """One annotation. `outline` is the segmentation in the file: polygons of x, y pairs, or run lengths."""

    where: str  # place in the file, for messages
    category: int | None
    crowd: bool
    bbox: tuple[float, float, float, float] | None  # x, y, width, height
    outline: Any


@dataclass(frozen=True)
class CocoImage:
    """One image: its declared name, width and height, and its objects in the order of the file."""

    name: str
    size: tuple[int, int]
    objects: list[CocoObject] = field(default_factory=list)

    @property
    def parts(self) -> tuple[str, ...]:
        """The folders and the file name. Slashes and backslashes separate."""
        return path_parts(self.name)


@dataclass(frozen=True)
class CocoFile:
    """The content of a file. `by_name` maps file names without folders, in NFC, to images."""

    path: Path
    categories: Mapping[int, str]
    by_name: Mapping[str, Sequence[CocoImage]]
    outlined: bool  # whether an object has an outline

    def find(self, root: Path, image: str) -> CocoImage:
        """The entry of the image with this path below root.

        Raises:
            ImageError: no entry matches, or several match equally well.
        """
        below, whole = path_parts(image), path_parts((root.absolute() / image).as_posix())
        fitting: dict[int, list[CocoImage]] = {}
        for candidate in self.by_name.get(below[-1], ()):
            for parts in dict.fromkeys((candidate.parts, path_parts(unquote(candidate.name)))):
                common = agreeing(parts, whole)
                if common and common >= min(len(parts), len(below)):
                    fitting.setdefault(common, []).append(candidate)
                    break
        best = fitting[max(fitting)] if fitting else []
        if len(best) > 1:
            names = " and ".join(repr(candidate.name) for candidate in best[:2])
            raise ImageError(
                f"{self.path}: {names} fit the image {image!r} equally well; write its folders in file_name"
            )
        if not best:
            near = self.by_name.get(below[-1], ())
            other = f", only {near[0].name!r}" if near else ""
            raise ImageError(
                f"{self.path}: it knows no image {image!r}{other}; add it, or take the image out of the split"
            )
        return best[0]

    def boxes(self, image: CocoImage) -> I64:
        """Boxes of the objects of an image, int64 (box, 4):

        xmin, ymin, xmax, ymax in pixels, half open, rounded. No crowds.

        Raises:
            ImageError: an object has no box, or its box has no area.
        """
        corners = []
        for one in image.objects:
            if one.crowd:
                continue
            if one.bbox is None:
                raise ImageError(f"{self.path}: {one.where}: no bbox; [x, y, width, height] is needed")
            x, y, width, height = one.bbox
            if width <= 0 or height <= 0:
                raise ImageError(
                    f"{self.path}: {one.where}: the box {list(one.bbox)} of {image.name!r} has no area; "
                    "[x, y, width, height] with sides above 0 is needed"
                )
            corners.append([round(x), round(y), round(x + width), round(y + height)])
        return np.array(corners, np.int64).reshape(-1, 4)

    def category_map(self, image: CocoImage, size: tuple[int, int]) -> I64:
        """The category of every pixel, int64 (height, width).

        Pixels of no object are UNCOVERED, and pixels of a crowd only are CROWD. If objects overlap, the later one in
        the file covers the earlier one.

        Raises:
            ImageError: an object has no outline or category, or its outline does not fit the image.
        """
        out = np.full(size, UNCOVERED, np.int64)
        for crowd in (True, False):
            for one in image.objects:
                if one.crowd != crowd:
                    continue
                where = f"{self.path}: {one.where}"
                if one.category is None or one.category not in self.categories:
                    raise ImageError(f"{where}: category_id: found {one.category!r}; an id in categories is needed")
                out[outline_mask(one.outline, size, where)] = CROWD if crowd else one.category
        return out


def path_parts(path: str) -> tuple[str, ...]:
    """The parts of a path in NFC, without empty parts and `.`."""
    parts = normalize("NFC", path).replace("\\", "/").split("/")
    return tuple(part for part in parts if part not in ("", "."))


def agreeing(first: Sequence[str], second: Sequence[str]) -> int:
    """Number of equal parts at the end of two paths."""
    pairs = zip(reversed(first), reversed(second), strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def coco_file(path: Path, *, outlines: bool) -> CocoFile:
    """Read a COCO file, with or without outlines. The result is cached by path, size and time of change.

    Raises:
        ImageError: the file is unreadable or has no instances of COCO; one line that names the entry.
    """
    check_regular(path)
    state = path.stat()
    return parsed(path, state.st_mtime_ns, state.st_size, outlines)


@functools.lru_cache(maxsize=4)
def parsed(path: Path, changed: int, length: int, outlines: bool) -> CocoFile:
    """Parse a COCO file; see `coco_file`. The cache key has its time of change and its length."""
    keys = KEYS | OUTLINE_KEYS if outlines else KEYS
    try:
        content = json.loads(path.read_bytes(), object_hook=lambda entry: kept(entry, keys))
    except (ValueError, OSError, RecursionError, OverflowError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())[:200]
        raise ImageError(f"{path}: no instances of COCO: {reason}") from None
    if not isinstance(content, dict):
        raise ImageError(f"{path}: no instances of COCO: found {shown(content)}; images and annotations are needed")
    images: dict[int | str, CocoImage] = {}
    for where, one in entries(content, "images", path):
        number = identity(one, "id", where)
        if number in images:
            raise ImageError(
                f"{where}: the id {number!r} is taken by {images[number].name!r}; an id belongs to one image"
            )
        name = one.get("file_name")
        if not isinstance(name, str) or not path_parts(name):
            raise ImageError(f"{where}: file_name: found {shown(name)}; a path is needed")
        width, height = (whole(one.get(side), f"{where}: {side}") for side in ("width", "height"))
        images[number] = CocoImage(name, (width, height))
    categories: dict[int, str] = {}
    for where, one in entries(content, "categories", path) if outlines and "categories" in content else ():
        category = whole(one.get("id"), f"{where}: id", lowest=0)
        if category in categories or not isinstance(one.get("name"), str):
            raise ImageError(
                f"{where}: found id {category} and name {shown(one.get('name'))}; "
                "an id of its own and a name are needed"
            )
        categories[category] = one["name"]
    outlined = False
    for where, one in entries(content, "annotations", path):
        owner = images.get(identity(one, "image_id", where))
        if owner is None:
            raise ImageError(f"{where}: image_id: found {one['image_id']!r}; no image has this id")
        instance = coco_object(one, where, path)
        outlined = outlined or bool(instance.outline)
        owner.objects.append(instance)
    by_name: dict[str, list[CocoImage]] = {}
    for image in images.values():
        for last in {image.parts[-1], (path_parts(unquote(image.name)) or image.parts)[-1]}:
            by_name.setdefault(last, []).append(image)
    return CocoFile(path, categories, by_name, outlined)


def kept(one: dict[str, Any], keys: set[str]) -> dict[str, Any]:
    """The needed keys of a JSON object. Coordinates become float64 arrays, because lists of numbers take gigabytes."""
    entry = {key: one[key] for key in keys & one.keys()}
    outline = entry.get("segmentation")
    if isinstance(outline, list) and all(isinstance(corners, list) for corners in outline):
        entry["segmentation"] = [
            np.array(corners, np.float64)
            if all(type(number) in (int, float) for number in corners) and corners
            else corners
            for corners in outline
        ]
    return entry


def entries(content: Mapping[str, Any], key: str, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the JSON objects of a list, each after its place in the file.

    Raises:
        ImageError: `key` is no list, or an item is no object.
    """
    if not isinstance(content.get(key), list):
        finding = f"found {shown(content[key])}" if key in content else f"no {key!r}"
        raise ImageError(f"{path}: no instances of COCO: {finding}; {key} must be a list")
    for position, one in enumerate(content[key]):
        where = f"{path}: {key}[{position}]"
        if not isinstance(one, dict):
            raise ImageError(f"{where}: found {shown(one)}; an object is needed")
        if "id" in one and one["id"] != position:
            where += f" (id {one['id']!r:.40})"
        yield where, one


def coco_object(one: Mapping[str, Any], where: str, path: Path) -> CocoObject:
    """Check one annotation.

    Raises:
        ImageError: a value does not have the type of its key.
    """
    crowd, bbox, outline = one.get("iscrowd", 0), one.get("bbox"), one.get("segmentation")
    if crowd not in (0, 1) or isinstance(crowd, float):
        raise ImageError(f"{where}: iscrowd: found {shown(crowd)}; 0 or 1 is allowed")
    if bbox is not None and (not isinstance(bbox, list) or len(bbox) != 4 or not all(map(is_place, bbox))):
        raise ImageError(f"{where}: bbox: found {shown(bbox)}; four finite numbers [x, y, width, height] are needed")
    category = one.get("category_id")
    if category is not None:
        whole(category, f"{where}: category_id", lowest=0)
    relative = where.removeprefix(f"{path}: ")
    box = None if bbox is None else (bbox[0], bbox[1], bbox[2], bbox[3])
    return CocoObject(relative, category, bool(crowd), box, outline)


def is_place(value: Any) -> bool:
    """Whether a value is a number that a coordinate may have. Booleans are not."""
    return type(value) in (int, float) and -LARGEST <= value <= LARGEST


def whole(value: Any, where: str, *, lowest: int = 1) -> int:
    """A whole number that is not below `lowest`.

    Raises:
        ImageError: the value is something else.
    """
    if type(value) not in (int, float) or not lowest <= value < 1 << 53 or value != int(value):
        raise ImageError(f"{where}: found {shown(value)}; a whole number from {lowest} on is needed")
    return int(value)


def identity(one: Mapping[str, Any], key: str, where: str) -> int | str:
    """The id of an image: a whole number or a string.

    Raises:
        ImageError: the key is missing, or its value has another type.
    """
    if key not in one:
        raise ImageError(f"{where}: no {key!r}; it must name an image")
    value = one[key]
    if type(value) not in (int, str):
        raise ImageError(f"{where}: {key}: found {shown(value)}; a number or a string is needed")
    return value
