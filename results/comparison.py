"""Comparison of methods: run every pair with the same features, and write one page with their scores."""

from collections.abc import Iterator, Sequence

from usseg.pipeline.disk import write_file
from usseg.pipeline.execution import Execution
from usseg.pipeline.project import Project
from usseg.results.comparison_page import comparison_page
from usseg.results.method_pairs import run_pairs
from usseg.results.metrics import read_metrics, shown
from usseg.stages.evaluate.method import main_scores


def compare_methods(
    project: Project, segments: Sequence[str], clusters: Sequence[str], split: str, execution: Execution
) -> Iterator[str]:
    """Bring every pair up to date below `comparison/` of the project, and write `comparison/index.html`.

    Args:
        project: the project.
        segments: values of `segments.method`.
        clusters: values of `cluster.method`.
        split: the split of the scores.
        execution: how to run.

    Yields:
        One line with the scores of each finished pair, then one line with the path of the page.

    Raises:
        ParamsError, ArtifactError, ImageError: as `run_pairs`.
    """
    folder = project.root / "comparison"
    pairs = []
    for pair in run_pairs(project, folder, segments, clusters, execution):
        pairs.append(pair)
        scores = main_scores(read_metrics(pair.project.root, split))
        line = ", ".join(f"{name} {shown(value)}" for name, value in scores.items()) or "done"
        yield f"{pair.segments:<12} {pair.cluster:<8} {line}"
    write_file(folder / "index.html", comparison_page(pairs, split=split).encode())
    yield f"page: {folder / 'index.html'}"
