"""Write the page: report/index.html, and what it loads, the folder report/page."""

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.params import Params
from usseg.pipeline.stage import Input, Parts, Stage

BLOCK = 32  # images of a part
PROGRAM = Path(__file__).parent / "page"  # the scripts and the style sheet of the page


class ReportParams(Params):
    """How much the page shows."""

    max_images: int = Field(10_000, ge=0, le=100_000, description="largest number of images of a split")
    max_segments: int = Field(
        24, ge=0, le=1_000, description="largest number of typical segments of a cluster, and of doubtful ones"
    )
    side: int = Field(1024, ge=64, le=8192, description="longer side of the photos in the viewer, pixels")


def spread(count: int, limit: int) -> list[int]:
    """At most `limit` indices, spread evenly over 0 to count - 1."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, limit))}) if count and limit else []


def image_blocks(params: ReportParams, inputs: Inputs) -> dict[str, list[list[int]]]:
    """Split -> the images of the page in blocks of BLOCK."""
    blocks = {}
    for split, index in inputs["index"].items():
        shown = spread(index.num_images, params.max_images)
        blocks[split] = [shown[start : start + BLOCK] for start in range(0, len(shown), BLOCK)]
    return blocks


def parts_of(params: ReportParams, inputs: Inputs) -> dict[str, int]:
    """Name of each part -> its number of images: the program, the examples of each cluster, and blocks of images."""
    from usseg.stages.report.cluster_examples import labels_with_segments

    parts = {"program": 0, "project": 0}
    if params.max_segments:
        parts |= {f"examples@{label}": 0 for label in labels_with_segments(inputs)}
    for split, blocks in image_blocks(params, inputs).items():
        parts |= {f"images@{split}@{number}": len(images) for number, images in enumerate(blocks)}
    return parts


def write_part(params: ReportParams, inputs: Inputs, part: str, execution: Execution) -> dict[str, bytes]:
    """The files of one part, by their path below report/page."""
    from usseg.stages.report.cluster_examples import example_files
    from usseg.stages.report.image_files import block_files
    from usseg.stages.report.page_script import call
    from usseg.stages.report.project_facts import project_facts

    kind, _, rest = part.partition("@")
    if kind == "program":
        return {path.name: path.read_bytes() for path in sorted(PROGRAM.iterdir()) if not path.name.startswith(".")}
    if kind == "examples":
        return example_files(inputs, int(rest), most=params.max_segments)
    blocks = image_blocks(params, inputs)
    if kind == "project":
        return {"project.js": call("setProject", project_facts(inputs, blocks))}
    split, _, number = rest.rpartition("@")
    return block_files(inputs, split, blocks[split][int(number)], side=params.side)


def run(params: ReportParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Render the page itself."""
    from jinja2 import Environment, FileSystemLoader

    from usseg.stages.report.label_colors import number_of_clusters
    from usseg.stages.report.project_facts import stage_table, summary_of
    from usseg.stages.report.score_tables import score_tables

    blocks = image_blocks(params, inputs)
    page = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    html = page.get_template("template.html.j2").render(
        summary=summary_of(inputs),
        splits=[
            {
                "name": split,
                "count": index.num_images,
                "shown": sum(map(len, blocks[split])),
                **score_tables(inputs, split),
            }
            for split, index in inputs["index"].items()
        ],
        stages=stage_table(inputs),
        clusters=number_of_clusters(inputs),
        scripts=SCRIPTS,
    )
    return {"files": {"report/index.html": html}}


# In the order in which the page loads them.
SCRIPTS = (
    *("openseadragon.min.js", "store.js", "state.js", "names.js", "label_maps.js", "cluster_bar.js", "grid.js"),
    *("viewer_layers.js", "viewer.js", "cluster_page.js", "how_made.js", "start.js"),
)
EACH = ("features", "eigen", "segments", "crops", "assign", "refine")

STAGE = Stage(
    name="report",
    summary="Write the page: scores, all images with their maps, clusters, params.",
    version=1,
    params=ReportParams,
    inputs=(
        Input("index", "all", labels=True),
        *(Input(name, "all", when="present") for name in EACH),
        Input("cluster", "fit", when="present"),
        Input("evaluate", "all", calls=("class_scores", "of_objects")),
    ),
    arrays={},
    run=run,
    parts=Parts("report/page", parts_of, write_part),
    scope="all",
)
