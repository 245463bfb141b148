"""VOC annotation files: boxes around objects."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from usseg.pipeline.errors import ImageError
from usseg.pipeline.files import check_regular
from usseg.pipeline.outlines import shown

I64 = npt.NDArray[np.int64]
LARGEST = 10**6  # pixels; the largest coordinate


class NoDocumentType(ElementTree.TreeBuilder):
    """Builder of an XML tree that refuses a document type. A document type can define entities."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Refuse a document type."""
        raise ValueError("found a document type, which could hold entities; remove it")


def read_voc(path: Path) -> tuple[tuple[int, int], I64]:
    """Width and height (0 if missing), and the boxes, of a VOC annotation file.

    The boxes are int64 (box, 4): xmin, ymin, xmax, ymax in pixels, half open, from 0. In the file, pixels count from 1
    and both corners belong to the box: xmin and ymin are therefore reduced by 1. Objects that are marked difficult or
    truncated are kept, as in the evaluation of LOST and TokenCut.

    Raises:
        ImageError: the file is unreadable, a number is missing, or a box has no area.
    """
    check_regular(path)
    try:
        root = ElementTree.fromstring(path.read_bytes(), ElementTree.XMLParser(target=NoDocumentType()))
    except (ElementTree.ParseError, ValueError, LookupError, OSError, RecursionError) as error:
        raise ImageError(f"{path}: no annotations of VOC: {' '.join(str(error).split())}") from None
    if root.tag != "annotation":
        raise ImageError(f"{path}: no annotations of VOC: found <{root.tag}>")
    size = tuple(
        coordinate(root.findtext(f"size/{side}"), f"{path}: size/{side}", lowest=0)
        if root.findtext(f"size/{side}")
        else 0
        for side in ("width", "height")
    )
    corners = []
    for number, element in enumerate(root.findall("object"), start=1):
        where = f"{path}: object {number} ({shown(element.findtext('name'))})"
        x0, y0, x1, y1 = (
            coordinate(element.findtext(f"bndbox/{side}"), f"{where}: {side}")
            for side in ("xmin", "ymin", "xmax", "ymax")
        )
        if x1 < x0 or y1 < y0:
            raise ImageError(
                f"{where}: the box [{x0}, {y0}, {x1}, {y1}] has no area; "
                "xmin, ymin, xmax, ymax are needed, the smaller first"
            )
        corners.append([x0 - 1, y0 - 1, x1, y1])
    return (size[0], size[1]), np.array(corners, np.int64).reshape(-1, 4)


def coordinate(text: str | None, where: str, *, lowest: int = -LARGEST) -> int:
    """Parse a number of pixels, rounded to an integer.

    Raises:
        ImageError: the text is missing, is no number, or is not in `lowest` to LARGEST.
    """
    try:
        value = float(text or "")
        if not lowest <= value <= LARGEST:
            raise ValueError
    except ValueError:
        finding = "nothing" if text is None else shown(text)
        raise ImageError(f"{where}: found {finding}; a number of pixels is needed") from None
    return round(value)
