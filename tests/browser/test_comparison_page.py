"""The page of `usseg compare` in a browser: it fits, it is readable, and hostile names stay text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from usseg.pipeline.execution import Execution
from usseg.pipeline.project import Project
from usseg.results.comparison import Request, compare_methods
from usseg.stages import STAGES

OVERFLOW = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
# The least contrast of a text with its background (WCAG 2.2, 1.4.3), over all elements that hold text.
CONTRAST = """
const parts = color => color.match(/[\\d.]+/g).map(Number);
const light = color => parts(color).slice(0, 3).map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = element => {
  for (; element; element = element.parentElement) {
    const color = getComputedStyle(element).backgroundColor;
    if ((parts(color)[3] ?? 1) > 0) return color;
  }
  return 'rgb(255, 255, 255)';
};
const texts = [...document.body.querySelectorAll('*')].filter(element =>
  element.checkVisibility() && [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
return Math.min(...texts.map(element => {
  const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}));
"""


@pytest.fixture(scope="module")
def compared(shown: Path, tmp_path_factory: pytest.TempPathFactory, copied: Callable[[Path, Path], Any]) -> str:
    """The address of a comparison page: two pairs, two seeds, a photo and a class with hostile names."""
    project = copied(shown, tmp_path_factory.mktemp("compared") / "p").path
    request = Request("kmeans", "kmeans,ot", seeds="0,1")
    list(compare_methods(Project.open(STAGES, project), request, Execution()))
    return (project / "comparison/index.html").as_uri()


@pytest.mark.parametrize("width", [1280, 400])
def test_it_fits_and_its_pictures_are_drawn(browser, compared: str, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.driver.get(compared)
        assert browser.run("return innerWidth") == width
        assert browser.run(OVERFLOW) <= 0
        images = "[...document.images]"
        assert browser.run(f"return {images}.length") == 5 * (2 + 2)
        assert browser.run(f"return {images}.every(one => one.complete && one.naturalWidth > 0 && one.alt)")
        widest = browser.run(f"return Math.max(...{images}.map(one => one.getBoundingClientRect().right))")
        assert widest <= width
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_enough_contrast(browser, compared: str, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        browser.driver.get(compared)
        assert browser.run(CONTRAST) >= 4.5
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_hostile_name_is_text(browser, compared: str) -> None:
    browser.driver.get(compared)
    assert browser.run("return document.querySelectorAll('img[onerror]').length") == 0
    legend = browser.run("return document.querySelector('ul[aria-label=Legend]').innerText")
    assert "<img src=x onerror=alert(1)>" in legend


def test_the_table_is_downloaded(browser, compared: str) -> None:
    browser.driver.get(compared)
    links = "[...document.querySelectorAll('a[download]')]"
    assert browser.run(f"return {links}.map(one => one.getAttribute('href'))") == [
        "scores.csv",
        "scores.md",
        "scores.tex",
    ]
    browser.driver.find_element("link text", "scores.csv").click()
    downloaded = browser.downloads / "scores.csv"
    browser.until(downloaded.exists, "nothing is downloaded")
    lines = downloaded.read_text().splitlines()
    assert lines[0] == "segments,cluster,seed,split,miou,accuracy"
    assert len(lines) == 1 + 2 * 2
