"""Runs with datumaro: read_datumaro.py OUT FORMAT PATH. Writes the classes of each image of a dataset to OUT, an npz file.

Entry `names` has the names of the classes; the other entries have the ids of the images. FORMAT is an importer.
"""

import sys

import numpy as np
from datumaro import AnnotationType, Dataset

out, kind, path = sys.argv[1:]
dataset = Dataset.import_from(path, kind)
names = [category.name for category in dataset.categories()[AnnotationType.label]]
found = {"names": np.array(names)}
for item in dataset:
    masks = [one for one in item.annotations if one.type == AnnotationType.mask]
    others = [one.type for one in item.annotations if one not in masks]
    assert set(others) <= {AnnotationType.bbox}  # COCO has a box beside each mask
    pictures = [np.asarray(one.image, bool) for one in masks]
    classes = np.full(pictures[0].shape, -1, np.int64)
    for one, picture in zip(masks, pictures, strict=True):
        assert (classes[picture] == -1).all()
        classes[picture] = one.label
    found[item.id] = classes
np.savez(out, **found)
