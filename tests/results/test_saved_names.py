"""report/names.js after a run."""

from usseg.pipeline.project import Project
from usseg.results.names import write_names
from usseg.results.saved_names import names_or_none, refresh_names_script
from usseg.stages import STAGES

NONE = b'window.USSEG_NAMES = {"clustering": "", "names": {}, "colors": {}};\n'


def test_a_new_report_has_the_names(finished_project) -> None:
    path = finished_project.path
    write_names(Project.open(STAGES, path), ["1=grass"])
    script = path / "report/names.js"
    before = script.read_bytes()
    script.unlink()
    assert list(refresh_names_script(path)) == []
    assert script.read_bytes() == before
    assert b'"grass"' in before


def test_names_of_an_earlier_clustering_are_not_shown_and_kept_on_the_disk(finished_project) -> None:
    path = finished_project.path
    write_names(Project.open(STAGES, path), ["1=grass"])
    before = (path / "names.yaml").read_bytes()
    finished_project.set({"cluster.k": 1})
    finished_project.run_all("cluster")
    (line,) = refresh_names_script(path)
    assert line.startswith("the page shows no names: ")
    assert "names of another clustering" in line
    assert (path / "report/names.js").read_bytes() == NONE
    assert (path / "names.yaml").read_bytes() == before
    (path / "names.yaml").unlink()
    assert list(refresh_names_script(path)) == []
    content, refusal = names_or_none(path)
    assert (content["clustering"], refusal) == (finished_project.artifact("cluster").attrs["content"], None)


def test_without_clusters_there_is_nothing_to_say(finished_project) -> None:
    finished_project.set({"refine.source": "segments", "evaluate.method": "partitions"})
    assert list(refresh_names_script(finished_project.path)) == []
    assert (finished_project.path / "report/names.js").read_bytes() == NONE
