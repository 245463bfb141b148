"""Names of clusters: typed, merged, saved by the server, downloaded from a file."""

from pathlib import Path

from ruamel.yaml import YAML
from selenium.webdriver import ActionChains

from usseg.pipeline.project import Project
from usseg.results.names import NamesFile, clustering_of, read_names, read_names_file, save_names
from usseg.stages import STAGES


def saved(project: Path) -> dict[int, str]:
    return read_names(project, clustering_of(Project.open(STAGES, project), "test"))


def test_a_name_is_on_the_disk_and_there_after_a_reload(browser, server, unnamed: Path) -> None:
    browser.open(server.address)
    browser.rename(2, "wet sand")
    browser.until(lambda: saved(unnamed) == {2: "wet sand"}, "the name is not saved")
    browser.open(server.address)
    assert browser.name_of(2) == "wet sand"
    browser.rename(2, "")
    browser.until(lambda: saved(unnamed) == {}, "the name is not removed")
    browser.open(server.address)
    assert browser.name_of(2) == ""


def test_a_name_that_cannot_be_saved_is_said(browser, server, unnamed: Path) -> None:
    browser.open(server.address)
    browser.rename(2, "a:b")
    browser.until(lambda: "no colon" in browser.one("message").text, "the page says nothing")
    assert browser.name_of(2) == ""
    (unnamed / "names.yaml").write_text(f"clustering: {'f' * 64}\nnames: {{}}\n")
    browser.rename(2, "sky")
    browser.until(lambda: "Not saved: " in browser.one("message").text, "the page says nothing")
    assert "names of another clustering" in browser.one("message").text
    assert "sky" not in (unnamed / "names.yaml").read_text()
    (line,) = browser.errors()  # the browser itself reports the status
    assert "409" in line


def test_equal_names_are_one_class(browser, server, unnamed: Path) -> None:
    browser.open(server.address)
    browser.rename(1, "ground")
    browser.rename(3, "ground")
    browser.until(lambda: saved(unnamed) == {1: "ground", 3: "ground"}, "the names are not saved")
    browser.open(server.address)
    assert [browser.name_of(label) for label in (1, 3)] == ["ground", "ground"]


def test_a_cluster_is_dragged_onto_another(browser, server, unnamed: Path) -> None:
    browser.open(server.address)
    browser.rename(1, "ground")
    browser.until(lambda: saved(unnamed) == {1: "ground"}, "the name is not saved")
    source, target = (browser.one("cluster-chip", label=label) for label in ("4", "1"))
    handle = source.find_element("css selector", ".facts")  # a drag in the field of the name selects text
    ActionChains(browser.driver).drag_and_drop(handle, target).perform()
    browser.until(lambda: saved(unnamed) == {1: "ground", 4: "ground"}, "the clusters are not merged")
    assert browser.name_of(4) == "ground"


def test_names_given_to_a_file_are_downloaded(browser, unnamed: Path) -> None:
    browser.open((unnamed / "report/index.html").as_uri())
    browser.rename(3, "sky: no")
    browser.rename(3, "sky")
    browser.one("download-names").click()
    file = browser.downloads / "names.yaml"
    browser.until(file.exists, "nothing is downloaded")
    assert YAML(typ="safe").load(file.read_text())["names"] == {3: "sky"}
    (unnamed / "names.yaml").write_bytes(file.read_bytes())
    file.unlink()
    assert saved(unnamed) == {3: "sky"}
    browser.run("localStorage.clear()")


def test_a_page_from_a_file_shows_the_saved_names(browser, server, unnamed: Path) -> None:
    browser.open(server.address)
    browser.rename(2, "sea")
    browser.until(lambda: saved(unnamed) == {2: "sea"}, "the name is not saved")
    browser.open((unnamed / "report/index.html").as_uri())
    assert browser.name_of(2) == "sea"


def test_a_page_that_cannot_save_says_why(browser, server, unnamed: Path) -> None:
    stale = f"clustering: {'f' * 64}\nnames: {{1: sky}}\n"
    (unnamed / "names.yaml").write_text(stale)
    browser.open(server.address)
    message = browser.one("message").text
    assert message.startswith("Names cannot be saved: ")
    assert "names of another clustering" in message
    assert browser.name_of(1) == ""
    browser.rename(1, "grass")
    browser.until(lambda: browser.one("message").text.startswith("Not saved: "))
    assert (unnamed / "names.yaml").read_text() == stale


def test_a_colour_of_names_yaml_is_on_the_page_and_stays(browser, server, unnamed: Path) -> None:
    clustering = clustering_of(Project.open(STAGES, unnamed), "test")
    save_names(unnamed, clustering, NamesFile({}, {2: "#123456"}))
    browser.open(server.address)
    number = "return getComputedStyle(document.querySelector('[data-label=\"2\"] .number')).backgroundColor"
    assert browser.run(number) == "rgb(18, 52, 86)"
    browser.rename(2, "sea")
    browser.until(lambda: saved(unnamed) == {2: "sea"}, "the name is not saved")
    assert read_names_file(unnamed, clustering).colors == {2: "#123456"}
