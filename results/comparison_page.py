"""Page of a comparison: a table of scores, a legend, and the predictions of all pairs side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from usseg.pipeline.inputs import Inputs
from usseg.pipeline.opening import open_inputs
from usseg.results.comparison_tables import sentence
from usseg.results.method_pairs import Pair
from usseg.results.score_summary import Summary
from usseg.stages.report.label_colors import colors_of_labels
from usseg.stages.report.palette import BACKGROUND, VOID, palette
from usseg.stages.report.pictures import color_map, data_uri, fit_within, nearest_within
from usseg.stages.report.stage import spread
from usseg.stages.report.truth_picture import truth_picture

SIDE = 240  # pixels; longest side of a picture on the page


def comparison_page(pairs: Sequence[Pair], summary: Summary, tables: Mapping[str, str], *, max_images: int = 6) -> str:
    """The comparison on one split as an HTML page. Nothing but the tables is a file of its own.

    Args:
        pairs: one run of each pair of methods. The page shows its predictions.
        summary: the scores of all runs.
        tables: format -> name of its file beside the page.
        max_images: largest number of images that are shown.
    """
    from jinja2 import Environment, FileSystemLoader

    opened = [open_inputs(pair.project, "report", "all") for pair in pairs]
    images = opened[0]["index"][summary.split]
    shown = spread(images.num_images, max_images)
    page = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True)
    return page.get_template("comparison.html.j2").render(
        split=summary.split,
        caption=sentence(summary, "Bold and ★"),
        headings=summary.headings,
        rows=summary.rows,
        tables=tables,
        legend=legend_of(opened[0]) if images.num_images else [],
        seed=pairs[0].seed,
        images=[image_view(i, pairs, opened, summary.split) for i in shown],
        left_out=images.num_images - len(shown),
    )


def image_view(i: int, pairs: Sequence[Pair], opened: Sequence[Inputs], split: str) -> dict[str, Any]:
    """An image for the template: its id, and the pictures of the photo, the ground truth and every prediction."""
    first = opened[0]
    name = first["index"][split]["id"][i]
    figures = [("photo", f"photo {name}", data_uri(fit_within(first.image(i, split), SIDE)))]
    truth = truth_picture(first, i, split, SIDE)
    if truth:
        figures.append(("ground truth", f"ground truth of {name}", truth))
    for pair, inputs in zip(pairs, opened, strict=True):
        colors = colors_of_labels(inputs, split)
        prediction = color_map(nearest_within(inputs["refine"][split]["maps"][i], SIDE), colors)
        words = f"prediction by {pair.segments} segments and {pair.cluster} clusters for {name}"
        figures.append((f"{pair.segments} · {pair.cluster}", words, data_uri(prediction, kind="PNG")))
    return {"id": name, "figures": figures}


def legend_of(inputs: Inputs) -> list[tuple[str, str]]:
    """The meaning of the colours: (colour for the style sheet, words) of each entry."""
    splits = inputs["refine"]
    source = next(iter(splits.values())).params["source"]
    names = list(inputs.index_params["classes"]) if source == "assign" else []
    entries = [(css(color), name) for color, name in zip(palette(len(names)).tolist(), names, strict=True)]
    return [*entries, (css(BACKGROUND), "background"), (css(VOID), "not scored")]


def css(color: Sequence[int]) -> str:
    """A colour for a style sheet."""
    return f"rgb({', '.join(map(str, color))})"
