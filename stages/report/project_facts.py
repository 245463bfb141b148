"""What the page says about the whole project."""

from collections.abc import Mapping
from typing import Any

from usseg.pipeline.artifact import Artifact
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.opening import knobs
from usseg.stages.report.cluster_examples import labels_with_segments
from usseg.stages.report.image_files import THUMB
from usseg.stages.report.label_colors import (
    class_colors,
    colors_of_labels,
    css,
    matched_classes,
    number_of_clusters,
    segment_colors,
)
from usseg.stages.report.palette import BACKGROUND, VOID


def first_artifacts(inputs: Inputs) -> dict[str, Artifact]:
    """Stage -> its artifact, that of the first split where there are several."""
    return {
        name: next(iter(item.values())) if isinstance(item, dict) else item for name, item in inputs.artifacts.items()
    }


def summary_of(inputs: Inputs) -> str:
    """The line under the title."""
    used = first_artifacts(inputs)
    features = used["features"].params
    count = sum(a.num_images for a in inputs["index"].values())
    parts = [
        f"{count:,} image{'' if count == 1 else 's'}",
        f"{features['options'].get('name', features['backbone'])} features",
    ]
    if "segments" in used:
        parts.append(f"{used['segments'].params['method']} segments")
    if "cluster" in used:
        cluster = used["cluster"]
        number = int(cluster["centers"].shape[0])
        rows = "" if cluster.params["rows"] == "segments" else f" of {cluster.params['rows']}"
        parts.append(f"{cluster.params['method']}, {number} clusters{rows} fitted on {cluster.attrs['split']}")
    return " · ".join(parts)


def stage_table(inputs: Inputs) -> list[dict[str, Any]]:
    """The stages that made the page: name, schema version, digests of their artifacts by split, and params."""
    table = []
    for name, item in inputs.artifacts.items():
        by_split = item if isinstance(item, dict) else {item.attrs["split"]: item}
        first = next(iter(by_split.values()))
        table.append(
            {
                "name": name,
                "version": first.attrs["version"],
                "digests": {split: artifact.attrs["content"][:12] for split, artifact in by_split.items()},
                "params": dict(knobs(first.params)),
            }
        )
    return table


def project_facts(inputs: Inputs, blocks: Mapping[str, list[list[int]]]) -> dict[str, Any]:
    """The values of `project.js`.

    Args:
        inputs: the inputs of the stage.
        blocks: split -> blocks of images, each a list of their places in the split.
    """
    names = list(inputs.index_params["classes"])
    fit = inputs["cluster"].attrs["split"] if "cluster" in inputs.artifacts else next(iter(blocks))
    matched = matched_classes(inputs, fit)
    colors, examples = colors_of_labels(inputs, fit), set(labels_with_segments(inputs))
    count = number_of_clusters(inputs)
    collision = "assign" in inputs.artifacts and inputs["assign"][fit].params["background_collision"]
    labels = range(1, count + (0 if collision else 1)) if count else range(0)
    return {
        "clustering": inputs["cluster"].attrs["content"] if count else None,
        "splits": [
            {
                "name": split,
                "count": inputs["index"][split].num_images,
                "shown": sum(map(len, listed)),
                "blocks": [[images[0], images[-1]] for images in listed],
            }
            for split, listed in blocks.items()
        ],
        "clusters": [
            {
                "label": label,
                "color": css(colors[label]),
                "matched": names[matched[label]] if label in matched else None,
                "examples": label in examples,
            }
            for label in labels
        ],
        "classes": [
            {"name": name, "color": css(color)} for name, color in zip(names, class_colors(inputs), strict=True)
        ],
        "segmentColors": [css(color) for color in segment_colors(inputs)],
        "background": "#{:02x}{:02x}{:02x}".format(*BACKGROUND),
        "void": "#{:02x}{:02x}{:02x}".format(*VOID),
        "thumb": THUMB,
        "layers": [name for name in ("segments", "eigen", "assign") if name in inputs.artifacts],
        "truth": any(any(index["label_path"]) for index in inputs["index"].values()),
    }
