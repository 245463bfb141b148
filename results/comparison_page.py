"""Page of a comparison: a table of scores, and the predictions of all pairs side by side."""

from collections.abc import Sequence
from pathlib import Path

from usseg.pipeline.opening import open_inputs
from usseg.results.method_pairs import Pair
from usseg.results.metrics import read_metrics, shown
from usseg.stages.evaluate.method import main_scores
from usseg.stages.report import stage as report
from usseg.stages.report.palette import palette
from usseg.stages.report.pictures import color_map, data_uri, fit_within, nearest_within
from usseg.stages.report.stage import colors_of_labels, spread, truth_picture

SIDE = 200  # pixels; longest side of a picture on the page


def comparison_page(pairs: Sequence[Pair], *, split: str, max_images: int = 6) -> str:
    """The comparison on one split as a self-contained HTML page. `max_images` limits the images that are shown."""
    from jinja2 import Environment, FileSystemLoader

    scores = {(p.segments, p.cluster): main_scores(read_metrics(p.project.root, split)) for p in pairs}
    opened = [open_inputs(p.project, "report", "all") for p in pairs]
    first = opened[0]
    names = list(first.index_params["classes"])
    index = first["index"][split]
    images = []
    for i in spread(index.num_images, max_images):
        figures = [("photo", data_uri(fit_within(first.image(i, split), SIDE)))]
        truth = truth_picture(first, i, split, palette(len(names)), SIDE)
        if truth:
            figures.append(("ground truth", truth))
        for pair, inputs in zip(pairs, opened, strict=True):
            colors = colors_of_labels(inputs, split)
            prediction = color_map(nearest_within(inputs["refine"][split]["maps"][i], SIDE), colors)
            picture = data_uri(prediction, kind="PNG")
            figures.append((f"{pair.segments} · {pair.cluster}", picture))
        images.append({"id": index["id"][i], "figures": figures})
    folders = (Path(__file__).parent, Path(report.__file__).parent)  # of the page, and of the style sheet of the report
    page = Environment(loader=FileSystemLoader(folders), autoescape=True, trim_blocks=True)
    return page.get_template("comparison.html.j2").render(
        split=split,
        segments=list(dict.fromkeys(p.segments for p in pairs)),
        clusters=list(dict.fromkeys(p.cluster for p in pairs)),
        names=list(dict.fromkeys(name for values in scores.values() for name in values)),
        scores={pair: [shown(value) for value in values.values()] for pair, values in scores.items()},
        shades={pair: round(100 * (next(iter(values.values()), 0) or 0)) for pair, values in scores.items()},
        images=images,
    )
