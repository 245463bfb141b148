"""Scores of partitions by the stage, and on BSDS500 as it is distributed."""

from pathlib import Path

import numpy as np
import pytest

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.opening import open_inputs
from usseg.pipeline.project import Project
from usseg.results.datasets import find_layout
from usseg.results.datasets.layouts import settings_of
from usseg.results.params_file import write_settings
from usseg.stages import STAGES
from usseg.stages.evaluate.partition_scores import partition_scores

BSDS = Path(__file__).resolve().parents[3] / "shared/data/bsds500"
HALVES = np.array([[1, 1], [2, 2]])
UNDEFINED = {"covering": None, "pri": None, "voi": None}


def test_means_over_people_then_images(evaluate) -> None:
    one = np.ones((2, 2), int)
    found = evaluate([HALVES, one], [[HALVES, one], [one]], method="partitions")
    assert found["covering"] == pytest.approx((0.75 + 1) / 2)
    assert found["pri"] == pytest.approx(((1 + 2 / 6) / 2 + 1) / 2)
    assert found["voi"] == pytest.approx((0.5 + 0) / 2)
    assert (found["num_scored"], found["num_segmentations"]) == (2, 3)
    assert found["convention"] == {"method": "partitions"}


def test_a_label_image_is_one_partition_without_its_ignored_pixels(evaluate) -> None:
    labels = np.array([[0, 0, 255], [1, 1, 255]])
    found = evaluate([np.array([[7, 7, 3], [4, 4, 7]])], [labels], method="partitions")
    assert (found["covering"], found["pri"], found["voi"]) == (1, 1, 0)


def test_regions_of_people_are_never_ignored(evaluate) -> None:
    """Region 255 of a person is a region."""
    found = evaluate([HALVES], [[HALVES + 253]], method="partitions")
    assert found["covering"] == 1
    assert evaluate([np.ones((2, 2), int)], [[HALVES + 253]], method="partitions")["covering"] == 0.5


def test_degenerate_images(evaluate) -> None:
    dot = np.ones((1, 1), int)
    found = evaluate([dot, HALVES], [[dot], None], method="partitions")
    assert (found["covering"], found["pri"], found["voi"]) == (1, 1, 0)
    assert (found["num_images"], found["num_scored"]) == (2, 1)
    found = evaluate([HALVES, HALVES], [np.full((2, 2), 255), HALVES], method="partitions")
    assert (found["covering"], found["num_images"], found["num_scored"]) == (1, 2, 1)
    nothing = evaluate([HALVES], [np.full((2, 2), 255)], method="partitions")
    assert {name: nothing[name] for name in UNDEFINED} == UNDEFINED
    assert nothing["files"]["plots/val/scores.csv"] == "name,score\n"


def test_boxes_are_no_partition(evaluate) -> None:
    with pytest.raises(
        ParamsError, match=r"found 'partitions', which needs segmentations or a label image; .*xml holds bo"
    ):
        evaluate([HALVES], [[(0, 0, 1, 1)]], method="partitions")


@pytest.mark.skipif(not BSDS.exists(), reason="BSDS500 is not beside the repository")
def test_bsds500(tiny_project) -> None:
    """Four photos through the stages, by the settings of the layout."""
    write_settings(tiny_project.path, settings_of(find_layout("bsds500"), BSDS))
    splits = {"val": {"images": "images/val/10*.jpg", "labels": "groundTruth/val/*.mat"}}
    tiny_project.set({"index.splits": splits, "index.fit_split": "val", "features.options.stride": 16})
    for name in ("index", "features", "eigen", "segments", "refine", "evaluate"):
        tiny_project.run(name, "val")
    tiny_project.run("report", "all")
    metrics = tiny_project.scores("val")
    inputs = open_inputs(Project.open(STAGES, tiny_project.path), "evaluate", "val")
    expected = []
    for i, found in enumerate(inputs["refine"]["maps"]):
        people = inputs.truth(i).partitions
        assert len(people) >= 4
        expected.append(partition_scores(found, people))
    assert metrics["num_images"] == metrics["num_scored"] == len(expected) > 3
    for name in UNDEFINED:
        assert metrics[name] == pytest.approx(np.mean([one[name] for one in expected]))
    assert 0.25 < metrics["covering"] < 0.8
    assert 0.5 < metrics["pri"] < 0.95
    page = (tiny_project.path / "report/index.html").read_text()
    assert "probabilistic Rand index" in page
