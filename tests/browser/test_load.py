"""The page appears, from a file and from the server, without a word in the console. Names stay text."""

from pathlib import Path

import pytest
from selenium.common.exceptions import NoAlertPresentException

HOSTILE = "<img src=x onerror=alert(1)>"
MADE = "return document.querySelectorAll('img[src=x], [onerror]').length"


def address_of(kind: str, shown: Path, server) -> str:
    return server.address if kind == "served" else (shown / "report/index.html").as_uri()


@pytest.mark.parametrize("kind", ["served", "file"])
def test_the_page_appears(browser, shown: Path, server, kind: str) -> None:
    browser.driver.get(address_of(kind, shown, server))
    browser.until(lambda: browser.run("return [...document.images].some(image => image.naturalWidth > 0)"))
    assert browser.run("return document.readyState") == "complete"


@pytest.mark.parametrize("kind", ["served", "file"])
def test_a_hostile_name_stays_text(browser, shown: Path, server, kind: str) -> None:
    browser.driver.get(address_of(kind, shown, server))
    browser.until(
        lambda: browser.run("return document.body.textContent").count(HOSTILE) >= 2,
        "the names of the photo and of the class are not on the page",
    )
    assert browser.run(MADE) == 0
    with pytest.raises(NoAlertPresentException):
        _ = browser.driver.switch_to.alert.text
