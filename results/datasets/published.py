"""Layouts of public datasets, with the classes and the numbers of images that papers state."""

from collections.abc import Iterable, Mapping

from usseg.results.datasets.layouts import OBJECT, OBJECTS, PARTITIONS, Layout, Splits
from usseg.results.recipes import RECIPES

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


def numbered(names: Iterable[str], *, first: int = 0) -> dict[str, str]:
    """Class -> its single label value; the values count from `first`."""
    return {name: str(value) for value, name in enumerate(names, start=first)}


def coco(images_list: str) -> tuple[Splits, ...]:
    """The two splits of COCO-Stuff, with the image lists that papers use."""
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
    """Splits that each have one folder of JPEG images and one folder of PNG masks."""
    return {
        split: {"images": f"{images}/*.jpg", "labels": f"{masks}/*.png"} for split, (images, masks) in folders.items()
    }


def bsds(split: str, folder: str = "") -> Mapping[str, str | None]:
    """A split of BSDS500 below a folder."""
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
