"""The viewer of one photo: the value under the pointer, layers, neighbours, keyboard."""

import re

import numpy as np
import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.keys import Keys

PHOTO = "beach/photo0"  # behind the hostile name
TITLE = "return document.querySelector('#viewer-title').textContent"
VALUE = "return document.querySelector('[data-testid=viewer-value]').textContent"
# Position in the window of the pixel (row, column) of the photo.
PLACE = """
const [row, column] = arguments, viewer = USSEG.viewer, [height, width] = viewer.image.size;
const stage = document.querySelector('#viewer-stage').getBoundingClientRect();
const point = viewer.sea.viewport.pixelFromPoint(
  new OpenSeadragon.Point((column + 0.5) / width, (row + 0.5) / width), true);
return [Math.round(stage.left + point.x), Math.round(stage.top + point.y)];
"""


@pytest.fixture
def opened(browser, server):
    """The viewer with the photo PHOTO, which is number 1 of val."""
    browser.open(server.address)
    browser.show_photo(PHOTO)
    return browser


def point_at(browser, row: int, column: int) -> str:
    """Move the pointer to a pixel of the photo. Returns what the page says of it."""
    actions = ActionChains(browser.driver)
    actions.w3c_actions.pointer_action.move_to_location(*browser.run(PLACE, row, column))
    actions.perform()
    return browser.until(lambda: browser.run(VALUE), "no value is shown")


def test_the_value_under_the_pointer(opened, artifact) -> None:
    labels = artifact("refine", "val")["maps"][1]
    margins, grid = artifact("assign", "val")["margin"][1], artifact("assign", "val")["grid"][1]
    for label in np.unique(labels).tolist():
        row, column = np.argwhere(labels == label)[(labels == label).sum() // 2].tolist()
        text = point_at(opened, row, column)
        found = re.match(r"(\d+) (.+?), (\d\.\d\d)\b", text)
        assert found, text
        assert (int(found[1]), found[2]) == (label, f"cluster {label}")
        token = margins[(row // 8) * grid[1] + column // 8]
        assert float(found[3]) == pytest.approx(float(token), abs=0.006)


def test_a_new_name_is_the_value_under_the_pointer(browser, server, artifact) -> None:
    labels = artifact("refine", "val")["maps"][1]
    label = int(labels[32, 48])
    browser.open(server.address)
    browser.rename(label, "water")
    browser.show_photo(PHOTO)
    assert point_at(browser, 32, 48).startswith(f"{label} water, ")


def test_next_and_previous(opened, artifact) -> None:
    names = [*artifact("index", "train")["id"], *artifact("index", "val")["id"]]
    place = names.index(PHOTO)
    for button, step in (("viewer-next", 1), ("viewer-prev", 0), ("viewer-prev", -1)):
        opened.one(button).click()
        opened.until(lambda at=place + step: opened.run(TITLE) == names[at])
    opened.one("viewer-close").click()
    opened.until(lambda: not opened.all("viewer")[0].is_displayed())


def test_the_keyboard_is_enough(browser, server, artifact) -> None:
    browser.open(server.address)
    names = artifact("index", "train")["id"]
    browser.all("grid-item")[0].send_keys(Keys.ARROW_RIGHT)
    assert browser.driver.switch_to.active_element.get_attribute("data-id") == names[1]
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    browser.until(lambda: browser.run(TITLE) == names[1])
    browser.until(lambda: browser.shown_layer() == "train/1 map")

    def press(key: str) -> None:
        browser.driver.switch_to.active_element.send_keys(key)

    press(Keys.ARROW_RIGHT)
    browser.until(lambda: browser.shown_layer() == "train/2 map")
    press(Keys.ARROW_LEFT)
    browser.until(lambda: browser.shown_layer() == "train/1 map")
    press("l")
    browser.until(lambda: browser.shown_layer() == "train/1 segments")
    press("o")
    browser.until(lambda: browser.one("viewer-outlines").is_selected())
    press("s")
    browser.until(lambda: browser.one("viewer-swipe").is_selected())
    press(Keys.ESCAPE)
    browser.until(lambda: not browser.all("viewer")[0].is_displayed())


def test_every_layer_is_drawn(opened) -> None:
    options = opened.run("return [...document.querySelector('#viewer-layer').options].map(option => option.value)")
    assert options == ["map", "segments", "eigenvectors", "uncertainty", "truth", "none"]
    for value in options[1:]:
        opened.choose("viewer-layer", value)
        opened.until(lambda name=value: opened.shown_layer() == f"val/1 {name}")
        assert len(opened.run("return [...document.querySelectorAll('#viewer-stage canvas.layer')]")) == (
            value != "none"
        )


def test_a_link_opens_the_photo_and_the_layer(opened, server) -> None:
    opened.choose("viewer-layer", "segments")
    opened.until(lambda: opened.shown_layer() == "val/1 segments")
    link = opened.driver.current_url
    opened.driver.get("about:blank")
    opened.driver.get(link)
    opened.until(lambda: opened.shown_layer() == "val/1 segments")


def test_the_wheel_zooms(opened) -> None:
    level = "return USSEG.viewer.sea.viewport.getZoom(true)"
    before = opened.run(level)
    stage = opened.driver.find_element("css selector", "#viewer-stage")
    ActionChains(opened.driver).scroll_from_origin(ScrollOrigin.from_element(stage), 0, -300).perform()
    opened.until(lambda: opened.run(level) > 1.1 * before, "the photo is not larger")
