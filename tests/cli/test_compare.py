"""usseg compare from the terminal."""

import csv
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest


class Page(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def compare(usseg, project: Path, *options: str):
    return usseg(project, "compare", "--segments", "kmeans", *options)


def test_three_seeds_give_tables_and_a_page(finished_project, usseg) -> None:
    project, options = finished_project.path, ["--cluster", "kmeans,ot", "--seeds", "0,4-5"]
    done = compare(usseg, project, *options)
    assert done.returncode == 0, done.stderr
    assert (
        len(
            re.findall(
                r"^kmeans +(?:kmeans|ot) +seed [045] +miou [01]\.\d{3}, accuracy [01]\.\d{3}$", done.stdout, re.M
            )
        )
        == 6
    )
    assert "over n = 3 seeds (0, 4-5)" in done.stdout
    rows = list(csv.DictReader((project / "comparison/scores.csv").read_text().splitlines()))
    assert [(row["cluster"], row["seed"]) for row in rows] == [(c, s) for c in ("kmeans", "ot") for s in "045"]
    text = (project / "comparison/index.html").read_text()
    mean = sum(float(row["miou"]) for row in rows[:3]) / 3
    for table in ("scores.md", "scores.tex", "index.html"):
        assert f"{mean:.3f}" in (project / "comparison" / table).read_text()
    page = Page(text)
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(images) == 2 * (2 + 2)  # photo, truth and two predictions of both images
    assert all(attrs["alt"] and attrs["src"].startswith("data:image/") for attrs in images)
    assert len({attrs["alt"] for attrs in images}) == len(images)
    assert text.count("<figcaption>") == len(images)
    assert [attrs["href"] for tag, attrs in page.tags if tag == "a"] == ["scores.csv", "scores.md", "scores.tex"]
    assert "★" in text
    again = compare(usseg, project, *options, "--format", "md")
    assert again.stdout.splitlines()[:6] == done.stdout.splitlines()[:6]
    computed = [line for line in again.stderr.splitlines() if " images in " in line]
    assert all(line.startswith("index@") for line in computed)  # the folder is listed each time
    assert {path.name for path in (project / "comparison").glob("scores.*")} == {"scores.md"}
    assert "scores.csv" not in (project / "comparison/index.html").read_text()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--seeds", "4-0"], "--seeds: found '4-0'; numbers from 0 to 1000000000 are needed, as a range"),
        (["--seeds", "1,1"], "--seeds: found 1 twice; give every number once"),
        (["--format", "latx"], "--format: no format 'latx'; did you mean 'latex'? (known: csv, md, latex)"),
        (["--format", ""], "--format: found an empty name; give every name once"),
        (["--split", "vall"], "--split: no split 'vall'; did you mean 'val'? (known: train, val)"),
        (["--cluster", "ot,ot"], "--cluster: found 'ot' twice; give every name once"),
        (["--cluster", "ot, kmean"], "params.yaml: cluster.method: found 'kmean'; no such method"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(tiny_project, usseg, options: list[str], line: str) -> None:
    given = options if "--cluster" in options else ["--cluster", "ot", *options]
    done = compare(usseg, tiny_project.path, *given)
    assert done.returncode == 1
    assert done.stderr.startswith(f"usseg: {line}")
    assert done.stderr.count("\n") == 1
    assert not (tiny_project.path / "artifacts").exists()
    assert not (tiny_project.path / "comparison").exists()


def test_without_labels_there_is_a_page_and_no_score(tiny_project, usseg) -> None:
    splits = {name: {"images": f"images/{name}/*", "labels": None} for name in ("train", "val")}
    tiny_project.set({"index.splits": splits, "index.classes": []})
    done = compare(usseg, tiny_project.path, "--cluster", "ot")
    assert done.returncode == 0, done.stderr
    assert "no labels, so no scores" in done.stdout
    assert "no labels, so no scores" in (tiny_project.path / "comparison/index.html").read_text()
    assert (tiny_project.path / "comparison/scores.csv").read_text() == "segments,cluster,seed,split\nkmeans,ot,,val\n"
