"""`python -m benchmarks.page`: the page of 1,000 images: seconds to build, MB, and seconds until the browser shows it.

Needs selenium, Chromium and its driver for the last part. `usseg open` serves the page, as a user sees it.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from PIL import Image
from ruamel.yaml import YAML

from benchmarks import machine, scenes

ROOT = Path(__file__).resolve().parents[1]
VISITS = 5
MEASURED = ("first-contentful-paint", "first photo", "nodes")
PAINTED = """
return Object.fromEntries(performance.getEntriesByType('paint').map(entry => [entry.name, entry.startTime]))
"""
SHOWN = "return [...document.querySelectorAll('[data-testid=grid-item] img')].some(image => image.complete)"


def usseg(project: Path, *arguments: str) -> float:
    """Seconds of a command."""
    started = time.perf_counter()
    command = [sys.executable, str(ROOT / "cli.py"), *arguments]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    return time.perf_counter() - started


def processor_seconds() -> float:
    """Seconds of the processor that ended commands have taken. Other programs on the machine do not add to them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write_project(project: Path, images: int) -> None:
    """A project of scenes as JPEG files. Tokens of 16 pixels: the earlier stages are not measured."""
    (project / "images").mkdir()
    for i in range(images):
        Image.fromarray(scenes.scene(i)).save(project / f"images/scene{i:05d}.jpg", quality=92)
    content = {
        "index": {"root": ".", "splits": {"train": {"images": "images/*", "labels": None}}},
        "features": {"backbone": "lowlevel", "options": {"stride": 16}},
        "segments": {"options": {"num_segments": 8}, "background": "none"},
        "cluster": {"k": 12},
        "refine": {"method": "none"},
    }
    with (project / "params.yaml").open("w") as stream:
        YAML().dump(content, stream)
    shutil.copy(ROOT / "dvc.yaml", project)


@contextmanager
def opened(project: Path) -> Iterator[str]:
    """The address of the page while `usseg open` serves it."""
    command = [sys.executable, str(ROOT / "cli.py"), "open", "--no-browser"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("page: ").strip()
        process.terminate()


def visits(address: str) -> Iterator[dict[str, float]]:
    """Milliseconds of each visit with an empty cache: first paint, and the first photo in the grid; and DOM nodes."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.wait import WebDriverWait

    browser, path = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if browser is None or path is None:
        raise SystemExit("chromium and chromedriver are needed")
    options = ChromeOptions()
    options.binary_location = browser
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--window-size=1280,900"):
        options.add_argument(option)
    driver = Chrome(options=options, service=Service(executable_path=path))
    try:
        for _ in range(VISITS):
            driver.get("about:blank")
            driver.execute_cdp_cmd("Network.clearBrowserCache", {})
            driver.get(address)
            WebDriverWait(driver, 120, poll_frequency=0.01).until(lambda driver: driver.execute_script(SHOWN))
            shown = driver.execute_script("return performance.now()")
            nodes = driver.execute_script("return document.querySelectorAll('*').length")
            yield {**driver.execute_script(PAINTED), "first photo": shown, "nodes": nodes}
    finally:
        driver.quit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    print(f"Machine: {machine.description()}.")
    with TemporaryDirectory() as name:
        project = Path(name)
        write_project(project, options.images)
        usseg(project, "run", "--workers", str(options.workers))
        for part in ("report", "artifacts/report"):
            shutil.rmtree(project / part)
        before = processor_seconds()
        seconds = usseg(project, "stage", "report", "--workers", str(options.workers))
        spent = processor_seconds() - before
        sizes = [path.stat().st_size for path in (project / "report").rglob("*") if path.is_file()]
        with opened(project) as address:
            seen = list(visits(address))
        cells = [
            f"{options.images}",
            f"{seconds:.0f}",
            f"{spent:.0f}",
            f"{sum(sizes) / 1e6:.1f} in {len(sizes)} files",
            f"{(project / 'report/index.html').stat().st_size / 1e3:.0f}",
            *(
                f"{median(visit[key] for visit in seen):.0f}"
                for key in ("first-contentful-paint", "first photo", "nodes")
            ),
        ]
    print("| images | build, s | processor, s | MB | index.html, kB | first paint, ms | first photo, ms | DOM nodes |")
    print("|---|---|---|---|---|---|---|---|")
    print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
