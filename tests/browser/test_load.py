"""The page appears, from a file and from the server, without a word in the console. Names stay text."""

from pathlib import Path

import pytest
from selenium.common.exceptions import NoAlertPresentException

HOSTILE = "<img src=x onerror=alert(1)>"
MADE = "return document.querySelectorAll('img[src=x], [onerror]').length"
LOADED = "return [...document.querySelectorAll('[data-testid=grid-item] img')].every(image => image.naturalWidth > 0)"


def address_of(kind: str, shown: Path, server) -> str:
    return server.address if kind == "served" else (shown / "report/index.html").as_uri()


@pytest.mark.parametrize("kind", ["served", "file"])
def test_all_photos_are_in_the_grid(browser, shown: Path, server, kind: str, artifact) -> None:
    browser.open(address_of(kind, shown, server))
    assert browser.ids() == [name for split in ("train", "val") for name in artifact("index", split)["id"]]
    browser.until(lambda: browser.run(LOADED), "a picture of the grid is missing")
    assert browser.run("return document.title") == "my <b>project · usseg"
    assert "k: 4" in browser.one("how-made").text


@pytest.mark.parametrize("kind", ["served", "file"])
def test_a_hostile_name_stays_text(browser, shown: Path, server, kind: str) -> None:
    browser.open(address_of(kind, shown, server))
    browser.rename(1, HOSTILE)
    assert browser.run("return document.body.textContent").count(HOSTILE) >= 2  # of the photo and of the class
    browser.show_photo(f"beach/{HOSTILE}")
    assert browser.run("return document.querySelector('#viewer-title').textContent") == f"beach/{HOSTILE}"
    browser.one("viewer-close").click()
    browser.driver.find_element("css selector", "[data-testid=cluster-chip][data-label='1'] .more").click()
    assert HOSTILE in browser.one("cluster-page").text
    assert browser.run(MADE) == 0
    with pytest.raises(NoAlertPresentException):
        _ = browser.driver.switch_to.alert.text


def test_a_narrow_window_has_no_overflow(browser, server) -> None:
    size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        browser.open(server.address)
        assert browser.run("return window.innerWidth") == 400
        assert browser.run("return document.documentElement.scrollWidth") <= 400
        browser.show_photo("meadow/photo0")
        assert browser.run("return document.documentElement.scrollWidth") <= 400
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_server_adds_the_times_of_the_stages(browser, shown: Path, server) -> None:
    browser.open(server.address)
    times = browser.one("stage-times").text
    assert "features" in times
    assert "evaluate" in times
    browser.open(address_of("file", shown, server))
    assert browser.all("stage-times") == []
    assert "num_segments: 4" in browser.one("how-made").text
