"""The check of one image file and its ground truth: both are decoded once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from usseg.pipeline.errors import ImageError
from usseg.pipeline.files import file_checksum
from usseg.pipeline.images import Unread, check_header, image_size
from usseg.pipeline.label_tally import LabelCounts
from usseg.pipeline.label_values import LabelValues
from usseg.pipeline.truth import read_truth


@dataclass(frozen=True)
class Row:
    """One image of the index."""

    id: str
    path: str
    label_path: str
    size: tuple[int, int]
    checksum: str
    label_checksum: str


@dataclass(frozen=True)
class Checked:
    """The result for one checked image: its row in the index, and its contribution to the log."""

    row: Row
    unread: Unread
    counts: LabelCounts | None
    remark: str


def check_file(
    name: str, path: Path, label: Path | None, root: Path, params: Any, shared: Mapping[Path, str]
) -> Checked:
    """Decode one image and its ground truth.

    `shared` holds the checksums of files with the ground truth of many images.

    Raises:
        ImageError: a file is unreadable or too large, the ground truth does not fit the image, or no class has a label
            value.
    """
    unread = check_header(path, params.max_pixels)
    height, width = image_size(path)
    image, label_path, truth = below(root, path), below(root, label) if label else "", None
    whole = label_path.lower().endswith((".xml", ".json"))
    if label is not None:
        if not whole:
            unread = replace(unread, pages=unread.pages + check_header(label, params.max_pixels).pages)
        values = LabelValues.of(params.model_dump())
        truth = read_truth(root, label_path, image, (height, width), values)
        strange = sorted(truth.counts.unscored.keys() - values.ignored) if truth.counts else []
        if strange and params.classes and not params.label_values and not whole:
            raise ImageError(
                f"{label}: found label value {strange[0]}; index.classes declares 0 to {len(params.classes) - 1} "
                f"and index.ignore {params.ignore}"
            )
    row = Row(
        name,
        image,
        label_path,
        (height, width),
        file_checksum(path),
        (shared.get(label) or file_checksum(label)) if label else "",
    )
    return Checked(row, unread, truth.counts if truth else None, truth.remark if truth else "")


def below(root: Path, path: Path) -> str:
    """The path as the index stores it: relative to root, or absolute outside root."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()
