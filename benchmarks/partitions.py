"""`python -m benchmarks.partitions ../shared/data/bsds500`: compare the segments methods on BSDS500.

`--page docs/results/segments.md` writes the table. Every method segments the same images with the default backbone (the
params of the repository, full size, no refinement). The segments are compared with the segmentations of several people.
The table also has two trivial partitions.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from usseg.pipeline.artifact import artifact_path, open_artifact
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.project import Project
from usseg.pipeline.runner import run_stage
from usseg.stages import STAGES
from usseg.stages.evaluate.partition_scores import partition_scores
from usseg.stages.segments.methods import METHODS

ROOT = Path(__file__).resolve().parents[1]
COUNTS = {"spectral", "kmeans"}  # methods that get the number of segments
FIT = "train"  # split on which methods are trained
TRAINING = {"batch": 2, "epochs": 10}  # 1,000 steps: ten minutes
VARIANTS = {"spectral": {"num_eigenvectors": "segments"}}  # options of an additional row
PAGE = """# Segments methods on BSDS500

Written by `python -m benchmarks.partitions ../shared/data/bsds500 --page docs/results/segments.md`: {images} images of
`{split}`, backbone `{backbone}` with patches of {stride} pixels, the other params as in `params.yaml`,
`segments.options: {{}}` where none are named, no refinement, nothing tuned on these images. Means over images of
covering and probabilistic Rand index (1 is best) and variation of information in bits (0 is best), each the mean over
the people who segmented the image. `grid` is a regular grid of about that many segments. `acg` was trained on the
images of `{fit}`, briefly: `segmenter.options: {training}`. One segment has a VoI equal to the entropy of the truth,
which few partitions into many segments go below.

| method | segments asked | segments found | covering | PRI | VoI |
|---|---|---|---|---|---|
{rows}
"""


def regular_grid(size: tuple[int, int], count: int) -> np.ndarray:
    """A regular grid of about `count` cells, int (height, width)."""
    height, width = size
    rows = max(1, round(math.sqrt(count * height / width)))
    columns = max(1, round(count / rows))
    return (np.arange(height) * rows // height)[:, None] * columns + np.arange(width) * columns // width


def write_params(project: Path, edits: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Write the params of the repository with edits by section; returns them."""
    yaml = YAML(typ="safe")
    content = yaml.load((ROOT / "params.yaml").read_text())
    for section, values in edits.items():
        content[section] |= values
    with (project / "params.yaml").open("w") as stream:
        yaml.dump(content, stream)
    return content


def full_size(project: Path, split: str) -> Iterator[np.ndarray]:
    """Yield the segments of every image at full size, int (height, width)."""
    yield from open_artifact(artifact_path(project, "refine", split))["maps"]


def row(name: str, asked: str, maps: Sequence[np.ndarray], truths: Sequence[Sequence[np.ndarray]]) -> str:
    """A row of the table."""
    scores = [partition_scores(segments, people) for segments, people in zip(maps, truths, strict=True)]
    means = [float(np.mean([score[key] for score in scores])) for key in ("covering", "pri", "voi")]
    segments = np.mean([len(np.unique(labels)) for labels in maps])
    return f"| {name} | {asked} | {segments:.1f} | {means[0]:.3f} | {means[1]:.3f} | {means[2]:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="BSDS500: images/<split>/*.jpg, groundTruth/<split>/*.mat")
    parser.add_argument("--split", default="val")
    parser.add_argument("--pattern", default="*", help="glob of the image names, without suffix")
    parser.add_argument("--counts", type=int, nargs="+", default=[3, 5, 10, 20])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        splits = {
            name: {"images": f"images/{name}/{options.pattern}.jpg", "labels": f"groundTruth/{name}/*.mat"}
            for name in (options.split, FIT)
        }
        common = {
            "index": {"root": str(options.folder.resolve()), "splits": splits, "fit_split": FIT, "classes": []},
            "segmenter": {"options": TRAINING},
            "refine": {"source": "segments", "method": "none", "options": {}},
        }
        execution = Execution(workers=options.workers)
        content = write_params(project, common)
        for stage in ("index", "features", "eigen"):
            run_stage(Project.open(STAGES, project), stage, options.split, execution)
        started = time.perf_counter()
        for stage in ("index", "features", "segmenter"):
            run_stage(Project.open(STAGES, project), stage, FIT, execution)
        print(f"trained in {time.perf_counter() - started:.0f} s", flush=True)
        index = open_artifact(artifact_path(project, "index", options.split))
        inputs = Inputs(options.split, {"index": index}, content["index"], project)
        truths = [inputs.truth(i).partitions for i in range(index.num_images)]
        sizes = [tuple(size) for size in index["size"][:].tolist()]
        rows.append(row("one segment", "1", [np.zeros(size, int) for size in sizes], truths))
        for count in options.counts:
            rows.append(row("grid", str(count), [regular_grid(size, count) for size in sizes], truths))
        for method, settings in [(m, s) for m in METHODS for s in ({}, VARIANTS.get(m)) if s is not None]:
            for count in options.counts if method in COUNTS else [options.counts[0]]:
                chosen = {"method": method, "num_segments": count, "background": "none", "options": settings}
                write_params(project, {**common, "segments": chosen})
                started = time.perf_counter()
                run_stage(Project.open(STAGES, project), "segments", options.split, execution)
                seconds = time.perf_counter() - started
                run_stage(Project.open(STAGES, project), "refine", options.split, execution)
                asked = str(count) if method in COUNTS else "-"
                name = ", ".join([method, *(f"{key}: {value}" for key, value in settings.items())])
                rows.append(row(name, asked, list(full_size(project, options.split)), truths))
                print(rows[-1], f"{seconds:.0f} s", flush=True)
    page = PAGE.format(
        images=len(sizes),
        split=options.split,
        backbone=content["features"]["backbone"],
        stride=content["features"]["stride"],
        fit=FIT,
        training=", ".join(f"{key}: {value}" for key, value in TRAINING.items()).join("{}"),
        rows="\n".join(rows),
    )
    print(page)
    if options.page:
        options.page.write_text(page)


if __name__ == "__main__":
    main()
