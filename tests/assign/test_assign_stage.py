import numpy as np
import pytest


@pytest.fixture
def project(odd_project):
    odd_project.set({"segments.background": "border"})
    odd_project.run_all("segments", "crops", "cluster")
    return odd_project


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("collision", [False, True])
def test_labels_follow_the_segments(project, split: str, collision: bool) -> None:
    project.set({"assign.background_collision": collision})
    assign, crops = project.run("assign", split), project.artifact("crops", split)
    segments = project.artifact("segments", split)["segments"][:]
    labels, by_segment = assign["labels"][:], assign["segment_labels"][:]
    assert labels.dtype == by_segment.dtype == np.int16
    np.testing.assert_array_equal(labels == -1, segments == -1)
    np.testing.assert_array_equal(labels[segments == 0], 0)
    for row, count in enumerate(crops["num_segments"]):
        assert (by_segment[row, count:] == -1).all()
        for s in range(count):
            assert set(labels[row][segments[row] == s + 1]) == {by_segment[row, s]}
    low = 0 if collision else 1
    used = by_segment[by_segment >= 0]
    assert used.min() >= low
    assert used.max() < low + 2


def test_an_image_of_background_only(tiny_project, save_image, draw_photo) -> None:
    save_image(tiny_project.path / "data/small/dot.png", draw_photo(1, 5, 5))
    save_image(tiny_project.path / "data/small/photo.png", draw_photo(2))
    splits = {"train": {"images": "images/train/*", "labels": None}, "val": {"images": "small/*", "labels": None}}
    tiny_project.set({"index.splits": splits, "segments.background": "border"})
    tiny_project.run_all("index", "features", "eigen", "segments", "crops", "cluster", "assign")
    assign = tiny_project.artifact("assign", "val")
    assert assign["labels"][0][0] == 0
    assert (assign["segment_labels"][0] == -1).all()
    assert assign["labels"][1].any()
