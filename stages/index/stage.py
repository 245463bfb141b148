"""List and check the images of a split."""

import logging
import threading
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from unicodedata import normalize

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.errors import ImageError, ParamsError
from usseg.pipeline.execution import Execution
from usseg.pipeline.files import file_checksum
from usseg.pipeline.images import Unread
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.label_tally import LabelTally
from usseg.pipeline.label_values import LabelValues, label_table, raw_value
from usseg.pipeline.params import Params, nearest, refused
from usseg.pipeline.stage import Stage

if TYPE_CHECKING:
    from usseg.stages.index.file_check import Checked, Row

log = logging.getLogger("usseg")


class SplitParams(Params):
    """The images of a split, and their labels if there are any."""

    images: str | list[str] = Field(
        description="folder or glob below root, or a list; {id} in a file name matches as * and gives the id"
    )
    labels: str | list[str] | None = Field(
        None, description="as `images`, matched by id; or one .json file of COCO instances; null: no labels"
    )
    ids: str | None = Field(
        None, description="file below root with an id or file name in each line: only these; null: all"
    )


class IndexParams(Params):
    """The images of the project, and the meaning of their label values."""

    root: str = Field(description="folder that the globs are relative to")
    splits: dict[str, SplitParams] = Field(description="named lists of images, each with its labels if there are any")
    fit_split: str = Field("train", description="the split that segmenters, clusters and students are fitted on")
    classes: list[str] = Field([], description="class names; the position is the label value")
    label_values: list[str] = Field(
        [],
        description="raw values of each class, such as '7', '0-3, 9' or '#804080'; other values are not scored; "
        "[]: the value is the class",
    )
    ignore: list[Annotated[int, Field(ge=-(2**31), lt=2**32)] | str] = Field(
        [255], description="raw values that are not scored, such as 255 or '#000000'"
    )
    on_error: Literal["fail", "skip"] = Field(
        "fail", description="what happens at an unreadable image or label: an error, or it is left out"
    )
    max_pixels: int = Field(178_956_970, ge=1, le=2**36, description="an image or label with more pixels is unreadable")

    @field_validator("splits")
    @classmethod
    def plain_names(cls, splits: dict[str, SplitParams]) -> dict[str, SplitParams]:
        """Refuse split names that are no file names."""
        for name in splits:
            if name == "all" or not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"split name {name!r}: letters, digits, - and _ are allowed, and 'all' is taken")
        if not splits:
            raise ValueError("at least one split is needed")
        return splits

    @field_validator("classes")
    @classmethod
    def names_of_their_own(cls, classes: list[str]) -> list[str]:
        """Refuse an empty class name, and one that occurs twice."""
        seen: dict[str, str] = {}
        for name in classes:
            same = normalize("NFC", name).strip()
            if not same:
                raise ValueError("a class without a name; write one")
            if same in seen:
                raise ValueError(f"{name!r} is named twice; a name of its own for each class is needed")
            seen[same] = name
        return classes

    @field_validator("label_values")
    @classmethod
    def each_value_once(cls, label_values: list[str], info: ValidationInfo) -> list[str]:
        """Refuse label values without one entry for each class, and values of several classes."""
        label_table(label_values)
        classes = info.data.get("classes")
        if label_values and classes is not None and len(label_values) != len(classes):
            raise ValueError(
                f"{len(label_values)} entries for the {len(classes)} of index.classes; "
                "one for each class, or [], is needed"
            )
        return label_values

    @field_validator("ignore")
    @classmethod
    def raw_values(cls, ignore: list[int | str], info: ValidationInfo) -> list[int | str]:
        """Refuse numbers where `label_values` are colours, and colours where they are numbers."""
        colors = any("#" in entry for entry in info.data.get("label_values", []))
        for value in ignore:
            raw_value(value)
            if isinstance(value, str) != colors and ignore != [255]:
                raise ValueError(
                    f"{value!r} is {'no colour' if colors else 'a colour'}, and label_values are "
                    f"{'colours' if colors else 'numbers'}; the same is needed here"
                )
        return ignore


def shown(paths: Sequence[str]) -> str:
    """The first path, and the number of further paths."""
    return f"{paths[0]}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}" if paths else ""


def run(params: IndexParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """List the images of a split by id. One line of the log states how many are taken and left out."""
    from usseg.stages.index.file_check import check_file
    from usseg.stages.index.list_file import Selection, listed
    from usseg.stages.index.listing import Listing, account, files_of, truth_files

    split = params.splits[inputs.split]
    root = inputs.root
    where, title = f"params.yaml: index.splits.{inputs.split}", f"index@{inputs.split}"
    found = files_of(root, split.images, f"{where}.images")
    labels = Listing()
    if split.labels is not None:
        labels = truth_files(root, split.labels, found.files, f"{where}.labels", outlines=bool(params.classes))
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

    reading = threading.local()  # the file that each thread reads
    complaints: dict[str, None] = {}

    def checked(name: str) -> "Checked | ImageError":
        reading.path = files[name]
        if name in bare:
            return ImageError(f"{files[name]}: no label file for it")
        try:
            return check_file(name, files[name], labels.files.get(name), root, params, shared)
        except ImageError as error:
            return error

    rows: list[Row] = []
    errors: list[ImageError] = []
    unread: dict[str, Unread] = {}
    remarks: list[str] = []
    tally = LabelTally(LabelValues.of(params.model_dump()))
    with warnings.catch_warnings(), ThreadPoolExecutor(execution.workers) as pool:
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: complaints.update(
            {f"{getattr(reading, 'path', root)}: {message}": None}
        )
        for done, result in enumerate(pool.map(checked, files), start=1):
            if isinstance(result, ImageError):
                errors.append(result)
            else:
                rows.append(result.row)
                unread[result.row.path] = result.unread
                remarks += [result.remark] if result.remark else []
                tally.add(result.counts)
            execution.progress(done, len(files))
    if errors and (params.on_error == "fail" or not rows):
        more = f" (and {len(errors) - 1} more bad files)" if len(errors) > 1 else ""
        raise ImageError(f"{title}: {errors[0]}{more}; mend or remove it, or set index.on_error: skip")
    for note in selection.notes:
        log.info("%s: %s", title, note)
    for complaint in complaints:
        log.warning("%s: %s", title, " ".join(complaint.split()))
    for error in errors:
        log.warning("%s: skipped: %s", title, error)
    if remarks:
        log.warning("%s: %s%s", title, remarks[0], f" (and {len(remarks) - 1} more)" if len(remarks) > 1 else "")
    for line in tally.lines(inputs.split):
        log.warning("%s: %s", title, line)
    pages = {path: one.pages for path, one in unread.items() if one.pages}
    deep = [path for path, one in unread.items() if one.lower_bits]
    outside = [path for path in unread if path.startswith(("/", "../"))]
    if deep:
        log.warning("%s: only the upper 8 of 16 bits a colour are read (%s)", title, shown(deep))
    if outside:
        log.warning("%s: not below index.root, so that dvc does not see a change (%s)", title, shown(outside))
    left = {
        f"not in {split.ids}": len(found.files) - len(files) - len(selection.flagged),
        f"with the flag -1 in {split.ids}": len(selection.flagged),
        "unreadable (skipped)": len(errors),
        f"pages behind the first ({shown(list(pages))})": sum(pages.values()),
    }
    log.info("%s: %s", title, account([Path(path) for path in unread], found, left, labels))
    return arrays(rows)


def arrays(rows: "Iterable[Row]") -> dict[str, Any]:
    """The rows of the index as arrays, one for each field."""
    from usseg.stages.index.file_check import Row

    listed = list(rows)
    columns = {name: [getattr(row, name) for row in listed] for name in Row.__dataclass_fields__}
    return {**columns, "size": np.array(columns["size"], np.int32).reshape(-1, 2)}


def record(params: IndexParams, split: str) -> dict[str, Any]:
    """The params in the cache key. Class names are left out: an edit of them re-runs only the stages that read them."""
    return {
        "root": params.root,
        "split": params.splits[split].model_dump(),
        "on_error": params.on_error,
        "max_pixels": params.max_pixels,
    }


def check(sections: Mapping[str, Any]) -> None:
    """Refuse a misspelt `fit_split`.

    Any other absent fit split is refused by the stage that reads it, because a project may have no fit split yet.

    Raises:
        ParamsError: a split has a similar name.
    """
    params = sections["index"]
    near = nearest(params.fit_split, params.splits)
    if params.fit_split not in params.splits and near:
        known = f"a split of index.splits is needed{near} (known: {', '.join(params.splits)})"
        raise refused("index.fit_split", params.fit_split, known)


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
    check=check,
)
