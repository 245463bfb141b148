"""Formats of `usseg export`. A format is one file in this folder and one line in the table."""

from usseg.results.export import (
    coco_masks,
    cvat_masks,
    geotiff_masks,
    label_studio_brush,
    labelme_polygons,
    overlay,
    voc_masks,
)
from usseg.results.export.format import Format

FORMATS: dict[str, Format] = {
    "voc": voc_masks.FORMAT,
    "coco": coco_masks.FORMAT,
    "cvat": cvat_masks.FORMAT,
    "labelme": labelme_polygons.FORMAT,
    "label-studio": label_studio_brush.FORMAT,
    "geotiff": geotiff_masks.FORMAT,
    "overlay": overlay.FORMAT,
}
