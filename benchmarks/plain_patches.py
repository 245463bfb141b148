"""The score of k-means on all patches, without graphs and segments: what a pipeline has to beat.

Run in a project after `dvc repro`: python benchmarks/plain_patches.py [PROJECT]
"""

import sys
from pathlib import Path

import numpy as np

from usseg.pipeline.artifact import artifact_path, open_artifact
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.params import read_params
from usseg.stages.cluster.methods import kmeans
from usseg.stages.evaluate.matching import confusion_matrix, hungarian
from usseg.stages.evaluate.scores import scores
from usseg.stages.refine.upsampling import upsample_labels

SEEDS = 3
project = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
content = read_params(project)
k, classes = content["cluster"]["k"], len(content["index"]["classes"])
options = kmeans.Options(n_init=3)


def opened(stage, split):
    return open_artifact(artifact_path(project, stage, split))


def patch_rows(split):
    features = opened("features", split)
    return [features["patches"][i, : h * w] for i, (h, w) in enumerate(features["grid"][:].tolist())]


def confusion(split, clustering):
    features, index = opened("features", split), opened("index", split)
    inputs = Inputs(split, {"index": index}, content["index"], project)
    table = np.zeros((k, classes), np.int64)
    for i, rows in enumerate(patch_rows(split)):
        found = kmeans.predict(clustering, rows, options).reshape(features["grid"][i]).astype(np.int16)
        labels = inputs.truth(i).labels
        prediction = upsample_labels(found, labels.shape, extent=tuple(features["extent"][i].tolist()))
        table += confusion_matrix(prediction, labels, num_clusters=k, num_classes=classes)
    return table


rows = np.concatenate(patch_rows(content["cluster"]["fit_split"]))
for seed in range(SEEDS):
    clustering = kmeans.fit(rows, np.ones(len(rows)), k=k, seed=100 * seed, options=options)
    for split in content["index"]["splits"]:
        table = confusion(split, clustering)
        found = scores(table, hungarian(table))
        print(f"seed {seed}, {split}: mIoU {found.miou:.3f}, accuracy {found.accuracy:.3f}")
