"""Runs with label-studio-sdk: read_label_studio.py OUT FOLDER NAME... Writes the classes of each task to OUT, an npz file.

The predictions become annotations, as when a person accepts them. The converter of Label Studio then writes its masks.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface

out, folder, *names = sys.argv[1:]
config = (Path(folder) / "config.xml").read_text(encoding="utf-8")
interface = LabelInterface(config)
interface.validate()
tasks = json.loads((Path(folder) / "tasks.json").read_text(encoding="utf-8"))
found = {}
for number, task in enumerate(tasks):
    (prediction,) = task.pop("predictions")
    assert not (errors := interface.validate_prediction(prediction, return_errors=True)), errors
    task |= {"id": number, "annotations": [{"id": 1, "completed_by": 1, "result": prediction["result"]}]}
    with tempfile.TemporaryDirectory() as place:
        source, target = Path(place) / "tasks.json", Path(place) / "masks"
        target.mkdir()
        source.write_text(json.dumps([task]), encoding="utf-8")
        Converter(config, project_dir=None).convert(str(source), str(target), "BRUSH_TO_NUMPY", is_dir=False)
        masks = {file.stem.split("-tag-")[1].rsplit("-", 1)[0]: np.load(file) for file in target.glob("*.npy")}
    assert len(masks) == len(prediction["result"])
    size = tuple(prediction["result"][0][f"original_{side}"] for side in ("height", "width"))
    classes = np.zeros(size, np.int64)
    for name, mask in masks.items():
        assert set(np.unique(mask)) <= {0, 255}
        assert not classes[mask == 255].any()
        classes[mask == 255] = names.index(name)
    found[task["data"]["image"]] = classes
np.savez(out, **found)
