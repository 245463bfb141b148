"""`python -m benchmarks.linear_probe PROJECT`: what a linear classifier with labels reaches on the same patches.

It is a control: it says what the features allow. It uses labels, so it is no part of the pipeline. Stages index and
features must have run. The labels of a patch are those of the pixels that take its prediction by nearest neighbour.

Letters: N tokens, C channels, K classes.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from usseg.pipeline.opening import open_inputs
from usseg.pipeline.project import Project
from usseg.stages import STAGES
from usseg.stages.grids.upsampling import upsample_labels

I64 = npt.NDArray[np.int64]
F32 = npt.NDArray[np.float32]


def class_counts(
    labels: I64, grid: tuple[int, int], extent: tuple[int, int], offset: tuple[int, int], *, classes: int
) -> I64:
    """The labelled pixels of each class that take each token: int64 (N, K).

    Args:
        labels: int64 (height, width); values outside of [0, classes) are not labelled.
        grid, extent, offset: as in `upsample_labels`.
        classes: K.
    """
    numbers = np.arange(grid[0] * grid[1], dtype=np.int16).reshape(grid)
    shape = (labels.shape[0], labels.shape[1])
    tokens = upsample_labels(numbers, shape, extent=extent, offset=offset).astype(np.int64)
    known = (labels >= 0) & (labels < classes)
    counts = np.bincount(tokens[known] * classes + labels[known], minlength=numbers.size * classes)
    return counts.reshape(-1, classes)


def labelled_tokens(project: Project, split: str) -> tuple[F32, I64]:
    """The tokens of a split, float32 (N, C), and their `class_counts` (N, K)."""
    inputs = open_inputs(project, "segmenter", split)  # which reads index and features, nothing else
    features, classes = inputs["features"], len(project.index_params["classes"])
    tokens, counts = [], []
    for i, grid in enumerate(features["grid"][:].tolist()):
        truth = inputs.truth(i)
        if truth is None or truth.labels is None:
            continue
        place = {name: tuple(features[name][i].tolist()) for name in ("extent", "offset")}
        tokens.append(features["patches"][i, : grid[0] * grid[1]].astype(np.float32))
        counts.append(class_counts(truth.labels, tuple(grid), **place, classes=classes))
    return np.concatenate(tokens), np.concatenate(counts)


def probe(tokens_NC: F32, counts_NK: I64, *, epochs: int, batch: int = 8192, lr: float = 5e-3, seed: int = 0) -> Any:
    """A linear layer with bias, trained by Adam on the mean cross-entropy of labelled pixels."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layer = torch.nn.Linear(tokens_NC.shape[1], counts_NK.shape[1])
        optimizer = torch.optim.Adam(layer.parameters(), lr=lr)
        tokens, counts = torch.from_numpy(tokens_NC), torch.from_numpy(counts_NK).float()
        for _ in range(epochs):
            for rows in torch.randperm(len(tokens)).split(batch):
                own = counts[rows]
                loss = -(functional.log_softmax(layer(tokens[rows]), dim=1) * own).sum() / own.sum().clamp(min=1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return layer


def scores(predicted_N: I64, counts_NK: I64) -> tuple[float, float]:
    """The mean IoU over classes with a union, and the pixel accuracy. Class c is predicted as c: nothing is matched."""
    classes = counts_NK.shape[1]
    confusion = np.stack([counts_NK[predicted_N == c].sum(axis=0) for c in range(classes)])
    right, union = np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1) - np.diag(confusion)
    return float((right[union > 0] / union[union > 0]).mean()), float(right.sum() / confusion.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--split", default="val", help="the split that is scored")
    parser.add_argument("--epochs", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    project = Project.open(STAGES, arguments.project)
    tokens, counts = labelled_tokens(project, project.fit_split)
    mean, deviation = tokens.mean(axis=0), np.maximum(tokens.std(axis=0), 1e-6)
    layer = probe((tokens - mean) / deviation, counts, epochs=arguments.epochs)
    tokens, counts = labelled_tokens(project, arguments.split)
    with torch.inference_mode():
        predicted = layer(torch.from_numpy((tokens - mean) / deviation)).argmax(dim=1).numpy()
    miou, accuracy = scores(predicted, counts)
    print(f"linear probe, fitted on {project.fit_split}: {arguments.split} mIoU {miou:.3f}, accuracy {accuracy:.3f}")


if __name__ == "__main__":
    main()
