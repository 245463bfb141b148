"""The evaluate stage on maps that a test draws, against truth files that it writes."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.project import stage_params
from usseg.stages import STAGES


class Held(dict):
    """Arrays by name with the params that made them, as an artifact gives them."""

    def __init__(self, params: dict[str, Any], **arrays: Any) -> None:
        super().__init__(arrays)
        self.params = params


def write_truth(path: Path, truth: Any) -> str:
    """Write a ground truth file: a label map (array), segmentations (list of arrays) or boxes (list of corners, from 0)."""
    if isinstance(truth, np.ndarray):
        Image.fromarray(truth.astype(np.uint8)).save(path.with_suffix(".png"))
        return f"{path.stem}.png"
    if truth and isinstance(truth[0], np.ndarray):
        cells = np.empty((1, len(truth)), object)
        for place, found in enumerate(truth):
            cells[0, place] = {"Segmentation": found.astype(np.uint16)}
        savemat(path.with_suffix(".mat"), {"groundTruth": cells})
        return f"{path.stem}.mat"
    corners = "".join(
        f"<object><bndbox><xmin>{x0 + 1}</xmin><ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for x0, y0, x1, y1 in truth
    )
    path.with_suffix(".xml").write_text(f"<annotation>{corners}</annotation>")
    return f"{path.stem}.xml"


@pytest.fixture
def evaluate(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Score maps:

    evaluate(maps, truths, soft=..., classes=..., method="objects") -> metrics, with `files` and `arrays` beside.
    """

    def run(
        maps: Sequence[np.ndarray],
        truths: Sequence[Any],
        *,
        soft: Sequence[np.ndarray] | None = None,
        index: dict[str, Any] | None = None,
        background: str = "border",
        source: str = "segments",
        method: str = "classes",
        **options: Any,
    ) -> dict[str, Any]:
        names = ["" if truth is None else write_truth(tmp_path / f"{i:02d}", truth) for i, truth in enumerate(truths)]
        for i, found in enumerate(maps):
            Image.new("L", found.shape[::-1]).save(tmp_path / f"{i}.jpg")
        sizes = np.array([found.shape for found in maps])
        kept = {"maps": [found.astype(np.int16) for found in maps], "foreground": list(soft or [])}
        artifacts = {
            "index": Held({}, path=[f"{i}.jpg" for i in range(len(maps))], label_path=names, size=sizes),
            "segments": Held({"background": background}),
            "refine": Held({"source": source}, **kept, size=sizes),
        }
        truth = {"root": ".", "classes": [], "ignore": [255], "label_values": [], **(index or {})}
        inputs = Inputs("val", artifacts, truth, tmp_path)
        settings = stage_params(STAGES["evaluate"], {"method": method, "options": options})
        values = STAGES["evaluate"].run(settings, inputs, range(len(maps)), Execution())
        files = values["files"]
        names = ("metrics/val.json", "metrics/details/val.json")
        metrics, details = (json.loads(files[name], parse_constant=pytest.fail) for name in names)
        assert all(value is None or isinstance(value, float) for value in metrics.values())
        assert values["name"] == [name for name, value in metrics.items() if value is not None]
        assert not [name for name, value in details.items() if isinstance(value, float)]
        assert np.isfinite(values["score"]).all()
        assert files["plots/val/details.png"].startswith(b"\x89PNG")
        assert files["plots/val/scores.csv"].startswith("name,score\n")
        return {**details, **metrics, "files": files}

    return run
