"""Runs with labelme: read_labelme.py OUT FOLDER NAME... Writes the classes of each JSON file below FOLDER to OUT.

OUT is an npz file. The names are those of the classes, the background first. `LabelFile` also reads the photo, and
compares its size with that of the file.
"""

import sys
from pathlib import Path

import numpy as np
from labelme import LabelFile, utils

out, folder, *names = sys.argv[1:]
values = {name: value for value, name in enumerate(names)} | {"_background_": 0}
found = {}
for path in sorted(Path(folder).rglob("*.json")):
    file = LabelFile(str(path))
    classes, _ = utils.shapes_to_label(utils.img_data_to_arr(file.image_data).shape, file.shapes, values)
    found[path.relative_to(folder).with_suffix("").as_posix()] = classes
np.savez(out, **found)
