"""List and check the images of a split."""

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from pipeline.artifact import ArraySpec
from pipeline.errors import ImageError, ParamsError
from pipeline.images import check_pixels, file_checksum, image_size, label_table
from pipeline.params import Params
from pipeline.stage import Execution, Inputs, Stage
from pipeline.truth import check_truth

log = logging.getLogger("usseg")


class SplitParams(Params):
    """Where the images of a split stand, and their labels if there are any."""

    images: str | list[str] = Field(
        description="folder or glob below root, or a list; {id} in a file name is a * that names the image"
    )
    labels: str | list[str] | None = Field(
        None, description="as images, matched to them by id; or one COCO file of instances, .json"
    )
    ids: str | None = Field(None, description="file below root with an id or a file name a line: only these; null: all")


class IndexParams(Params):
    """Which images there are and what their label values mean."""

    root: str = Field(description="folder that the globs are relative to")
    splits: dict[str, SplitParams]
    classes: list[str] = Field(description="class names; the position is the label value")
    label_values: list[str] = Field(
        [],
        description="raw label values a class, such as '7' or '0-3, 9', the others never scored; []: values are classes",
    )
    ignore: list[Annotated[int, Field(ge=-(2**31), lt=2**32)]] = Field([255], description="label values never scored")
    on_error: Literal["fail", "skip"] = Field("fail", description="what an unreadable image or label does")
    max_pixels: int = Field(178_956_970, ge=1, le=2**36, description="an image or label with more pixels is unreadable")

    @field_validator("splits")
    @classmethod
    def plain_names(cls, splits: dict[str, SplitParams]) -> dict[str, SplitParams]:
        """Split names become file names."""
        for name in splits:
            if name == "all" or not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"split name {name!r}: letters, digits, - and _ are allowed, and 'all' is taken")
        if not splits:
            raise ValueError("at least one split is needed")
        return splits

    @field_validator("label_values")
    @classmethod
    def each_value_once(cls, label_values: list[str]) -> list[str]:
        """A value belongs to one class."""
        label_table(label_values)
        return label_values


@dataclass(frozen=True)
class Row:
    """One image of the index."""

    id: str
    path: str
    label_path: str
    size: tuple[int, int]
    checksum: str
    label_checksum: str


def check_file(
    name: str, path: Path, label: Path | None, root: Path, params: IndexParams, shared: Mapping[Path, str]
) -> tuple[Row, int]:
    """Decode one image and its truth; returns how many pages behind the first they have too.

    `shared` has the checksums of files with the truth of many.

    Raises:
        ImageError: unreadable, too large, sizes that differ, or a label value that no class has.
    """
    pages = check_pixels(path, params.max_pixels)
    height, width = image_size(path)
    labels = None
    if label is not None:
        pages += 0 if label.suffix.lower() in (".xml", ".json") else check_pixels(label, params.max_pixels)
        labels = check_truth(label, path.name, (height, width)).labels
    if labels is not None:
        allowed = {*range(len(params.classes)), *params.ignore}
        strange = sorted(set(np.unique(labels).tolist()) - allowed)
        if params.classes and strange and not params.label_values:
            raise ImageError(
                f"{label}: found label value {strange[0]}; index.classes declares 0 to {len(params.classes) - 1} "
                f"and index.ignore {params.ignore}"
            )
    row = Row(
        name,
        below(root, path),
        below(root, label) if label else "",
        (height, width),
        file_checksum(path),
        (shared.get(label) or file_checksum(label)) if label else "",
    )
    return row, pages


def below(root: Path, path: Path) -> str:
    """The path as the index has it: relative to root, or absolute where it is elsewhere."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def run(params: IndexParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """List the split's images in the order of their ids, and say in one line what is in and what was left out."""
    from stages.index.list_file import Selection, listed
    from stages.index.listing import Listing, account, files_of, truth_files

    split = params.splits[inputs.split]
    root = inputs.root
    where, title = f"params.yaml: index.splits.{inputs.split}", f"index@{inputs.split}"
    found = files_of(root, split.images, f"{where}.images")
    labels = truth_files(root, split.labels, found.files, f"{where}.labels") if split.labels is not None else Listing()
    selection = Selection(list(found.files), [], set(), [])
    if split.ids is not None:
        selection = listed(root, split.ids, f"{where}.ids", found.files)
        if selection.absent or not selection.ids:
            named = f"{selection.absent[0]!r} is" if selection.absent else "nothing is"
            more = f" (and {len(selection.absent) - 1} more lines)" if len(selection.absent) > 1 else ""
            raise ParamsError(
                f"{where}.ids: {named} listed in {split.ids}, but {split.images!r} has no such image{more}"
            )
    files = {name: found.files[name] for name in sorted(selection.ids)}
    bare = {name for name in files if split.labels is not None and name not in labels.files}
    if bare and params.on_error == "fail":
        more = f" (and {len(bare) - 1} more without one)" if len(bare) > 1 else ""
        raise ParamsError(
            f"{where}.labels: no label file for image {min(bare)!r}; add it, or set labels to null, "
            f"or index.on_error to skip{more}"
        )
    shared = {path: file_checksum(path) for path in set(labels.files.values()) if path.suffix.lower() == ".json"}

    def checked(name: str) -> tuple[Row, int] | ImageError:
        if name in bare:
            return ImageError(f"{files[name]}: no label file for it")
        try:
            return check_file(name, files[name], labels.files.get(name), root, params, shared)
        except ImageError as error:
            return error

    rows: list[Row] = []
    errors: list[ImageError] = []
    pages: dict[str, int] = {}
    with ThreadPoolExecutor(execution.workers) as pool:
        for done, result in enumerate(pool.map(checked, files), start=1):
            if isinstance(result, ImageError):
                errors.append(result)
            else:
                rows.append(result[0])
                pages |= {result[0].path: result[1]} if result[1] else {}
            execution.progress(done, len(files))
    if errors and (params.on_error == "fail" or not rows):
        more = f" (and {len(errors) - 1} more bad files)" if len(errors) > 1 else ""
        raise ImageError(f"{errors[0]}{more}; mend or remove it, or set index.on_error: skip")
    for note in selection.notes:
        log.info("%s: %s", title, note)
    for error in errors:
        log.warning("%s: skipped: %s", title, error)
    outside = [row.path for row in rows if row.path.startswith(("/", "../"))]
    if outside:
        number = "1 file" if len(outside) == 1 else f"{len(outside)} files"
        log.warning(
            "%s: %s, such as %s, not below index.root: dvc does not see a change there", title, number, outside[0]
        )
    unlisted = len(found.files) - len(files) - len(selection.flagged)
    left = {
        f"not in {split.ids}": unlisted,
        f"with the flag -1 in {split.ids}": len(selection.flagged),
        "unreadable (skipped)": len(errors),
        f"pages behind the first (in {min(pages, default='')}"
        f"{f' and {len(pages) - 1} more' if len(pages) > 1 else ''})": sum(pages.values()),
    }
    log.info("%s: %s", title, account([Path(row.path) for row in rows], found, left, labels))
    return arrays(rows)


def arrays(rows: Iterable[Row]) -> dict[str, Any]:
    """Rows -> columns."""
    listed = list(rows)
    columns = {name: [getattr(row, name) for row in listed] for name in Row.__dataclass_fields__}
    return {**columns, "size": np.array(columns["size"], np.int32).reshape(-1, 2)}


def record(params: IndexParams, split: str) -> dict[str, Any]:
    """Class names do not change the list, so they are left out: editing them re-runs only what reads them."""
    return {
        "root": params.root,
        "split": params.splits[split].model_dump(),
        "on_error": params.on_error,
        "max_pixels": params.max_pixels,
    }


STAGE = Stage(
    name="index",
    summary="List the images of a split and check that every file can be read.",
    version=1,
    params=IndexParams,
    inputs=(),
    arrays={
        "id": ArraySpec(("image",), "str", "path below the glob's fixed part, without suffix, in NFC; sorted"),
        "path": ArraySpec(("image",), "str", "image file, relative to index.root; absolute where it is elsewhere"),
        "label_path": ArraySpec(("image",), "str", "label file, relative to index.root; empty without labels"),
        "size": ArraySpec(("image", "side"), "int32", "height and width after EXIF rotation, pixels"),
        "checksum": ArraySpec(("image",), "str", "SHA-256 of the image file"),
        "label_checksum": ArraySpec(("image",), "str", "SHA-256 of the label file"),
    },
    run=run,
    record=record,
)
