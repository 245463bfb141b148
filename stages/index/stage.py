"""List and check the images of a split."""

import logging
from collections.abc import Container, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from pipeline.artifact import ArraySpec
from pipeline.errors import ImageError, ParamsError
from pipeline.images import file_checksum, label_table, read_image
from pipeline.params import Params
from pipeline.stage import Execution, Inputs, Stage
from pipeline.truth import check_truth, coco_images

log = logging.getLogger("usseg")


class SplitParams(Params):
    """Where the images of a split stand, and their labels if there are any."""

    images: str = Field(description="glob below root; {id} in a file name is a * that names the image")
    labels: str | None = Field(
        None, description="glob below root, matched to images by id; or one COCO file of instances, .json"
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
    on_error: Literal["fail", "skip"] = Field("fail", description="what an unreadable image does")

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


def file_id(path: Path, pattern: str, fixed: Path) -> str:
    """The path below the glob's fixed part, without suffix; of the file name, what `{id}` stands for where the glob has it.

    `gtFine/val/*/{id}_labelIds.png` gives `bonn/bonn_000001` for `gtFine/val/bonn/bonn_000001_labelIds.png`.
    """
    begin, _, end = pattern.partition("{id}")
    name = path.name[len(begin) : len(path.name) - len(end)] if "{id}" in pattern else path.stem
    return (path.relative_to(fixed).parent / name).as_posix()


def listed(root: Path, ids: str, where: str, known: Container[str]) -> list[str]:
    """The ids in a list file, in its order; a line may also be a path, whose id is its file name without suffix."""
    try:
        lines = (root / ids).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ParamsError(f"{where}: {root / ids}: {reason}; a text file with an id a line is needed") from None
    names = [line.strip() for line in lines if line.strip()]
    stems = [PurePosixPath(name).stem for name in names]
    return list(
        dict.fromkeys(
            stem if stem in known and name not in known else name for name, stem in zip(names, stems, strict=True)
        )
    )


def files_of(root: Path, glob: str, where: str) -> dict[str, Path]:
    """Files that match a glob, by id.

    Raises:
        ParamsError: no glob below root, nothing matches, a name is no UTF-8, or two files share a stem.
    """
    *folders, pattern = PurePosixPath(glob).parts or ("",)
    try:
        matching = root.glob("/".join([*folders, pattern.replace("{id}", "*")]))
        paths = sorted(path for path in matching if path.is_file())
    except (ValueError, NotImplementedError):
        raise ParamsError(f"{where}: found {glob!r}; a glob below index.root is needed, such as 'images/*'") from None
    fixed = root
    for part in folders:
        if any(sign in part for sign in "*?["):
            break
        fixed = fixed / part
    found: dict[str, Path] = {}
    for path in paths:
        stem = file_id(path, pattern, fixed)
        try:
            stem.encode()
        except UnicodeEncodeError:
            raise ParamsError(f"{where}: the file name {path.name!a} is not UTF-8; rename it") from None
        if stem in found:
            raise ParamsError(f"{where}: {found[stem].name} and {path.name} share the id {stem!r}; rename one")
        found[stem] = path
    if not found:
        raise ParamsError(f"{where}: no file matches {glob!r} below {root}; check index.root and the glob")
    return found


def truth_files(root: Path, glob: str, names: Iterable[str], where: str) -> dict[str, Path]:
    """The file with the truth of each image, by id; a .json file has that of all of them.

    Raises:
        ParamsError: as `files_of`, or several .json files.
        ImageError: a .json file that is no COCO instances.
    """
    found = files_of(root, glob, where)
    whole = [path for path in found.values() if path.suffix == ".json"]
    if not whole:
        return found
    if len(found) > 1:
        raise ParamsError(f"{where}: {glob!r} matches {len(found)} files; of .json one file with all images is needed")
    coco_images(whole[0])
    return dict.fromkeys(names, whole[0])


def check_file(
    name: str, path: Path, label: Path | None, root: Path, params: IndexParams, shared: Mapping[Path, str]
) -> Row:
    """Decode one image and its truth; `shared` has the checksums of files with the truth of many.

    Raises:
        ImageError: unreadable, sizes that differ, or a label value that no class has.
    """
    height, width = read_image(path).shape[:2]
    labels = check_truth(label, path.name, (height, width)).labels if label is not None else None
    if labels is not None:
        allowed = {*range(len(params.classes)), *params.ignore}
        strange = sorted(set(np.unique(labels).tolist()) - allowed)
        if params.classes and strange and not params.label_values:
            raise ImageError(
                f"{label}: found label value {strange[0]}; index.classes declares 0 to {len(params.classes) - 1} "
                f"and index.ignore {params.ignore}"
            )
    return Row(
        name,
        path.relative_to(root).as_posix(),
        label.relative_to(root).as_posix() if label else "",
        (height, width),
        file_checksum(path),
        (shared.get(label) or file_checksum(label)) if label else "",
    )


def run(params: IndexParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """List the split's images in the order of their ids."""
    split = params.splits[inputs.split]
    root = inputs.root
    where = f"params.yaml: index.splits.{inputs.split}"
    files = files_of(root, split.images, f"{where}.images")
    labels = truth_files(root, split.labels, files, f"{where}.labels") if split.labels else {}
    if split.ids:
        wanted = listed(root, split.ids, f"{where}.ids", files)
        absent = [name for name in wanted if name not in files]
        if absent or not wanted:
            found = f"{absent[0]!r} is" if absent else "nothing is"
            raise ParamsError(f"{where}.ids: {found} listed in {split.ids}, but {split.images!r} has no such image")
        files = {name: files[name] for name in wanted}
    for name in files if split.labels else ():
        if name not in labels:
            raise ParamsError(f"{where}.labels: no label file for image {name!r}; add it, or set labels to null")

    shared = {path: file_checksum(path) for path in set(labels.values()) if path.suffix == ".json"}

    def checked(name: str) -> Row | ImageError:
        try:
            return check_file(name, files[name], labels.get(name), root, params, shared)
        except ImageError as error:
            return error

    rows: list[Row] = []
    errors: list[ImageError] = []
    with ThreadPoolExecutor(execution.workers) as pool:
        for done, result in enumerate(pool.map(checked, sorted(files)), start=1):
            rows.append(result) if isinstance(result, Row) else errors.append(result)
            execution.progress(done, len(files))
    if errors:
        if params.on_error == "fail" or not rows:
            more = f" (and {len(errors) - 1} more bad files)" if len(errors) > 1 else ""
            raise ImageError(f"{errors[0]}{more}; mend or remove it, or set index.on_error: skip")
        for error in errors:
            log.warning("skipped: %s", error)
    return arrays(rows)


def arrays(rows: Iterable[Row]) -> dict[str, Any]:
    """Rows -> columns."""
    listed = list(rows)
    columns = {name: [getattr(row, name) for row in listed] for name in Row.__dataclass_fields__}
    return {**columns, "size": np.array(columns["size"], np.int32).reshape(-1, 2)}


def record(params: IndexParams, split: str) -> dict[str, Any]:
    """Class names do not change the list, so they are left out: editing them re-runs only what reads them."""
    return {"root": params.root, "split": params.splits[split].model_dump(), "on_error": params.on_error}


STAGE = Stage(
    name="index",
    summary="List the images of a split and check that every file can be read.",
    version=1,
    params=IndexParams,
    inputs=(),
    arrays={
        "id": ArraySpec(("image",), "str", "path below the glob's fixed part, without suffix; sorted"),
        "path": ArraySpec(("image",), "str", "image file, relative to index.root"),
        "label_path": ArraySpec(("image",), "str", "label file, relative to index.root; empty without labels"),
        "size": ArraySpec(("image", "side"), "int32", "height and width after EXIF rotation, pixels"),
        "checksum": ArraySpec(("image",), "str", "SHA-256 of the image file"),
        "label_checksum": ArraySpec(("image",), "str", "SHA-256 of the label file"),
    },
    run=run,
    record=record,
)
