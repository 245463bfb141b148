"""A toy method joins every table by one file and one line, and the whole chain runs with all of them."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from usseg.stages import STAGES

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ("__init__.py", "cli.py", "pipeline", "stages", "results")
TOYS = {
    "features": '''
from dataclasses import dataclass
import numpy as np
from usseg.stages.features.method import Backbone, BackboneMethod

class Means(Backbone):
    """The mean colour of a square of eight pixels."""

    patch = 8
    channels = crop_channels = 3

    def describe(self, images, grid, dtype):
        h, w = grid
        cut = [image[: 8 * h, : 8 * w] / 255 for image in images]
        patches = np.stack([one.reshape(h, 8, w, 8, 3).mean(axis=(1, 3)).reshape(-1, 3) for one in cut]).astype(dtype)
        return {"patches": patches, "cls": patches.mean(axis=1)}

    def embed_crops(self, image, grid, boxes, masks):
        cut = [image[8 * y0 : 8 * y1, 8 * x0 : 8 * x1].mean(axis=(0, 1)) for x0, y0, x1, y1 in boxes.tolist()]
        return np.array(cut, np.float32).reshape(-1, 3)

METHOD = BackboneMethod(summary="Mean colours.", call=lambda options, project, device: Means())
''',
    "eigen": """
import numpy as np
from usseg.stages.eigen.method import AffinityMethod

def weights(tokens, options):
    gaps = np.square(tokens.features[:, :, None] - tokens.features[:, None]).sum(axis=3)
    return np.exp(-10 * gaps).astype(np.float32)

METHOD = AffinityMethod(summary="Gaussians of distances.", call=weights)
""",
    "segmenter": """
import numpy as np
from usseg.stages.segmenter.method import SegmenterMethod, Training

def fit(tokens, *, seed, options, device, checkpoint, **others):
    return Training(np.zeros(1, np.float32), np.zeros(1), np.ones((1, 1), np.int64))

def load(weights, *, channels, patch, options, device):
    return lambda features: (features[:, 0] > features[:, 0].mean()).astype(np.int64)

METHOD = SegmenterMethod(summary="Bright and dark.", call=fit, load=load)
""",
    "segments": """
from usseg.stages.segments.method import SegmentsMethod

def segment(tokens, options):
    return tokens.trained_labels.reshape(tokens.grid) + 2 * (tokens.eigenvectors[1] > 0).reshape(tokens.grid)

METHOD = SegmentsMethod(summary="Both cuts.", call=segment, reads=lambda options: ("eigen", "segmenter"))
""",
    "crops": """
import numpy as np
from usseg.stages.crops.method import CropsMethod

def embed(segments, options):
    return np.array([segments.patches()[segments.labels.reshape(-1) == s + 1].max(axis=0) for s in range(len(segments.boxes))])

METHOD = CropsMethod(summary="Largest values.", call=embed, channels=lambda options, inputs: 3, backbone=False)
""",
    "cluster": """
import numpy as np
from usseg.stages.cluster.method import Clustering, ClusterMethod

def fit(rows, areas, *, k, **others):
    values = np.concatenate(list(rows))
    return Clustering(values[:: max(1, len(values) // k)][:k], np.zeros(1), np.zeros(0, np.float32))

def scores(clustering, rows, options):
    return -np.square(rows[:, None] - clustering.centers).sum(axis=2)

def predict(clustering, rows, options):
    return scores(clustering, rows, options).argmax(axis=1)

def points(clustering, rows, options):
    return rows, clustering.centers

METHOD = ClusterMethod(
    summary="Some rows are centres.", call=fit, predict=predict, scores=scores, points=points
)
""",
    "refine": """
from usseg.stages.refine.method import RefineMethod, Refined

def refine(given, options):
    labels = given.upsampled.copy()
    return Refined(labels, ((labels > 0) * 255).astype("uint8"))

METHOD = RefineMethod(summary="Nothing new.", call=refine, pixels=False)
""",
    "evaluate": """
from usseg.stages.evaluate.method import EvaluateMethod, SplitScores
from usseg.stages.evaluate.plots import histogram_png

def score(images, options, labels):
    share = [float((image.map > 0).mean()) for image in images]
    value = sum(share) / len(share) if share else None
    return SplitScores({"covered": value}, [("covered", value or 0.0)], histogram_png(share, x="covered"))

METHOD = EvaluateMethod(summary="How much is covered.", call=score, truth=("a label image",), reads=lambda o: ("assign", "cluster"))
""",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the package in which every table has a toy."""
    root = tmp_path / "tree/usseg"
    root.mkdir(parents=True)
    for name in PACKAGE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, root)
    for stage, text in TOYS.items():
        folder = root / f"stages/{stage}/methods"
        (folder / "toy.py").write_text(f'"""A toy."""\n{text}')
        table = folder / "__init__.py"
        rewritten, added = re.subn(r"__name__,\s*\(", '__name__,\n    ("toy", ', table.read_text())
        assert added == 1
        table.write_text(rewritten)
    return root.parent


def test_every_table_takes_a_toy_by_one_file_and_one_line(
    tree: Path, tiny_project: Any, environment: dict[str, str]
) -> None:
    assert set(TOYS) == {name for name, stage in STAGES.items() if stage.methods is not None}
    edits = {f"{name}.{STAGES[name].choice}": "toy" for name in TOYS}
    tiny_project.set({**edits, "segments.background": "none"})
    content = tiny_project.path / "params.yaml"
    run: Callable[..., subprocess.CompletedProcess[str]] = lambda *args: subprocess.run(  # noqa: E731
        ["python", "-m", "usseg.cli", *args], cwd=tiny_project.path, env={**environment, "PYTHONPATH": str(tree)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    listed = run("methods", "segments")
    assert "toy" in listed.stdout, listed.stderr
    done = run("run")
    assert done.returncode == 0, f"{done.stderr}\n{content.read_text()}"
    metrics = tiny_project.scores("val")
    assert 0 < metrics["covered"] <= 1
    for name in TOYS:
        artifact = tiny_project.artifact(name, "train")
        assert artifact.params[STAGES[name].choice] == "toy"
