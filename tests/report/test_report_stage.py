import re
from dataclasses import replace

import numpy as np
import pytest

from usseg.stages import STAGES
from usseg.stages.evaluate.methods import METHODS, classes
from usseg.stages.report.pictures import draw_boxes

AFTER_FEATURES = [name for name in STAGES if name not in ("index", "features", "eigen")]


def page(project) -> str:
    return (project.path / "report/index.html").read_text()


def test_one_self_contained_page(finished_project) -> None:
    html = page(finished_project)
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert "http" not in re.sub(r"base64,[^\"]*", "", html)
    for text in ("photo0", "left", "right", "mIoU", "cluster 1", "num_segments: 3"):
        assert text in html
    assert str(finished_project.path) not in html


def test_equal_bytes_a_second_time(finished_project) -> None:
    before = page(finished_project)
    (finished_project.path / "report/index.html").unlink()
    finished_project.run("report", "all")
    assert page(finished_project) == before


def test_a_new_score_is_shown_by_its_name(finished_project, monkeypatch: pytest.MonkeyPatch) -> None:
    def score(*given):
        found = classes.score(*given)
        found.metrics["sharpness"] = 0.625
        return found

    monkeypatch.setitem(METHODS.loaded, "classes", replace(classes.METHOD, call=score))
    finished_project.set({"evaluate.options.absent": "zero"})
    finished_project.run_all("evaluate", "report")
    assert list(finished_project.artifact("evaluate", "val")["title"]) == ["mIoU", "pixel accuracy", "sharpness"]
    assert page(finished_project).count('0.625 <span class="soft">sharpness</span>') == 2


def test_at_most_so_many_pictures(finished_project) -> None:
    finished_project.set({"report.max_images": 0, "report.max_segments": 0})
    finished_project.run("report", "all")
    assert "<img" not in page(finished_project)
    finished_project.set({"report.max_images": 1})
    finished_project.run("report", "all")
    assert (
        page(finished_project).count("<img") == 2 * 5
    )  # photo, eigenvectors, segments, prediction, truth of each split


def test_names_are_escaped(tiny_project, save_image, draw_photo) -> None:
    save_image(tiny_project.path / "data/images/train/<script>alert(1).png", draw_photo(3))
    tiny_project.set(
        {
            "index.splits": {name: {"images": f"images/{name}/*", "labels": None} for name in ("train", "val")},
            "report.max_images": 9,
        }
    )
    tiny_project.run_all(*STAGES)
    assert "&lt;script&gt;alert(1)" in page(tiny_project)
    assert "<script" not in page(tiny_project)


@pytest.mark.parametrize("background", ["border", "none"])
@pytest.mark.parametrize("collision", [False, True])
def test_a_cluster_is_shown_with_the_class_it_is_matched_to(finished_project, background: str, collision: bool) -> None:
    finished_project.set({"segments.background": background, "assign.background_collision": collision})
    finished_project.run_all(*AFTER_FEATURES)
    offset = 1 if background == "none" and not collision else 0
    names = ["left", "right"]
    expected = {
        row + offset: names[value] if value >= 0 else None
        for row, value in enumerate(finished_project.artifact("evaluate")["matching"][:])
    }
    html = page(finished_project)
    shown = dict(re.findall(r"cluster (\d+)(?: · (\w+))? <span", html))
    assert shown
    for label, name in shown.items():
        assert (name or None) == expected[int(label)]
    rows = re.findall(r"<tr><th>(\d+) → (\w+)</th>", html)
    for label, name in rows[: len(expected)]:
        assert name == (expected[int(label)] or "none")


def test_odd_images(odd_project) -> None:
    odd_project.set({"report.max_images": 9})
    odd_project.run_all(*STAGES)
    assert all(name in page(odd_project) for name in ("constant", "dot", "wide"))


def test_boxes_and_partitions_are_shown(tiny_project) -> None:
    """With boxes the fifth picture is the photo with frames; label images of a split may also be partitions."""
    for split in ("train", "val"):
        folder = tiny_project.path / f"data/boxes/{split}"
        folder.mkdir(parents=True)
        for i in range(4 if split == "train" else 2):
            box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>32</xmax><ymax>48</ymax></bndbox>"
            (folder / f"photo{i}.xml").write_text(f"<annotation><object>{box}</object></annotation>")
    boxes = {name: {"images": f"images/{name}/*", "labels": f"boxes/{name}/*"} for name in ("train", "val")}
    objects = {"segments.background": "border", "refine.source": "segments", "evaluate.method": "objects"}
    chain = ("index", "features", "eigen", "segments", "refine", "evaluate", "report")
    tiny_project.set({"index.splits": boxes, "report.max_images": 1, **objects})
    tiny_project.run_all(*chain)
    html = page(tiny_project)
    assert "CorLoc" in html
    assert html.count("<img") == 2 * 5
    labels = {name: {"images": f"images/{name}/*", "labels": f"labels/{name}/*"} for name in ("train", "val")}
    tiny_project.set({"index.splits": labels, "evaluate.method": "partitions"})
    tiny_project.run_all(*chain)
    html = page(tiny_project)
    assert "variation of information, bits" in html
    assert html.count("<img") == 2 * 5


def test_frames_of_boxes_are_drawn_on_a_copy() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    found = draw_boxes(image, np.array([[5, 4, 25, 16]]), color=(9, 8, 7))
    assert not image.any()
    assert (found[4, 5:25] == (9, 8, 7)).all()
    assert (found[15, 24] == (9, 8, 7)).all()
    assert not found[10, 15].any()
