"""Draw the pictures of these pages from a finished demo. Run after `make demo`: python docs/draw_pictures.py"""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from usseg.pipeline.artifact import Artifact
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.opening import open_inputs
from usseg.pipeline.project import Project
from usseg.stages import STAGES
from usseg.stages.report.label_colors import colors_of_labels
from usseg.stages.report.palette import palette
from usseg.stages.report.pictures import color_map, eigenvector_picture

U8 = npt.NDArray[np.uint8]
ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs/pictures"
SPLIT, SCENES = "val", (1, 5, 6, 10)
HEIGHT, GAP = 150, 6  # pixels of a picture, and between two
COLORS = 256  # of the palette that a file is stored with


def scaled(picture: U8, *, smooth: bool = False) -> U8:
    """A picture of the height of all."""
    width = round(picture.shape[1] * HEIGHT / picture.shape[0])
    method = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, (width, HEIGHT), interpolation=method), np.uint8)


def beside(pictures: list[U8]) -> U8:
    """Pictures in a row on white."""
    gap = np.full((HEIGHT, GAP, 3), 255, np.uint8)
    return np.hstack([piece for picture in pictures for piece in (picture, gap)][:-1])


def below(rows: list[U8]) -> U8:
    """Rows under one another on white, the shorter ones filled up at the right."""
    widest = max(row.shape[1] for row in rows)
    filled = [np.pad(row, ((0, GAP), (0, widest - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.vstack(filled)[:-GAP]


def tokens(artifact: Artifact, array: str, scene: int) -> npt.NDArray[np.int64]:
    """A label a token, (row, column)."""
    h, w = artifact["grid"][scene].tolist()
    return np.asarray(artifact[array][scene, : h * w], np.int64).reshape(h, w)


def eigenvectors(inputs: Inputs, scene: int) -> U8:
    """Eigenvectors 2 to 4 as red, green and blue."""
    h, w = inputs["features"][SPLIT]["grid"][scene].tolist()
    return eigenvector_picture(inputs["eigen"][SPLIT]["eigenvectors"][scene, :, : h * w], (h, w))


def store(name: str, picture: U8) -> None:
    """Write a picture with a palette of its own."""
    FOLDER.mkdir(exist_ok=True)
    image = Image.fromarray(picture).quantize(COLORS, dither=Image.Dither.NONE)
    image.save(FOLDER / name, optimize=True)


if __name__ == "__main__":
    project = Project.open(STAGES, ROOT)
    inputs = open_inputs(project, "report", "all")
    classes = len(project.index_params["classes"])
    labels, colors = colors_of_labels(inputs, SPLIT), palette(classes)
    photos = [scaled(inputs.image(scene, SPLIT), smooth=True) for scene in SCENES]
    vectors = [scaled(eigenvectors(inputs, scene)) for scene in SCENES]
    segments = [scaled(color_map(tokens(inputs["segments"][SPLIT], "segments", i), palette(64))) for i in SCENES]
    clusters = [scaled(color_map(tokens(inputs["assign"][SPLIT], "labels", i), labels)) for i in SCENES]
    maps = [scaled(color_map(inputs["refine"][SPLIT]["maps"][i], labels)) for i in SCENES]
    truth = [scaled(color_map(inputs.truth(i, SPLIT).labels, colors)) for i in SCENES]
    rows = {
        "photos": photos,
        "eigenvectors": vectors,
        "segments": segments,
        "clusters": clusters,
        "maps": maps,
        "truth": truth,
    }
    for name, pictures in rows.items():
        store(f"{name}.png", beside(pictures))
    store("demo.png", below([beside(pictures) for pictures in (photos, vectors, segments, maps, truth)]))
