"""Chromium, driven by selenium, and a small project whose page it shows.

Without a browser and its driver the tests are skipped. On Debian: `apt-get install chromium chromium-driver`.
"""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from usseg.pipeline.artifact import Artifact, open_artifact
from usseg.pipeline.chain import run_project
from usseg.pipeline.execution import Execution
from usseg.pipeline.project import Project as Opened
from usseg.results.page_server import PageServer, page_server
from usseg.results.saved_names import refresh_names_script
from usseg.stages import STAGES

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HOSTILE = "<img src=x onerror=alert(1)>"
PATIENCE = 30  # seconds until a wait fails
WIDTH, HEIGHT = 96, 64
CLUSTERS = 4
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # a request to a network is an error
    "--window-size=1280,900",
    "--force-device-scale-factor=1",
)


def scene(seed: int) -> np.ndarray:
    """A photo of sky, sea, sand, and a disc in every second one. RGB uint8 (HEIGHT, WIDTH, 3)."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:HEIGHT, :WIDTH]
    horizon, shore = 18 + seed % 5, 40 + seed % 7
    regions = np.select([rows < horizon, rows < shore], [0, 1], 2)
    if seed % 2:
        regions[(rows - shore) ** 2 + (cols - 20 - 4 * (seed % 12)) ** 2 < 200] = 3
    colors = np.array([[150, 190, 240], [30, 80, 140], [220, 190, 120], [190, 40, 40]])
    return np.clip(colors[regions] + rng.normal(0, 8, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory, save_image, edit) -> Path:
    """A project of 13 photos in two splits and three folders after all stages. A photo and a class are hostile."""
    path = tmp_path_factory.mktemp("browser") / "my <b>project"
    names = {"train": [f"meadow/photo{i}.png" for i in range(5)] + [f"old town/photo{i}.png" for i in range(3)]}
    names |= {"val": [f"beach/photo{i}.png" for i in range(4)] + [f"beach/{HOSTILE}.png"]}
    for split, files in names.items():
        for i, name in enumerate(files):
            save_image(path / f"photos/{split}/{name}", scene(i + 100 * (split == "val")))
            save_image(path / f"labels/{split}/{name}", (scene(i)[:, :, 0] > 140).astype(np.uint8))
    splits = {split: {"images": f"photos/{split}", "labels": f"labels/{split}"} for split in names}
    edit(
        path,
        {
            **{"index.root": ".", "index.splits": splits, "index.classes": [HOSTILE, "b"]},
            **{"features.options.stride": 8, "eigen.k": 5, "segments.options.num_segments": 4, "cluster.k": CLUSTERS},
            **{"segments.background": "none", "refine.method": "none", "report.max_segments": 3},
        },
    )
    shutil.copy(Path(__file__).resolve().parents[2] / "dvc.yaml", path)
    project = Opened.open(STAGES, path)
    run_project(project, Execution())
    assert list(refresh_names_script(path)) == []
    return path


@pytest.fixture
def unnamed(shown: Path) -> Iterator[Path]:
    """The project without names."""
    yield shown
    (shown / "names.yaml").unlink(missing_ok=True)
    list(refresh_names_script(shown))


@pytest.fixture
def server(unnamed: Path) -> Iterator[PageServer]:
    """The page of the project, served on a free port."""
    with page_server(unnamed, 0) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def artifact(shown: Path) -> Callable[[str, str], Artifact]:
    """An artifact of the project: artifact("refine", "val")."""
    return lambda stage, split: open_artifact(shown / f"artifacts/{stage}/{split}.zarr")


class Page:
    """A page in the browser. Elements are found by their data-testid."""

    def __init__(self, driver: "Chrome", downloads: Path) -> None:
        self.driver, self.downloads = driver, downloads

    def open(self, address: str) -> None:
        """Load an address, and wait until the page is ready and its grid shows photos."""
        self.driver.get("about:blank")  # a new fragment alone would not load the page again
        self.driver.get(address)
        ready = "return document.documentElement.dataset.ready === 'true'"
        self.until(lambda: self.run(ready) and self.all("grid-item"), "the grid is empty")
        # The observer of the grid's size draws it once more in the next frame.
        self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")

    def show_photo(self, name: str) -> None:
        """Click a photo of the grid and wait for its map in the viewer."""
        (item,) = [element for element in self.all("grid-item") if element.get_attribute("data-id") == name]
        item.click()
        self.until(self.shown_layer, "the viewer shows no map")

    def shown_layer(self) -> str | None:
        """The photo and the layer that the viewer has drawn, such as "val/0 map"."""
        return self.one("viewer").get_attribute("data-shown")

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def all(self, name: str, **attributes: str) -> "list[WebElement]":
        selector = f'[data-testid="{name}"]' + "".join(f'[data-{key}="{value}"]' for key, value in attributes.items())
        return self.driver.find_elements("css selector", selector)

    def one(self, name: str, **attributes: str) -> "WebElement":
        """The only element of this name that is displayed; it is waited for."""

        def displayed() -> "list[WebElement]":
            return [element for element in self.all(name, **attributes) if element.is_displayed()]

        self.until(displayed, f"there is no {name} {attributes}")
        (element,) = displayed()
        return element

    def until(self, condition: Callable[[], Any], message: str = "") -> Any:
        """Wait until a condition is true. An element that is replaced meanwhile is looked for again."""
        from selenium.common.exceptions import StaleElementReferenceException
        from selenium.webdriver.support.wait import WebDriverWait

        waiting = WebDriverWait(
            self.driver, PATIENCE, poll_frequency=0.02, ignored_exceptions=[StaleElementReferenceException]
        )
        return waiting.until(lambda _: condition(), message)

    def ids(self) -> list[str]:
        """The ids of the photos in the grid, in order."""
        return self.run("return [...document.querySelectorAll('[data-testid=grid-item]')].map(e => e.dataset.id)")

    def name_of(self, label: int) -> str:
        """The text in the field of a cluster's name."""
        chip = f"[data-testid=cluster-chip][data-label='{label}'] [data-testid=cluster-name]"
        return self.run("return document.querySelector(arguments[0]).value", chip)

    def rename(self, label: int, name: str) -> None:
        """Type a name of a cluster and leave the field."""
        field = self.one("cluster-chip", label=str(label)).find_element("css selector", "[data-testid=cluster-name]")
        field.clear()
        field.send_keys(name, "\n")

    def choose(self, name: str, value: str) -> None:
        """Choose an option of a select element by its value."""
        from selenium.webdriver.support.select import Select

        Select(self.one(name)).select_by_value(value)

    def errors(self) -> list[str]:
        """What the console says since the last call: errors and warnings."""
        return [f"{line['level']}: {line['message']}" for line in self.driver.get_log("browser")]


def started(driver_path: str, browser_path: str, downloads: Path) -> "Chrome":
    """Start Chromium. Both paths are given, so that selenium looks for nothing and downloads nothing."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = browser_path
    for option in OPTIONS:
        options.add_argument(option)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.set_capability("unhandledPromptBehavior", "ignore")  # a dialog fails the next command
    return Chrome(options=options, service=Service(executable_path=driver_path))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Page]":
    """One browser for all tests."""
    driver_path = shutil.which("chromedriver")
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if driver_path is None or browser_path is None:
        pytest.skip("no browser: chromium and chromedriver are needed (Debian: chromium and chromium-driver)")
    downloads = tmp_path_factory.mktemp("downloads")
    driver = started(driver_path, browser_path, downloads)
    try:
        yield Page(driver, downloads)
    finally:
        driver.quit()


@pytest.fixture
def browser(chromium: Page) -> Iterator[Page]:
    """The browser with a window of 1280 x 900. A test must leave no line in the console and no dialog."""
    chromium.driver.set_window_size(1280, 900)
    chromium.errors()
    yield chromium
    assert chromium.errors() == []
    chromium.driver.get("about:blank")
