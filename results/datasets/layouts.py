"""Layout of a dataset as it is distributed: its files, and the settings for params.yaml."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usseg.pipeline.errors import ImageError, ParamsError
from usseg.results.params_file import Settings
from usseg.stages.index.list_file import listed
from usseg.stages.index.listing import files_of, truth_files

Splits = Mapping[str, Mapping[str, str | None]]
# The kinds of scores, each with the settings that it requires.
CLASSES: Settings = {"refine": {"source": "assign"}, "evaluate": {"method": "classes"}}
OBJECTS: Settings = {
    "segments": {"background": "border"},
    "refine": {"source": "segments", "foreground": True},
    "evaluate": {"method": "objects"},
}
PARTITIONS: Settings = {"refine": {"source": "segments"}, "evaluate": {"method": "partitions"}}
OBJECT = {"background": "0-127", "object": "128-255"}  # ranges, because masks have grey edges


@dataclass(frozen=True)
class Layout:
    """The layout of a dataset below one folder.

    Attributes:
        name: the name for `usseg dataset`.
        summary: one line.
        places: alternative file trees; the first one whose images exist is used.
        classes: class -> its raw label values, as `label_table` reads them.
        published: split -> the published number of images.
        scoring: settings of the kind of score.
    """

    name: str
    summary: str
    places: tuple[Splits, ...]
    classes: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[str, int] = field(default_factory=dict)
    scoring: Settings = field(default_factory=lambda: CLASSES)


def has_files(root: Path, glob: str) -> bool:
    """Whether a glob below root matches a file."""
    try:
        files_of(root, glob, "")
    except ParamsError:
        return False
    return True


def splits_at(layout: Layout, root: Path) -> Splits:
    """The first file tree of a layout whose images exist below root; the first one if none does."""
    for splits in layout.places:
        if all(has_files(root, str(split["images"])) for split in splits.values()):
            return splits
    return layout.places[0]


def settings_of(layout: Layout, root: Path, content: Settings | None = None) -> dict[str, dict[str, Any]]:
    """The settings of a dataset at root: the section `index`, the kind of score, and `cluster.k`.

    The fit split is the first split without labels, or `train`, or the first split. If classes are scored, `cluster.k`
    is their number. It does not count the class `background` if, by the other params, background pixels have a label of
    their own.

    Args:
        layout: the layout of the dataset.
        root: the folder of the dataset.
        content: the present content of params.yaml.
    """
    splits = {name: dict(split) for name, split in splits_at(layout, root).items()}
    colors = any(values.startswith("#") for values in layout.classes.values())
    index = {
        "root": str(root),
        "splits": splits,
        "classes": list(layout.classes),
        "label_values": list(layout.classes.values()),
        "ignore": [] if layout.classes == OBJECT or colors else [255],
    }
    unlabelled = [name for name, split in splits.items() if not split["labels"]]
    train = [name for name in splits if name == "train"]
    index["fit_split"] = [*unlabelled, *train, *splits][0]
    cluster: dict[str, Any] = {}
    if layout.scoring is CLASSES:
        present = {section: keys for section, keys in (content or {}).items() if isinstance(keys, Mapping)}
        own_label = present.get("segments", {}).get("background") == "border"
        own_label &= not present.get("assign", {}).get("background_collision", False)
        own_label &= present.get("cluster", {}).get("rows") != "tokens"
        cluster["k"] = len(layout.classes) - (own_label and "background" in layout.classes)
    settings = {"index": index, **{section: dict(keys) for section, keys in layout.scoring.items()}}
    return {**settings, "cluster": cluster} if cluster else settings


def check(layout: Layout, root: Path) -> Iterator[tuple[str, bool]]:
    """Yield for each split one line about its files, and whether all of them exist."""
    for name, split in splits_at(layout, root).items():
        try:
            images = files_of(root, str(split["images"]), name).files
            labels = truth_files(root, split["labels"], images, name).files if split["labels"] else {}
            selection = listed(root, str(split["ids"]), name, images) if split.get("ids") else None
        except (ParamsError, ImageError) as error:
            yield f"{error}", False
            continue
        wanted, absent = (selection.ids, selection.absent) if selection else (list(images), [])
        unlabelled = [i for i in wanted if i not in labels] if split["labels"] else []
        number = layout.published.get(name)
        parts = [f"{name}: {len(wanted)} images" + (f", published {number}" if number else "")]
        if absent:
            parts.append(f"{len(absent)} of {split['ids']} are missing, such as {absent[0]!r}")
        if unlabelled:
            parts.append(f"{len(unlabelled)} have no file in {split['labels']}, such as {unlabelled[0]!r}")
        yield "; ".join(parts), not absent and not unlabelled
