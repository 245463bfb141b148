"""The files of a block of images: photos, thumbnails, and scripts with their facts, small maps and layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.inputs import Inputs
from usseg.stages.report.label_anchors import label_anchors
from usseg.stages.report.open_arrays import OpenArrays
from usseg.stages.report.page_script import call, packed
from usseg.stages.report.pictures import data_uri, eigenvector_picture, encoded, fit_within, nearest_within
from usseg.stages.report.truth_picture import truth_layer

THUMB = 320  # longer side of a thumbnail and of a small map, pixels


def block_files(inputs: Inputs, split: str, images: Sequence[int], *, side: int) -> dict[str, bytes]:
    """Path below the folder of the page -> content, for a block of images.

    Args:
        inputs: the inputs of the stage.
        split: the split of the images.
        images: their places in the split.
        side: longer side of the photos in the viewer, pixels. A smaller photo is not enlarged.
    """
    files: dict[str, bytes] = {}
    facts, maps, layers = [], {}, {}
    arrays = OpenArrays(inputs, split)
    for i in images:
        photo, labels = inputs.image(i, split), arrays("refine", "maps")[i]
        size = max(photo.shape[:2])
        files[f"photos/{split}/{i:06d}.jpg"] = encoded(fit_within(photo, min(side, size)))
        if size > THUMB:
            files[f"thumbs/{split}/{i:06d}.jpg"] = encoded(fit_within(photo, THUMB))
        small = nearest_within(labels, min(THUMB, size))
        maps[i] = {**packed(small), "anchors": label_anchors(small)}
        layers[i] = image_layers(arrays, i, labels, side=min(side, size))
        truth = truth_layer(inputs, i, split, side=min(side, size))
        if truth is not None:
            layers[i]["truth"] = truth
        facts.append(image_facts(arrays, i, labels))
    name = f"{split}-{images[0]:06d}.js"
    files[f"facts/{name}"] = call("addFacts", split, facts)
    files[f"maps/{name}"] = call("addMaps", split, maps)
    files[f"layers/{name}"] = call("addLayers", split, layers)
    return files


def image_facts(arrays: OpenArrays, i: int, labels: npt.NDArray[np.integer]) -> dict[str, Any]:
    """What the page can sort and filter by: id, size, pixels of each label, and certainty.

    The certainty is the mean margin of the tokens that are not background; null without one.
    """
    values, counts = np.unique(labels, return_counts=True)
    certainty = None
    if arrays.has("assign"):
        margin, tokens = token_margins(arrays, i)
        if (tokens > 0).any():
            certainty = round(float(margin[tokens > 0].mean()), 4)
    return {
        "i": i,
        "id": arrays("index", "id")[i],
        "size": list(labels.shape),
        "pixels": dict(zip(map(str, values.tolist()), counts.tolist(), strict=True)),
        "certainty": certainty,
    }


def token_margins(arrays: OpenArrays, i: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Margins and labels of the tokens of an image, (token,) each."""
    count = int(arrays("assign", "grid")[i].prod())
    margin, labels = arrays("assign", "margin")[i, :count], arrays("assign", "labels")[i, :count]
    return margin.astype(np.float64), labels.astype(np.int64)


def image_layers(
    arrays: OpenArrays, i: int, labels: npt.NDArray[np.integer], *, side: int
) -> dict[str, dict[str, Any]]:
    """The layers of an image in the viewer, by name, without the truth.

    `place` is x, y, width and height as shares of the photo.
    """
    height, width = labels.shape
    h, w = arrays("features", "grid")[i].tolist()
    (top, left), (high, wide) = (arrays("features", name)[i].tolist() for name in ("offset", "extent"))
    place = [round(v, 5) for v in (left / width, top / height, wide / width, high / height)]
    layers: dict[str, dict[str, Any]] = {"map": packed(nearest_within(labels, side))}
    if arrays.has("segments"):
        rows, columns = arrays("segments", "grid")[i].tolist()
        segments = arrays("segments", "segments")[i, : rows * columns].reshape(rows, columns)
        layers["segments"] = {**packed(segments), "place": place}
    if arrays.has("eigen"):
        count = int(arrays("eigen", "num_eigenvectors")[i])
        picture = eigenvector_picture(arrays("eigen", "eigenvectors")[i, :count, : h * w], (h, w))
        layers["eigenvectors"] = {"picture": data_uri(picture, kind="PNG"), "place": place}
    if arrays.has("assign"):
        margin, tokens = token_margins(arrays, i)
        levels = np.where(tokens > 0, np.rint(margin * 100), -1).astype(np.int64)  # percent; -1 is the background
        layers["uncertainty"] = {**packed(levels.reshape(arrays("assign", "grid")[i].tolist())), "place": place}
    return layers
