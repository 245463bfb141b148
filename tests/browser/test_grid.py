"""The grid: filters, order, the opacity of the maps, and a link that restores the view."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

OPACITY = "return getComputedStyle(document.querySelector('[data-testid=grid-item] canvas')).opacity"
LOADED = "return [...document.querySelectorAll('[data-testid=grid-item] img')].every(image => image.naturalWidth > 0)"


@pytest.fixture(scope="session")
def labels_of(artifact: Callable) -> Callable[[str], dict[str, set[int]]]:
    """The labels in the map of each photo of a split."""

    def labels(split: str) -> dict[str, set[int]]:
        maps, ids = artifact("refine", split)["maps"], artifact("index", split)["id"]
        return {name: set(np.unique(maps[i]).tolist()) for i, name in enumerate(ids)}

    return labels


def test_photos_with_a_cluster(browser, server, labels_of) -> None:
    browser.open(server.address)
    everything = labels_of("train") | labels_of("val")
    label = next(k for k in range(1, 5) if 0 < sum(k in labels for labels in everything.values()) < len(everything))
    browser.one("cluster-chip", label=str(label)).find_element("css selector", ".number").click()
    browser.until(
        lambda: set(browser.ids()) == {name for name, labels in everything.items() if label in labels},
        "the grid does not show the photos of the cluster",
    )
    browser.one("filter-clear").click()
    browser.until(lambda: set(browser.ids()) == set(everything))


def test_photos_of_a_split_and_of_a_folder(browser, server, labels_of) -> None:
    browser.open(server.address)
    browser.choose("filter-split", "val")
    browser.until(lambda: set(browser.ids()) == set(labels_of("val")))
    browser.one("filter-clear").click()
    browser.choose("filter-folder", "old town")
    browser.until(lambda: sorted(browser.ids()) == [f"old town/photo{i}" for i in range(3)])


def test_a_link_restores_the_view(browser, server) -> None:
    browser.open(server.address)
    browser.choose("filter-split", "train")
    browser.choose("filter-folder", "meadow")
    browser.until(lambda: len(browser.ids()) == 5)
    order, link = browser.ids(), browser.driver.current_url
    assert "#" in link
    browser.open(link)
    assert browser.ids() == order
    assert browser.one("filter-folder").get_property("value") == "meadow"


def test_the_most_uncertain_photo_is_the_first(browser, server, artifact) -> None:
    browser.open(server.address)
    by_name, certainty = browser.ids(), {}
    for split in ("train", "val"):
        assign, ids = artifact("assign", split), artifact("index", split)["id"]
        for i, name in enumerate(ids):
            inside = assign["labels"][i] > 0
            certainty[name] = round(float(assign["margin"][i][inside].astype(np.float64).mean()), 4)
    for value, step in (("uncertainty", 1), ("certainty", -1)):
        browser.choose("sort", value)
        browser.until(lambda: browser.ids() != by_name, "the order stays")
        values = [certainty[name] for name in browser.ids()][::step]
        assert values == pytest.approx(sorted(values), abs=1e-3)
        assert len(values) == len(by_name)
    browser.choose("sort", "name")
    browser.until(lambda: browser.ids() == by_name)


def test_the_maps_fade(browser, server) -> None:
    browser.open(server.address)
    slider = browser.one("opacity")
    for value, shown in (("0", "0"), ("100", "1"), ("25", "0.25")):
        browser.run(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
            slider,
            value,
        )
        browser.until(lambda shown=shown: browser.run(OPACITY) == shown)
    browser.open(browser.driver.current_url)
    assert browser.one("opacity").get_property("value") == "25"


def content_of(script: Path) -> list[Any]:
    """The values of a script such as `USSEG.addFacts("train", [...]);`."""
    (values,) = re.fullmatch(r"USSEG\.\w+\((.*)\);\n", script.read_text()).groups()
    return json.loads(f"[{values}]")


@pytest.fixture
def many(shown: Path, tmp_path: Path) -> Path:
    """The report with 1,000 photos in train: the first one again and again, under other names."""
    report = tmp_path / "many/report"
    shutil.copytree(shown / "report", report)
    parts = report / "page"
    ((project,), (_, facts), (_, maps)) = map(
        content_of, (parts / "project.js", *(parts / f"{kind}/train-000000.js" for kind in ("facts", "maps")))
    )
    blocks = [list(range(start, min(start + 32, 1000))) for start in range(0, 1000, 32)]
    listed = [[block[0], block[-1]] for block in blocks]
    project["splits"] = [{"name": "train", "count": 1000, "shown": 1000, "blocks": listed}]
    (parts / "project.js").write_text(f"USSEG.setProject({json.dumps(project)});")
    for block in blocks:
        named = [facts[0] | {"i": i, "id": f"photo{i:03d}"} for i in block]
        (parts / f"facts/train-{block[0]:06d}.js").write_text(f'USSEG.addFacts("train", {json.dumps(named)});')
        drawn = {str(i): maps["0"] for i in block}
        (parts / f"maps/train-{block[0]:06d}.js").write_text(f'USSEG.addMaps("train", {json.dumps(drawn)});')
        for i in block:
            copy = parts / f"photos/train/{i:06d}.jpg"
            copy.unlink(missing_ok=True)
            copy.hardlink_to(shown / "report/page/photos/train/000000.jpg")
    return report / "index.html"


def test_a_thousand_photos_are_a_small_document(browser, many: Path) -> None:
    browser.open(many.as_uri())
    assert "1,000 photos" in browser.run("return document.body.textContent")
    size = "return [document.querySelectorAll('*').length, document.querySelectorAll('[data-testid=grid-item]').length]"
    nodes, items = browser.run(size)
    assert nodes < 2000
    assert 12 <= items < 100
    assert browser.ids()[0] == "photo000"
    browser.run("scrollTo(0, document.querySelector('#grid').getBoundingClientRect().bottom + scrollY - innerHeight)")
    browser.until(lambda: browser.ids()[-1] == "photo999", "the last photo is not there")
    assert browser.run(size)[1] < 100
    assert "photo000" not in browser.ids()
    browser.until(lambda: browser.run(LOADED), "a picture of the grid is missing")
