"""What is known to be true of an image: a label image, the segmentations of several people, or boxes around objects."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from pipeline.errors import ImageError
from pipeline.images import check_regular, read_labels, read_matrix

I64 = npt.NDArray[np.int64]
COCO_KEYS = {"images", "annotations", "id", "file_name", "width", "height", "image_id", "bbox", "iscrowd"}


@dataclass(frozen=True)
class Truth:
    """One image's truth; what its file does not hold is None."""

    labels: I64 | None = None  # (height, width)
    partitions: tuple[I64, ...] | None = None  # region ids (height, width), one map a person
    boxes: I64 | None = None  # (box, 4): xmin, ymin, xmax, ymax, half open, pixels

    @property
    def kind(self) -> str:
        """What it is, in words."""
        if self.labels is not None:
            return "a label image"
        return "segmentations" if self.partitions is not None else "boxes"


def read_truth(path: Path, image: str) -> Truth:
    """Read the truth of one image.

    Args:
        path: VOC annotations (.xml), COCO instances of a whole split (.json), segmentations as BSDS500 has them (.mat with
            `groundTruth`), or a label image.
        image: file name of the image, by which COCO knows it.

    Raises:
        ImageError: unreadable, or nothing of these; one line with the path and the cause.
    """
    check_regular(path)
    if path.suffix.lower() == ".xml":
        return Truth(boxes=read_voc(path)[1])
    if path.suffix.lower() == ".json":
        return Truth(boxes=read_coco_image(path, image)[1])
    if path.suffix.lower() == ".mat" and (cells := read_matrix(path)).dtype == object:
        return Truth(partitions=segmentations(cells, path))
    return Truth(labels=read_labels(path))


def check_truth(path: Path, image: str, size: tuple[int, int]) -> Truth:
    """Read the truth of one image and hold it against the image's height and width.

    Raises:
        ImageError: as `read_truth`; or sizes that differ, or a box that reaches out of the image.
    """
    height, width = size
    truth = read_truth(path, image)
    for labels in (truth.labels,) if truth.labels is not None else truth.partitions or ():
        if labels.shape != size:
            raise ImageError(
                f"{path}: labels of {labels.shape[1]} x {labels.shape[0]} for an image of {width} x {height}"
            )
    if truth.boxes is not None:
        declared = read_voc(path)[0] if path.suffix.lower() == ".xml" else read_coco_image(path, image)[0]
        # Either order: published annotations have it wrong here and there, and the boxes are checked themselves.
        if declared not in ((0, 0), (width, height), (height, width)):
            raise ImageError(f"{path}: boxes in {declared[0]} x {declared[1]} for an image of {width} x {height}")
        outside = (truth.boxes < -1) | (truth.boxes > np.array([width, height, width, height]) + 1)
        if outside.any():
            box = truth.boxes[outside.any(axis=1)][0].tolist()
            raise ImageError(f"{path}: the box {box} reaches out of the image {image} of {width} x {height}")
    return truth


def segmentations(cells: npt.NDArray[Any], path: Path) -> tuple[I64, ...]:
    """The maps in the cells of `groundTruth`: a struct with `Segmentation` a person.

    Raises:
        ImageError: other cells.
    """
    try:
        maps = [np.asarray(cell["Segmentation"][0, 0]) for cell in cells.reshape(-1)]
    except (IndexError, TypeError, ValueError):
        maps = []
    if not maps or any(found.ndim != 2 or found.dtype.kind not in "iu" for found in maps):
        raise ImageError(
            f"{path}: found no segmentations; cells with a map `Segmentation` each are needed, as of BSDS500"
        )
    return tuple(found.astype(np.int64) for found in maps)


def read_voc(path: Path) -> tuple[tuple[int, int], I64]:
    """Width and height (0 where not said), and the boxes, of a VOC annotation file: xmin - 1, ymin - 1, xmax, ymax.

    Objects marked difficult or truncated are kept, as in the evaluation of LOST and TokenCut.

    Raises:
        ImageError: unreadable, or without numbers where they belong.
    """
    try:
        root = ElementTree.parse(path).getroot()
        size = tuple(int(root.findtext(f"size/{side}") or 0) for side in ("width", "height"))
        corners = [
            [round(float(thing.findtext(f"bndbox/{side}") or "")) for side in ("xmin", "ymin", "xmax", "ymax")]
            for thing in root.findall("object")
        ]
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file") from None
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError, OSError) as error:
        raise ImageError(f"{path}: no annotations of VOC: {' '.join(str(error).split())}") from None
    if root.tag != "annotation":
        raise ImageError(f"{path}: no annotations of VOC: found <{root.tag}>")
    return (size[0], size[1]), np.array(corners, np.int64).reshape(-1, 4) - (1, 1, 0, 0)


def read_coco_image(path: Path, image: str) -> tuple[tuple[int, int], I64]:
    """Width, height and boxes of one image of a COCO file.

    Raises:
        ImageError: no usable file, or the image is not in it.
    """
    images = coco_images(path)
    if image not in images:
        raise ImageError(f"{path}: it knows no image {image!r}")
    return images[image]


def coco_images(path: Path) -> Mapping[str, tuple[tuple[int, int], I64]]:
    """Width, height and boxes of every image of a COCO instances file, by file name: parsed once, as long as it stays as it is.

    Raises:
        ImageError: unreadable, or no instances of COCO.
    """
    check_regular(path)
    state = path.stat()
    return parsed_coco(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=4)
def parsed_coco(path: Path, changed: int, length: int) -> Mapping[str, tuple[tuple[int, int], I64]]:
    """As `coco_images`, of a file of this time and length. Crowds are left out; x + width and y + height are rounded."""
    try:
        # Outlines and whatever else goes unread are let go object by object; together they take gigabytes.
        content = json.loads(
            path.read_bytes(), object_hook=lambda one: {key: one[key] for key in COCO_KEYS & one.keys()}
        )
        sizes = {one["id"]: (one["file_name"], (int(one["width"]), int(one["height"]))) for one in content["images"]}
        corners: dict[Any, list[list[int]]] = {number: [] for number in sizes}
        for one in content["annotations"]:
            if not one.get("iscrowd"):
                x, y, width, height = one["bbox"]
                corners[one["image_id"]].append([round(x), round(y), round(x + width), round(y + height)])
    except (KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise ImageError(f"{path}: no instances of COCO: {reason}") from None
    return {
        PurePosixPath(name).name: (size, np.array(corners[number], np.int64).reshape(-1, 4))
        for number, (name, size) in sizes.items()
    }
