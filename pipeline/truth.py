"""Ground truth of an image: a label image, the segmentations of several people, or boxes around objects.

Kinds of files:

- a label image (PNG, TIFF, ... or .mat); `pipeline.label_values` gives the meaning of its values;
- a .mat file with `groundTruth`, as in BSDS500: segmentations of several people;
- an .xml file, as in VOC: boxes;
- a COCO file of instances (.json) for a whole split. If `index.classes` names classes and the file has outlines, a
  label image is drawn from polygons and run lengths. Otherwise its boxes are used.

A photo is turned upright by its EXIF orientation, and its ground truth is turned with it. A map is turned if it has the
shape of the stored photo. Boxes and outlines are turned if their file declares the size of the stored photo.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.coco import CocoFile, coco_file
from usseg.pipeline.errors import ImageError
from usseg.pipeline.label_tally import LabelCounts
from usseg.pipeline.label_values import UNCOVERED, UNSCORED, LabelValues, pieces
from usseg.pipeline.labels import read_labels
from usseg.pipeline.matlab import read_matrix
from usseg.pipeline.orientation import orientation_of, stored_size, turn_boxes, turn_map
from usseg.pipeline.params import nearest
from usseg.pipeline.voc import read_voc

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Truth:
    """Ground truth of one image. What its file does not hold is None."""

    labels: I64 | None = None  # classes (height, width); UNSCORED where a pixel is never scored
    partitions: tuple[I64, ...] | None = None  # one map of region ids (height, width) for each person
    boxes: I64 | None = None  # (box, 4): xmin, ymin, xmax, ymax, half open, pixels
    counts: LabelCounts | None = None  # pixel counts of `labels`
    remark: str = ""  # a decision that the files leave open, for the user

    @property
    def kind(self) -> str:
        """The kind of ground truth, in words."""
        if self.labels is not None:
            return "a label image"
        return "segmentations" if self.partitions is not None else "boxes"


def read_truth(root: Path, label: str, image: str, size: tuple[int, int], values: LabelValues) -> Truth:
    """Read the ground truth of one image, and check that it fits the image.

    Args:
        root: the folder to which `label` and `image` are relative.
        label: VOC annotations (.xml), COCO instances (.json), segmentations (.mat with `groundTruth`), or a label
            image.
        image: the image file.
        size: height and width of the upright image.
        values: the meaning of label values.

    Raises:
        ImageError: the file is unreadable, is of no known kind, or does not fit the image; one line with the path and
            the cause.
    """
    path, suffix = root / label, Path(label).suffix.lower()
    if suffix == ".xml":
        declared, boxes = read_voc(path)
        return boxes_truth(path, boxes, frame_of(path, root / image, declared, size), root / image, size)
    if suffix == ".json":
        return coco_truth(path, root, image, size, values)
    if suffix == ".mat" and (cells := read_matrix(path)).dtype == object:
        maps = segmentations(cells, path)
        return Truth(partitions=tuple(fitting(regions, path, root / image, size) for regions in maps))
    raw = fitting(read_labels(path, values), path, root / image, size)
    return counted(values.to_classes(raw), raw)


def counted(labels: I64, raw: I64, remark: str = "") -> Truth:
    """The ground truth of a label image, with its pixel counts.

    Args:
        labels: classes (height, width).
        raw: the raw values of the same pixels.
        remark: a remark for the user.
    """
    scored: Counter[int] = Counter()
    unscored: Counter[int] = Counter()
    for piece in pieces(labels.size):
        classes, values = labels.reshape(-1)[piece], raw.reshape(-1)[piece]
        ignored = classes == UNSCORED
        scored.update(counts(classes[~ignored]))
        unscored.update(counts(values[ignored]))
    label_counts = LabelCounts(dict(sorted(scored.items())), dict(sorted(unscored.items())))
    return Truth(labels=labels, counts=label_counts, remark=remark)


def counts(values: I64) -> dict[int, int]:
    """Value -> number of its occurrences."""
    distinct, numbers = np.unique(values, return_counts=True)
    return dict(zip(distinct.tolist(), numbers.tolist(), strict=True))


def fitting(values: I64, path: Path, image: Path, size: tuple[int, int]) -> I64:
    """A map in the frame of the upright image. A map with the shape of the stored photo is turned upright.

    Raises:
        ImageError: the map has another size; or the orientation of the map is not known: the photo is turned, its
            stored and upright sizes are equal, and the map has no EXIF orientation.
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
                f"{path}: {image.name} is turned upright (EXIF orientation {orientation}), and both ways its size is "
                f"{width} x {height}: whether the labels stand upright cannot be told; "
                "save the photo upright without EXIF orientation, or write an EXIF orientation into the labels"
            )
        return values
    return values if values.shape == size else turn_map(values, orientation)


def frame_of(path: Path, image: Path, declared: tuple[int, int], size: tuple[int, int]) -> tuple[int, str]:
    """The EXIF orientation by which boxes and outlines are turned (1: not turned), and a remark for the user or "".

    Boxes and outlines are turned if the declared size is the size of the stored photo. If the stored and upright sizes
    are equal, this is a decision, and the remark says so.

    Args:
        path: the annotation file.
        image: the photo.
        declared: width and height in the annotation file; (0, 0) if it declares none.
        size: height and width of the upright photo.

    Raises:
        ImageError: another size is declared, or the photo is turned and no size is declared.
    """
    height, width = size
    orientation = orientation_of(image) or 1
    stored = stored_size(size, orientation)[::-1]
    if orientation == 1:
        # Width and height may be swapped: some published annotations swap them. The boxes are checked separately.
        known = declared in ((0, 0), (width, height), (height, width))
    else:
        if declared == (0, 0):
            raise ImageError(
                f"{path}: no size, and {image.name} is turned upright (EXIF orientation {orientation}); "
                "declare the width and height that the boxes refer to"
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
    """The ground truth of boxes, turned upright.

    Args:
        path: the annotation file.
        boxes: (box, 4): xmin, ymin, xmax, ymax in pixels, half open.
        frame: the result of `frame_of`.
        image: the photo.
        size: height and width of the upright photo.

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
    """The maps of region ids (height, width) in the cells of `groundTruth`: one struct with `Segmentation` per person.

    Raises:
        ImageError: the cells have another content.
    """
    try:
        maps = [np.asarray(cell["Segmentation"][0, 0]) for cell in cells.reshape(-1)]
    except (IndexError, TypeError, ValueError):
        maps = []
    if not maps or any(regions.ndim != 2 or regions.dtype.kind not in "iu" for regions in maps):
        raise ImageError(
            f"{path}: found no segmentations; cells with a map `Segmentation` each are needed, as of BSDS500"
        )
    return tuple(regions.astype(np.int64) for regions in maps)


def coco_truth(path: Path, root: Path, image: str, size: tuple[int, int], values: LabelValues) -> Truth:
    """The ground truth of one image of a COCO file.

    It is a label image if `values` names classes and the file has outlines. Otherwise it is boxes.

    Raises:
        ImageError: the file is unusable, does not list the image, or has objects that do not fit the image.
    """
    coco = coco_file(path, outlines=bool(values.classes))
    entry = coco.find(root, image)
    frame = frame_of(path, root / image, entry.size, size)
    if not coco.outlined:
        return boxes_truth(path, coco.boxes(entry), frame, root / image, size)
    orientation, remark = frame
    raw = turn_map(coco.category_map(entry, stored_size(size, orientation)), orientation)
    classes = coco_classes(coco, values)
    labels = np.full(raw.shape, UNSCORED, np.int64)
    for value in np.unique(raw).tolist():
        labels[raw == value] = classes.get(value, UNSCORED)
    return counted(labels, raw, remark)


def coco_classes(coco: CocoFile, values: LabelValues) -> dict[int, int]:
    """Map COCO categories, and UNCOVERED for pixels of no object, to classes.

    - With `label_values`: a raw value is the number of a category. 0 is UNCOVERED unless a category has the number 0.
    - With two classes that are both no categories: the first class is UNCOVERED, the second is any object.
    - Otherwise: a class has the name of a category. One class may be no category; it is UNCOVERED.

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
