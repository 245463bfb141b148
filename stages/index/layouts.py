"""Public datasets as they are distributed: which files belong together, and what their label values mean."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usseg.pipeline.errors import ImageError, ParamsError
from usseg.pipeline.params import nearest
from usseg.pipeline.recipes import RECIPES
from usseg.stages.index.list_file import listed
from usseg.stages.index.listing import files_of, truth_files

Settings = Mapping[str, Mapping[str, Any]]
Splits = Mapping[str, Mapping[str, str | None]]
VOC = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
COCO_27 = {
    **{"electronic": "71-76", "appliance": "77-82", "food": "51-60", "furniture": "61-70", "indoor": "83-90"},
    **{"kitchen": "43-50", "accessory": "25-32", "animal": "15-24", "outdoor": "9-14", "person": "0"},
    **{"sports": "33-42", "vehicle": "1-8", "ceiling": "101, 102", "floor": "100, 113-117"},
    **{"food stuff": "120, 121, 152, 169", "furniture stuff": "97, 106, 107, 109, 111, 122, 129, 132, 155, 160, 164"},
    **{"raw material": "99, 131, 138, 142", "textile": "91, 92, 103, 104, 108, 130, 136, 140, 151, 166, 167"},
    **{"wall": "170-176", "window": "179, 180", "building": "94, 95, 127, 150, 157, 165"},
    **{"ground": "110, 124, 125, 135, 139, 143, 144, 146, 148, 153, 158"},
    **{"plant": "93, 96, 118, 123, 128, 133, 141, 162, 168", "sky": "105, 156"},
    **{
        "solid": "126, 134, 149, 159, 161, 181",
        "structural": "98, 112, 137, 145, 163",
        "water": "119, 147, 154, 177, 178",
    },
}
COCO_15 = dict(list(COCO_27.items())[12:])
COCO_3 = {name: COCO_27[name] for name in ("sky", "plant", "ground")}
CITYSCAPES = (
    *("road", "sidewalk", "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel"),
    *("pole", "polegroup", "traffic light", "traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car"),
    *("truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle"),
)
POTSDAM = {"road": "0", "building": "1", "low vegetation": "2", "tree": "3", "car": "4", "clutter": "5"}
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


def numbered(names: Iterable[str], *, first: int = 0) -> dict[str, str]:
    """Classes with one label value each, from `first` on."""
    return {name: str(value) for value, name in enumerate(names, start=first)}


def coco(images_list: str) -> tuple[Splits, ...]:
    """COCO-Stuff's two splits by the lists that papers use."""
    return (
        {
            split: {
                "images": f"images/{split}2017/*.jpg",
                "labels": f"annotations/{split}2017/*.png",
                "ids": f"curated/{split}2017/{images_list}.txt",
            }
            for split in ("train", "val")
        },
    )


POTSDAM_PLACES: tuple[Splits, ...] = (
    {
        split: {"images": "imgs/*.mat", "labels": "gt/*.mat", "ids": f"labelled_{tail}.txt"}
        for split, tail in (("train", "train"), ("val", "test"))
    },
)


def pairs(**folders: tuple[str, str]) -> Splits:
    """Splits with one folder of JPEG images and one of PNG masks each."""
    return {
        split: {"images": f"{images}/*.jpg", "labels": f"{masks}/*.png"} for split, (images, masks) in folders.items()
    }


def bsds(split: str, folder: str = "") -> Mapping[str, str | None]:
    """A split of BSDS500."""
    return {"images": f"{folder}images/{split}/*.jpg", "labels": f"{folder}groundTruth/{split}/*.mat"}


VOC_BOXES: Splits = {
    "trainval": {
        "images": "JPEGImages/*.jpg",
        "labels": "Annotations/*.xml",
        "ids": "ImageSets/Main/trainval.txt",
    }
}
CAMVID = RECIPES["camvid"].settings["index"]
LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout(
            "voc2012",
            "PASCAL VOC 2012 (VOCdevkit/VOC2012), 21 classes with background; fitted on all images, as DSM is",
            (
                {
                    split: {
                        "images": "JPEGImages/*.jpg",
                        "labels": "SegmentationClass/*.png",
                        "ids": f"ImageSets/Segmentation/{split}.txt",
                    }
                    for split in ("train", "val")
                }
                | {"unlabelled": {"images": "JPEGImages/*.jpg", "labels": None}},
            ),
            classes=numbered(VOC),
            published={"train": 1464, "val": 1449, "unlabelled": 17125},
        ),
        Layout(
            "voc2012-objects",
            "PASCAL VOC 2012, boxes around objects",
            (VOC_BOXES,),
            published={"trainval": 11540},
            scoring=OBJECTS,
        ),
        Layout(
            "voc2007-objects",
            "PASCAL VOC 2007 (VOCdevkit/VOC2007), boxes around objects",
            (VOC_BOXES,),
            published={"trainval": 5011},
            scoring=OBJECTS,
        ),
        Layout(
            "cocostuff27",
            "COCO-Stuff, 12 groups of things and 15 of stuff, the curated lists ending in _7",
            coco("Coco164kFull_Stuff_Coarse_7"),
            classes=COCO_27,
            published={"train": 49629, "val": 2175},
        ),
        Layout(
            "cocostuff15",
            "COCO-Stuff, the 15 groups of stuff; things are not scored",
            coco("Coco164kFull_Stuff_Coarse_7"),
            classes=COCO_15,
            published={"train": 49629, "val": 2175},
        ),
        Layout(
            "cocostuff3",
            "COCO-Stuff, sky, plant and ground, the lists Coco164kFew_Stuff_6",
            coco("Coco164kFew_Stuff_6"),
            classes=COCO_3,
        ),
        Layout(
            "coco20k",
            "COCO 2014, boxes around objects, the list coco_20k_filenames.txt of LOST",
            tuple(
                {
                    "train": {
                        "images": f"{folder}train2014/*.jpg",
                        "labels": "annotations/instances_train2014.json",
                        "ids": "coco_20k_filenames.txt",
                    }
                }
                for folder in ("images/", "")
            ),
            published={"train": 19817},
            scoring=OBJECTS,
        ),
        Layout(
            "cityscapes27",
            "Cityscapes, 27 of its label ids",
            (
                {
                    split: {
                        "images": f"leftImg8bit/{split}/*/{{id}}_leftImg8bit.png",
                        "labels": f"gtFine/{split}/*/{{id}}_gtFine_labelIds.png",
                    }
                    for split in ("train", "val")
                },
            ),
            classes=numbered(CITYSCAPES, first=7),
            published={"train": 2975, "val": 500},
        ),
        Layout(
            "potsdam6",
            "ISPRS Potsdam cut into 200 pixel tiles (IIC), 6 classes",
            POTSDAM_PLACES,
            classes=POTSDAM,
            published={"train": 4545, "val": 855},
        ),
        Layout(
            "potsdam3",
            "the same, 3 classes",
            POTSDAM_PLACES,
            classes={"road and car": "0, 4", "building and clutter": "1, 5", "vegetation": "2, 3"},
            published={"train": 4545, "val": 855},
        ),
        Layout(
            "ecssd",
            "ECSSD, salient objects",
            (pairs(test=("images", "ground_truth_mask")),),
            classes=OBJECT,
            scoring=OBJECTS,
            published={"test": 1000},
        ),
        Layout(
            "duts",
            "DUTS, salient objects",
            (
                pairs(
                    train=("DUTS-TR/DUTS-TR-Image", "DUTS-TR/DUTS-TR-Mask"),
                    test=("DUTS-TE/DUTS-TE-Image", "DUTS-TE/DUTS-TE-Mask"),
                ),
            ),
            classes=OBJECT,
            scoring=OBJECTS,
            published={"train": 10553, "test": 5019},
        ),
        Layout(
            "dut-omron",
            "DUT-OMRON, salient objects",
            (
                pairs(test=("DUT-OMRON-image", "pixelwiseGT-new-PNG")),
                pairs(test=("DUT-OMRON-image/DUT-OMRON-image", "pixelwiseGT-new-PNG/pixelwiseGT-new-PNG")),
            ),
            classes=OBJECT,
            scoring=OBJECTS,
            published={"test": 5168},
        ),
        Layout(
            "camvid",
            "CamVid, 11 street classes",
            (CAMVID["splits"],),
            classes=numbered(CAMVID["classes"]),
        ),
        Layout(
            "bsds500",
            "BSDS500, photos with the segmentations of several people",
            (
                {split: bsds(split) for split in ("train", "val")},
                {split: bsds(split, "data/") for split in ("train", "val")},
            ),
            scoring=PARTITIONS,
            published={"train": 200, "val": 100},
        ),
    )
}


CVAT = {"cvat": "segmentation masks as CVAT exports them, classes and colours from labelmap.txt"}
SUMMARIES = {**{layout.name: layout.summary for layout in LAYOUTS.values()}, **CVAT}


def find_layout(name: str, root: Path | None = None) -> Layout:
    """A layout by name; one whose classes the folder itself tells needs the folder.

    Raises:
        ParamsError: no such layout, or the folder does not tell.
    """
    if name in CVAT and root is not None:
        from usseg.stages.index.cvat import cvat_layout

        return cvat_layout(root)
    if name not in LAYOUTS:
        raise ParamsError(f"no dataset {name!r}{nearest(name, SUMMARIES)} (known: {', '.join(SUMMARIES)})")
    return LAYOUTS[name]


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

    The split to fit on is the one without labels, else `train`, else the first. Where classes are scored there is a cluster for each;
    none for the class `background` where, by the content of params.yaml, the background of an image has a label of its own.
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
    cluster: dict[str, Any] = {"fit_split": [*bare, *(name for name in splits if name == "train"), *splits][0]}
    if layout.scoring is CLASSES:
        found = {section: keys for section, keys in (content or {}).items() if isinstance(keys, Mapping)}
        own_label = found.get("segments", {}).get("background") == "border"
        own_label &= not found.get("assign", {}).get("background_collision", False)
        cluster["k"] = len(layout.classes) - (own_label and "background" in layout.classes)
    return {"index": index, "cluster": cluster, **{section: dict(keys) for section, keys in layout.scoring.items()}}


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
