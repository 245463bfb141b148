"""What is known to be true of an image: a label image, the segmentations of several people, or boxes around objects.

What counts as truth:

- a label image (PNG, TIFF, ... or .mat), whose values mean what `pipeline.labels` says;
- a .mat file with `groundTruth` as BSDS500 has it: segmentations of several people;
- an .xml file as VOC has it: boxes;
- one COCO file of instances (.json) for a split: a label image drawn from its polygons and run lengths where
  `index.classes` names classes and the file has outlines, else boxes.

A photo is turned upright after its EXIF orientation, and its truth with it: boxes and outlines where the file declares the size of the
photo as it is stored, a map where it has the shape of the photo as it is stored.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from usseg.pipeline.coco import CocoFile, coco_file
from usseg.pipeline.errors import ImageError
from usseg.pipeline.images import check_regular, read_matrix
from usseg.pipeline.label_tally import LabelCounts
from usseg.pipeline.label_values import UNCOVERED, UNSCORED, LabelValues, pieces
from usseg.pipeline.labels import read_labels
from usseg.pipeline.orientation import orientation_of, stored_size, turn_boxes, turn_map
from usseg.pipeline.outlines import shown
from usseg.pipeline.params import nearest

I64 = npt.NDArray[np.int64]
LARGEST = 10**6  # pixels; a number beyond is no place in an image


class NoDocumentType(ElementTree.TreeBuilder):
    """The tree of an XML file without a document type, which could hold entities."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse it, whatever the encoding of the file."""
        raise ValueError("found a document type, which could hold entities; remove it")


@dataclass(frozen=True)
class Truth:
    """One image's truth; what its file does not hold is None."""

    labels: I64 | None = None  # classes (height, width), -1 never scored
    partitions: tuple[I64, ...] | None = None  # region ids (height, width), one map for each person
    boxes: I64 | None = None  # (box, 4): xmin, ymin, xmax, ymax, half open, pixels
    counts: LabelCounts | None = None  # of labels
    remark: str = ""  # what was decided where the files leave a choice

    @property
    def kind(self) -> str:
        """What it is, in words."""
        if self.labels is not None:
            return "a label image"
        return "segmentations" if self.partitions is not None else "boxes"


def read_truth(root: Path, label: str, image: str, size: tuple[int, int], values: LabelValues) -> Truth:
    """Read the truth of one image and hold it against the image.

    Args:
        root: the folder that the two paths are relative to.
        label: VOC annotations (.xml), COCO instances (.json), segmentations (.mat with `groundTruth`), or a label image.
        image: the image file.
        size: height and width of the upright image.
        values: what label values mean.

    Raises:
        ImageError: unreadable, nothing of these, or it does not fit the image; one line with the path and the cause.
    """
    path, suffix = root / label, Path(label).suffix.lower()
    if suffix == ".xml":
        declared, boxes = read_voc(path)
        return boxes_truth(path, boxes, frame_of(path, root / image, declared, size), root / image, size)
    if suffix == ".json":
        return coco_truth(path, root, image, size, values)
    if suffix == ".mat" and (cells := read_matrix(path)).dtype == object:
        maps = segmentations(cells, path)
        return Truth(partitions=tuple(fitting(one, path, root / image, size) for one in maps))
    raw = fitting(read_labels(path, values), path, root / image, size)
    return counted(values.to_classes(raw), raw)


def counted(labels: I64, raw: I64, remark: str = "") -> Truth:
    """A label image with what is counted of it: pixels by class, and those not scored by raw value."""
    scored: Counter[int] = Counter()
    unscored: Counter[int] = Counter()
    for piece in pieces(labels.size):
        found, values = labels.reshape(-1)[piece], raw.reshape(-1)[piece]
        lost = found == UNSCORED
        scored.update(counts(found[~lost]))
        unscored.update(counts(values[lost]))
    return Truth(
        labels=labels, counts=LabelCounts(dict(sorted(scored.items())), dict(sorted(unscored.items()))), remark=remark
    )


def counts(values: I64) -> dict[int, int]:
    """Value -> how often."""
    found, numbers = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), numbers.tolist(), strict=True))


def fitting(values: I64, path: Path, image: Path, size: tuple[int, int]) -> I64:
    """A map of the size of the upright image, turned like the photo where it has the shape of the photo as it is stored.

    Raises:
        ImageError: another size; or the photo is turned, its shape says not how the map stands, nor has the map an orientation.
    """
    height, width = size
    orientation = orientation_of(image) or 1
    stored = stored_size(size, orientation)
    if values.shape not in (size, stored):
        raise ImageError(
            f"{path}: labels of {values.shape[1]} x {values.shape[0]} for an image of {width} x {height}"
            + (f" ({stored[1]} x {stored[0]} as it is stored)" if stored != size else "")
        )
    if orientation == 1:
        return values
    if stored == size:
        if orientation_of(path) is None:
            raise ImageError(
                f"{path}: {image.name} is turned upright (EXIF orientation {orientation}), and both ways its size is {width} x "
                f"{height}: whether the labels stand upright cannot be told; save the photo upright without EXIF orientation, "
                "or write an EXIF orientation into the labels"
            )
        return values
    return values if values.shape == size else turn_map(values, orientation)


def frame_of(path: Path, image: Path, declared: tuple[int, int], size: tuple[int, int]) -> tuple[int, str]:
    """The EXIF orientation by which boxes and outlines are turned, 1 for not at all; and a remark where that is a decision.

    They are turned where the declared width and height are those of the photo as it is stored. Where those of the upright
    photo are the same, they are turned too, with the remark.

    Raises:
        ImageError: another size, or the photo is turned and the file declares no size.
    """
    height, width = size
    orientation = orientation_of(image) or 1
    stored = stored_size(size, orientation)[::-1]
    if orientation == 1:
        # Either order: published annotations have it wrong here and there, and the boxes are checked themselves.
        known = declared in ((0, 0), (width, height), (height, width))
    else:
        if declared == (0, 0):
            raise ImageError(
                f"{path}: no size, and {image.name} is turned upright (EXIF orientation {orientation}); declare the width and "
                "height that the boxes refer to"
            )
        known = declared in ((width, height), stored)
    if not known:
        raise ImageError(f"{path}: boxes in {declared[0]} x {declared[1]} for an image of {width} x {height}")
    if orientation == 1 or declared != stored:
        return 1, ""
    remark = f"{path}: {image.name} has EXIF orientation {orientation} and {width} x {height} pixels both ways; "
    remark += "its objects are taken to refer to the photo as it is stored"
    return orientation, remark if stored == (width, height) else ""


def boxes_truth(path: Path, boxes: I64, frame: tuple[int, str], image: Path, size: tuple[int, int]) -> Truth:
    """Boxes, turned upright.

    Raises:
        ImageError: a box reaches out of the image by more than a pixel.
    """
    height, width = size
    orientation, remark = frame
    rows, columns = stored_size(size, orientation)
    outside = ((boxes < -1) | (boxes > np.array([columns, rows, columns, rows]) + 1)).any(axis=1)
    if outside.any():
        box = boxes[outside][0].tolist()
        raise ImageError(f"{path}: the box {box} reaches out of the image {image.name} of {columns} x {rows}")
    return Truth(boxes=turn_boxes(boxes, orientation, size), remark=remark)


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


def coco_truth(path: Path, root: Path, image: str, size: tuple[int, int], values: LabelValues) -> Truth:
    """The truth of one image of a COCO file: a label image where classes are named and the file has outlines, else boxes.

    Raises:
        ImageError: no usable file, the image is not in it, or its objects do not fit the image.
    """
    coco = coco_file(path, outlines=bool(values.classes))
    found = coco.find(root, image)
    frame = frame_of(path, root / image, found.size, size)
    if not coco.outlined:
        return boxes_truth(path, coco.boxes(found), frame, root / image, size)
    orientation, remark = frame
    raw = turn_map(coco.category_map(found, stored_size(size, orientation)), orientation)
    classes = coco_classes(coco, values)
    labels = np.full(raw.shape, UNSCORED, np.int64)
    for value in np.unique(raw).tolist():
        labels[raw == value] = classes.get(value, UNSCORED)
    return counted(labels, raw, remark)


def coco_classes(coco: CocoFile, values: LabelValues) -> dict[int, int]:
    """Category -> class, and the class of pixels that no object covers.

    With `label_values` by the numbers of categories, 0 for what no object covers (unless a category has that number). Else by
    name: a class that is no category is what no object covers. Two classes that are both no category are that, and any object.

    Raises:
        ImageError: several classes are no categories.
    """
    numbers = {name: category for category, name in coco.categories.items()}
    others = [position for position, name in enumerate(values.classes) if name not in numbers]
    if values.label_values:
        table = dict(values.table)
        if 0 in table and 0 not in coco.categories:
            table[UNCOVERED] = table[0]
    elif len(others) == len(values.classes) == 2:
        table = {UNCOVERED: 0, **dict.fromkeys(coco.categories, 1)}
    elif len(others) > 1:
        first, second = (values.classes[position] for position in others[:2])
        raise ImageError(
            f"{coco.path}: index.classes: {first!r} and {second!r} are no categories{nearest(second, numbers)}; "
            "one class may be what no object covers; or set index.classes to [] for boxes"
        )
    else:
        table = {numbers[name]: position for position, name in enumerate(values.classes) if name in numbers}
        if others:
            table[UNCOVERED] = others[0]
    ignored = values.ignored | ({UNCOVERED} if 0 in values.ignored and 0 not in coco.categories else set())
    return {value: position for value, position in table.items() if value not in ignored}


def read_voc(path: Path) -> tuple[tuple[int, int], I64]:
    """Width and height (0 where not said), and the boxes, of a VOC annotation file: xmin - 1, ymin - 1, xmax, ymax.

    Pixels count from 1 and both corners belong to the box, so that xmin = xmax is one pixel. Objects marked difficult or
    truncated are kept, as in the evaluation of LOST and TokenCut.

    Raises:
        ImageError: unreadable, or without numbers where they belong, or a box without area.
    """
    check_regular(path)
    try:
        root = ElementTree.fromstring(path.read_bytes(), ElementTree.XMLParser(target=NoDocumentType()))
    except (ElementTree.ParseError, ValueError, LookupError, OSError, RecursionError) as error:
        raise ImageError(f"{path}: no annotations of VOC: {' '.join(str(error).split())}") from None
    if root.tag != "annotation":
        raise ImageError(f"{path}: no annotations of VOC: found <{root.tag}>")
    size = tuple(
        place(root.findtext(f"size/{side}"), f"{path}: size/{side}", lowest=0) if root.findtext(f"size/{side}") else 0
        for side in ("width", "height")
    )
    corners = []
    for number, thing in enumerate(root.findall("object"), start=1):
        where = f"{path}: object {number} ({shown(thing.findtext('name'))})"
        x0, y0, x1, y1 = (
            place(thing.findtext(f"bndbox/{side}"), f"{where}: {side}") for side in ("xmin", "ymin", "xmax", "ymax")
        )
        if x1 < x0 or y1 < y0:
            raise ImageError(
                f"{where}: the box [{x0}, {y0}, {x1}, {y1}] has no area; xmin, ymin, xmax, ymax are needed, the smaller first"
            )
        corners.append([x0 - 1, y0 - 1, x1, y1])
    return (size[0], size[1]), np.array(corners, np.int64).reshape(-1, 4)


def place(text: str | None, where: str, *, lowest: int = -LARGEST) -> int:
    """A number of pixels, rounded.

    Raises:
        ImageError: missing, no number, or none that a place in an image may have.
    """
    try:
        value = float(text or "")
        if not lowest <= value <= LARGEST:
            raise ValueError
    except ValueError:
        found = "nothing" if text is None else shown(text)
        raise ImageError(f"{where}: found {found}; a number of pixels is needed") from None
    return round(value)
