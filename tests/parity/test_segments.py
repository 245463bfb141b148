"""Segments and boxes."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from usseg.stages.crops.boxes import segment_boxes
from usseg.stages.segments.background import background_first
from usseg.stages.segments.eigengap import eigengap_segments
from usseg.stages.segments.genetic_kmeans import kmeans_labels
from usseg.stages.segments.methods.fiedler import object_mask

SEEDS = range(5)
MULTI = "DSM `extract._extract_multi_region_segmentations`"


def sources(file) -> Iterator[str]:
    """`img{i}/{src}/` for every image and spectrum."""
    return (f"img{i}/{source}/" for i in range(int(file["num_images"])) for source in ("lambda0", "lambda10"))


def methods(file, source: str) -> list[str]:
    """The k-means segmentations of a source."""
    return [key.split("/")[2] for key in file.files if key.startswith(source) and key.endswith("/kmeans_labels")]


def objective(points: np.ndarray, labels: np.ndarray) -> float:
    return sum(float(((points[labels == c] - points[labels == c].mean(axis=0)) ** 2).sum()) for c in np.unique(labels))


def test_background(golden, parity) -> None:
    file = golden("dsm_segments")
    check = parity(
        "background of a label map",
        background_first,
        original=MULTI,
        call="background_first(kmeans_labels)",
        differs="`segments.background: none` keeps all segments; "
        "`assign.background_collision: true` gives cluster 0 and background one label",
    )
    for source in sources(file):
        for method in methods(file, source):
            found = background_first(file[f"{source}{method}/kmeans_labels"])
            check("map", np.abs(found - file[f"{source}{method}/segmap"]).max(), 0)


def test_adaptive_count(golden, parity) -> None:
    file = golden("dsm_segments")
    check = parity(
        "number of segments by eigengap",
        eigengap_segments,
        original=MULTI,
        call="eigengap_segments(eigenvalues)",
        differs="two eigenvalues give 2; the original raises",
    )
    found = [eigengap_segments(values) for values in file["adaptive_rule/eigenvalues"]]
    check("synthetic spectra", np.abs(found - file["adaptive_rule/n_clusters"]).max(), 0)
    for source in sources(file):
        expected = [int(file[f"{source}{m}/n_clusters"]) for m in methods(file, source) if m.startswith("adaptive")]
        for number in expected:
            check("images", abs(eigengap_segments(file[f"{source}eigenvalues"]) - number), 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_kmeans(golden, parity, seed: int) -> None:
    file = golden("dsm_segments")
    check = parity(
        "k-means on eigenvectors",
        kmeans_labels,
        original=MULTI,
        call="kmeans_labels(eigenvectors[1:].T, k=k, seed=seed)",
        differs="a seeded search over crossed solutions in place of restarts",
    )
    for source in sources(file):
        for method in methods(file, source):
            used = re.search(r"_e(\d+)", method)
            points = file[f"{source}eigenvectors"][1 : int(used[1]) if used else None].T.astype(np.float64)
            k = int(file[f"{source}{method}/n_clusters"])
            labels = kmeans_labels(points, k=k, seed=seed)
            reached, best = objective(points, labels), float(file[f"{source}{method}/best_inertia_300"])
            check("objective above the original's", reached / file[f"{source}{method}/inertia"] - 1, 1e-6)
            check("objective above the best of 300", reached / best - 1, 0.03)
            if used and reached <= 1.001 * best:
                expected = file[f"{source}{method}/best_labels_300"].reshape(-1)
                check("labels, 1 - ARI, 4 eigenvectors", 1 - adjusted_rand_score(expected, labels), 0.05)


def test_single_region(golden, parity) -> None:
    file = golden("dsm_segments")
    check = parity(
        "single region",
        object_mask,
        original="DSM `extract._extract_single_region_segmentations`",
        call="object_mask(eigenvectors[1]).reshape(h, w)",
        differs="a mask of all tokens is empty",
    )
    for source in sources(file):
        expected = file[f"{source}single/segmap"] > 0
        found = object_mask(file[f"{source}eigenvectors"][1]).reshape(expected.shape)
        check("map", float((found != expected).sum()), 0)


def test_boxes(golden, parity) -> None:
    file = golden("dsm_segments")
    check = parity(
        "boxes",
        segment_boxes,
        original="DSM `extract._extract_bbox`",
        call="segment_boxes(segmap, erode=erode, dilate=dilate)",
        differs="pixels are clipped to the image",
    )
    folders = {key.rsplit("/", 1)[0] for key in file.files if key.endswith("/segment_indices")}
    for folder in sorted(folders):
        erode, dilate = (int(steps) for steps in re.findall(r"bbox_e(\d+)d(\d+)", folder)[0])
        segments = file[f"{folder.rsplit('/', 1)[0]}/segmap"]
        ids, boxes, _ = segment_boxes(segments, erode=erode, dilate=dilate)
        np.testing.assert_array_equal(ids, file[f"{folder}/segment_indices"])
        check("tokens", np.abs(boxes - file[f"{folder}/bboxes"]).max(initial=0), 0)
        pixels = boxes * int(file["patch_size"])
        check("pixels", np.abs(pixels - file[f"{folder}/bboxes_original_resolution"]).max(initial=0), 0)
