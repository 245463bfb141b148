"""The page of a project: what its files hold, that they are safe, and that a build continues."""

import base64
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usseg.pipeline import parts
from usseg.stages import STAGES
from usseg.stages.evaluate.methods import METHODS, classes
from usseg.stages.report.stage import PROGRAM, SCRIPTS, spread

AFTER_FEATURES = [name for name in STAGES if name not in ("index", "features", "eigen")]


def page(project) -> str:
    return (project.path / "report/index.html").read_text()


def values(project, name: str) -> list:
    """The JSON values with which a script of the page calls its function."""
    text = (project.path / "report/page" / name).read_text("ascii")
    given = re.fullmatch(r"USSEG[.]\w+[(](.*)[)];\n", text)[1]
    return json.loads(f"[{given}]")


def unpacked(packed: dict) -> np.ndarray:
    stream = zlib.decompress(base64.b64decode(packed["data"]))
    return np.frombuffer(stream, f"<u{packed['bytes']}").reshape(packed["h"], packed["w"]).astype(int) - 1


def built(project) -> dict[str, bytes]:
    return {name: content for name, content in project.files("report").items() if not name.endswith("names.js")}


def test_the_page_loads_its_own_folder_and_no_network(finished_project) -> None:
    html = page(finished_project)
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    loaded = [source for source in sources if not source.startswith("data:")]
    assert len(loaded) == len(SCRIPTS) + 2
    for source in loaded:
        assert (finished_project.path / "report" / source).is_file()
    assert "http" not in html
    for text in ("left", "right", "mIoU", "num_segments: 3", "spectral segments", "2 clusters fitted on train"):
        assert text in html
    for content in built(finished_project).values():
        assert str(finished_project.path).encode() not in content


def test_own_scripts_never_read_html() -> None:
    own = [path for path in PROGRAM.glob("*.js") if "openseadragon" not in path.name]
    assert {path.name for path in own} == set(SCRIPTS) - {"openseadragon.min.js"}
    for path in [*own, *PROGRAM.glob("*.css")]:
        text = path.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
        assert not re.search(r"https?://", text)
        assert len(text.splitlines()) <= 300
        assert max(map(len, text.splitlines())) <= 120
    assert "Redistribution" in (PROGRAM / "openseadragon.license").read_text()


def test_facts_and_maps_are_those_of_the_result(finished_project) -> None:
    split, facts = values(finished_project, "facts/val-000000.js")
    assert split == "val"
    refine, assign = finished_project.artifact("refine", "val"), finished_project.artifact("assign", "val")
    small, layers = (values(finished_project, f"{kind}/val-000000.js")[1] for kind in ("maps", "layers"))
    for i, image in enumerate(facts):
        labels = refine["maps"][i]
        assert image["id"] == finished_project.artifact("index", "val")["id"][i]
        assert image["size"] == list(labels.shape)
        assert image["pixels"] == {str(v): int((labels == v).sum()) for v in np.unique(labels)}
        used = assign["labels"][i] > 0
        assert image["certainty"] == pytest.approx(assign["margin"][i][used].astype(float).mean(), abs=1e-4)
        np.testing.assert_array_equal(unpacked(small[str(i)]), labels)  # the photos are smaller than a thumbnail
        np.testing.assert_array_equal(unpacked(layers[str(i)]["map"]), labels)
        h, w = finished_project.artifact("segments", "val")["grid"][i]
        segments = finished_project.artifact("segments", "val")["segments"][i][: h * w].reshape(h, w)
        np.testing.assert_array_equal(unpacked(layers[str(i)]["segments"]), segments)
        truth = unpacked(layers[str(i)]["truth"])
        assert set(np.unique(truth)) == {-1, 0, 1}
        for label, x, y in small[str(i)]["anchors"]:
            assert labels[int(y * labels.shape[0]), int(x * labels.shape[1])] == label
        with Image.open(finished_project.path / f"report/page/photos/val/{i:06d}.jpg") as photo:
            assert photo.size == labels.shape[::-1]


def test_the_project_names_its_clustering_and_its_colours(finished_project) -> None:
    (project,) = values(finished_project, "project.js")
    assert project["clustering"] == finished_project.artifact("cluster").attrs["content"]
    assert [cluster["label"] for cluster in project["clusters"]] == [1, 2]
    shown = [cluster["color"] for cluster in project["clusters"]] + [one["color"] for one in project["classes"]]
    assert not set(shown) & set(project["segmentColors"])
    for cluster in project["clusters"]:
        if cluster["matched"] is not None:
            assert cluster["color"] == next(c["color"] for c in project["classes"] if c["name"] == cluster["matched"])
    assert project["splits"][0] == {"name": "train", "count": 4, "shown": 2, "blocks": [[0, 3]]}
    assert "4 images, 2 of them on this page" in page(finished_project)


def test_examples_go_from_typical_to_doubtful(finished_project) -> None:
    finished_project.set({"report.max_segments": 2})
    finished_project.run("report", "all")
    assign = finished_project.artifact("assign")
    for label in (1, 2):
        number, found = values(finished_project, f"examples/{label}.js")
        assert number == label
        margins = np.sort(assign["segment_margin"][:][assign["segment_labels"][:] == label].astype(float))
        assert found["count"] == len(margins)
        assert [one["margin"] for one in found["typical"]] == pytest.approx(margins[::-1][:2], abs=1e-4)
        doubtful = margins[: max(0, min(2, len(margins) - 2))]
        assert [one["margin"] for one in found["doubtful"]] == pytest.approx(doubtful, abs=1e-4)


def test_equal_bytes_a_second_time_and_with_two_workers(finished_project) -> None:
    before = built(finished_project)
    for options in ({}, {"workers": 2}):
        (finished_project.path / "report/page/project.js").unlink()
        finished_project.run("report", "all", **options)
        assert built(finished_project) == before


def test_a_killed_build_continues(finished_project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = built(finished_project)
    (finished_project.path / "report/page/project.js").unlink()
    write, written = parts.write_part, []

    def killed(task) -> str:
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(task.part)
        return write(task)

    with monkeypatch.context() as patched:
        patched.setattr(parts, "write_part", killed)
        with pytest.raises(KeyboardInterrupt):
            finished_project.run("report", "all")
    (folder,) = finished_project.path.glob("artifacts/report/.all.*.partial")
    (folder / "files/report/page/examples/1.js").write_text("torn")
    again = []
    monkeypatch.setattr(parts, "write_part", lambda task: again.append(task.part) or write(task))
    finished_project.run("report", "all")
    assert set(again) & set(written) == {"examples@1"}
    assert built(finished_project) == before
    assert not list(finished_project.path.glob("artifacts/report/.all.*.partial"))


def test_files_of_an_earlier_page_go_and_names_stay(finished_project) -> None:
    names = finished_project.path / "report/names.js"
    names.write_text("window.USSEG_NAMES = {};\n")
    finished_project.set({"report.max_images": 1, "report.max_segments": 0})
    finished_project.run("report", "all")
    folder = finished_project.path / "report/page"
    assert len(list(folder.glob("photos/*/*"))) == 2
    assert not list(folder.glob("examples/*"))
    assert names.read_text() == "window.USSEG_NAMES = {};\n"
    finished_project.set({"report.max_images": 0})
    finished_project.run("report", "all")
    assert not list(folder.glob("photos/*/*"))


def test_a_changed_file_of_the_page_is_made_anew(finished_project, caplog: pytest.LogCaptureFixture) -> None:
    before = built(finished_project)
    (finished_project.path / "report/page/stray.js").touch()
    finished_project.run("report", "all")
    assert "report/page is missing or has been changed" in caplog.text
    assert built(finished_project) == before


def test_large_photos_get_a_thumbnail(tiny_project, save_image, draw_photo) -> None:
    save_image(tiny_project.path / "data/images/val/wide.png", draw_photo(3, 100, 700))
    save_image(tiny_project.path / "data/labels/val/wide.png", np.zeros((100, 700), np.uint8))
    tiny_project.set({"report.side": 500, "report.max_images": 9})
    tiny_project.run_all(*STAGES)
    sizes = {}
    for kind in ("photos", "thumbs"):
        for path in (tiny_project.path / f"report/page/{kind}/val").iterdir():
            with Image.open(path) as image:
                sizes[f"{kind}/{path.name}"] = image.size
    assert sizes["photos/000002.jpg"] == (500, 71)
    assert {name: size for name, size in sizes.items() if "thumbs" in name} == {"thumbs/000002.jpg": (320, 46)}


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


def test_names_are_text(tiny_project, save_image, draw_photo) -> None:
    hostile = "<script>alert(1)"
    save_image(tiny_project.path / f"data/images/train/{hostile}.png", draw_photo(3))
    save_image(tiny_project.path / f"data/labels/train/{hostile}.png", np.zeros((48, 64), np.uint8))
    tiny_project.set({"index.classes": ["<img src=x onerror=alert(1)>", "right"], "report.max_images": 9})
    tiny_project.run_all(*STAGES)
    html = page(tiny_project)
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "<img" not in html
    ids = [image["id"] for image in values(tiny_project, "facts/train-000000.js")[1]]
    assert hostile in ids
    data = [path for path in (tiny_project.path / "report/page").rglob("*.js") if path.name not in SCRIPTS]
    assert data
    assert not [path for path in data if b"<" in path.read_bytes()]


@pytest.mark.parametrize("background", ["border", "none"])
@pytest.mark.parametrize("collision", [False, True])
def test_a_cluster_is_shown_with_the_class_it_is_matched_to(finished_project, background: str, collision: bool) -> None:
    finished_project.set({"segments.background": background, "assign.background_collision": collision})
    finished_project.run_all(*AFTER_FEATURES)
    names = ["left", "right"]
    evaluate = finished_project.artifact("evaluate")
    pairs = zip(evaluate["label"][:].tolist(), evaluate["matching"][:].tolist(), strict=True)
    expected = {label: names[value] if value >= 0 else None for label, value in pairs}
    (project,) = values(finished_project, "project.js")
    assert [one["label"] for one in project["clusters"]] == ([1] if collision else [1, 2])
    for cluster in project["clusters"]:
        assert cluster["matched"] == expected.get(cluster["label"])
    for label, name in re.findall(r"<tr><th>(\d+) → (\w+)</th>", page(finished_project)):
        assert name == (expected[int(label)] or "none")


def test_odd_images(odd_project) -> None:
    odd_project.set({"report.max_images": 9})
    odd_project.run_all(*STAGES)
    ids = [image["id"] for image in values(odd_project, "facts/train-000000.js")[1]]
    assert {"constant", "dot", "wide"} <= set(ids)


def write_boxes(folder: Path) -> None:
    for split, count in (("train", 4), ("val", 2)):
        (folder / split).mkdir(parents=True)
        for i in range(count):
            box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>32</xmax><ymax>48</ymax></bndbox>"
            text = f"<annotation><object>{box}</object></annotation>"
            (folder / split / f"photo{i}.xml").write_text(text)


def test_boxes_and_partitions_are_layers(tiny_project) -> None:
    """Label images of a split may also be partitions."""
    write_boxes(tiny_project.path / "data/boxes")
    boxes = {name: {"images": f"images/{name}/*", "labels": f"boxes/{name}/*"} for name in ("train", "val")}
    objects = {"segments.background": "border", "refine.source": "segments", "evaluate.method": "objects"}
    chain = ("index", "features", "eigen", "segments", "refine", "evaluate", "report")
    tiny_project.set({"index.splits": boxes, "report.max_images": 1, **objects})
    tiny_project.run_all(*chain)
    assert "CorLoc" in page(tiny_project)
    layers = values(tiny_project, "layers/train-000000.js")[1]["0"]
    assert layers["truth"] == {"kind": "boxes", "boxes": [[0, 0, 0.5, 1]]}
    (project,) = values(tiny_project, "project.js")
    assert project["clustering"] is None
    assert project["clusters"] == []
    labels = {name: {"images": f"images/{name}/*", "labels": f"labels/{name}/*"} for name in ("train", "val")}
    tiny_project.set({"index.splits": labels, "evaluate.method": "partitions"})
    tiny_project.run_all(*chain)
    assert "variation of information, bits" in page(tiny_project)
    assert values(tiny_project, "layers/train-000000.js")[1]["0"]["truth"]["kind"] == "classes"


def test_images_are_spread_evenly() -> None:
    assert spread(10, 4) == [0, 3, 6, 9]
    assert spread(3, 9) == [0, 1, 2]
    assert spread(0, 9) == spread(9, 0) == []
