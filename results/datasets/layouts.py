"""A dataset as it is distributed: which files belong together, and what params.yaml says of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usseg.pipeline.errors import ImageError, ParamsError
from usseg.results.params_file import Settings
from usseg.stages.index.list_file import listed
from usseg.stages.index.listing import files_of, truth_files

Splits = Mapping[str, Mapping[str, str | None]]
# How a dataset is scored, and what that asks of the stages before.
CLASSES: Settings = {"refine": {"source": "assign"}, "evaluate": {"method": "classes"}}
OBJECTS: Settings = {
    "segments": {"background": "border"},
    "refine": {"source": "segments", "foreground": True},
    "evaluate": {"method": "objects"},
}
PARTITIONS: Settings = {"refine": {"source": "segments"}, "evaluate": {"method": "partitions"}}
OBJECT = {"background": "0-127", "object": "128-255"}  # masks are grey at their edges


@dataclass(frozen=True)
class Layout:
    """A dataset below one folder. `places` are the file trees it is found in; the first with images is taken."""

    name: str
    summary: str
    places: tuple[Splits, ...]
    classes: Mapping[str, str] = field(default_factory=dict)  # raw label values of each, see `label_table`
    published: Mapping[str, int] = field(default_factory=dict)  # images a split
    scoring: Settings = field(default_factory=lambda: CLASSES)


def has_files(root: Path, glob: str) -> bool:
    """Whether a glob matches anything."""
    try:
        files_of(root, glob, "")
    except ParamsError:
        return False
    return True


def splits_at(layout: Layout, root: Path) -> Splits:
    """The file tree of a layout that has images below root, or the first."""
    for splits in layout.places:
        if all(has_files(root, str(split["images"])) for split in splits.values()):
            return splits
    return layout.places[0]


def settings_of(layout: Layout, root: Path, content: Settings | None = None) -> dict[str, dict[str, Any]]:
    """What params.yaml says of a dataset at root: the index section, how it is scored, and what is clustered.

    The split to fit on is the one without labels, else `train`, else the first. Where classes are scored there is a
    cluster for each. The class `background` has none where, by the content of params.yaml, the background of an image
    has a label of its own.
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
    bare = [name for name, split in splits.items() if not split["labels"]]
    index["fit_split"] = [*bare, *(name for name in splits if name == "train"), *splits][0]
    cluster: dict[str, Any] = {}
    if layout.scoring is CLASSES:
        found = {section: keys for section, keys in (content or {}).items() if isinstance(keys, Mapping)}
        own_label = found.get("segments", {}).get("background") == "border"
        own_label &= not found.get("assign", {}).get("background_collision", False)
        own_label &= found.get("cluster", {}).get("rows") != "tokens"
        cluster["k"] = len(layout.classes) - (own_label and "background" in layout.classes)
    settings = {"index": index, **{section: dict(keys) for section, keys in layout.scoring.items()}}
    return {**settings, "cluster": cluster} if cluster else settings


def check(layout: Layout, root: Path) -> Iterator[tuple[str, bool]]:
    """What is there and what is missing, a line a split, and whether all is well with it."""
    for name, split in splits_at(layout, root).items():
        try:
            images = files_of(root, str(split["images"]), name).files
            labels = truth_files(root, split["labels"], images, name).files if split["labels"] else {}
            selection = listed(root, str(split["ids"]), name, images) if split.get("ids") else None
        except (ParamsError, ImageError) as error:
            yield f"{error}", False
            continue
        wanted, lost = (selection.ids, selection.absent) if selection else (list(images), [])
        bare = [i for i in wanted if i not in labels] if split["labels"] else []
        number = layout.published.get(name)
        parts = [f"{name}: {len(wanted)} images" + (f", published {number}" if number else "")]
        if lost:
            parts.append(f"{len(lost)} of {split['ids']} are missing, such as {lost[0]!r}")
        if bare:
            parts.append(f"{len(bare)} have no file in {split['labels']}, such as {bare[0]!r}")
        yield "; ".join(parts), not lost and not bare
