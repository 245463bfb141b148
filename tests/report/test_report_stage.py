import re

import pytest

from stages import STAGES

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
