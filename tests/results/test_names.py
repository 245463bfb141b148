"""usseg name: names of clusters in names.yaml."""

import json
from pathlib import Path

import numpy as np
import pytest

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.project import Project
from usseg.results.names import (
    Clustering,
    NamesFile,
    classes_of,
    clustering_of,
    parse_names,
    read_names,
    read_names_file,
    save_names,
    write_names,
)
from usseg.results.names_script import names_script
from usseg.stages import STAGES

SIX = Clustering("c" * 64, range(1, 7))


def opened(path: Path) -> Project:
    return Project.open(STAGES, path)


def test_equal_names_are_one_class_and_background_is_none() -> None:
    classes = classes_of(SIX, {2: "sky", 3: "grass", 5: "grass", 6: "background"})
    assert classes.names == ("background", "cluster 1", "sky", "grass", "cluster 4")
    assert classes.of_label.tolist() == [0, 1, 2, 3, 4, 3, 0]


def test_only_some_classes_are_kept() -> None:
    classes = classes_of(SIX, {3: "grass", 5: "grass"}, ["cluster 6", "grass"])
    assert classes.names == ("background", "grass", "cluster 6")
    assert classes.of_label.tolist() == [0, 0, 0, 1, 0, 1, 2]
    with pytest.raises(ParamsError, match=r"--only: no class 'gras'; did you mean 'grass'.*\(known: cluster 1, "):
        classes_of(SIX, {3: "grass"}, ["gras"])


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("7=sky", "'7=sky': no cluster has label 7; labels of clusters: 1 to 6"),
        ("0=sky", "'0=sky': label 0 is the background"),
        ("sky", "found 'sky'; LABEL=NAME is needed, such as 3=grass"),
        ("=sky", "found '=sky'; LABEL=NAME"),
        ("-1=sky", "found '-1=sky'; LABEL=NAME"),
        ("²=sky", "LABEL=NAME"),
        ("1=a,b", "label 1: found the name 'a,b'; 1 to 100 printable"),
        ("1=a:b", "without a colon or comma"),
        ("1=#a", "# may not be the first"),
        ("1=a\nb", "printable"),
        (f"1={'a' * 101}", "1 to 100"),
    ],
)
def test_a_malformed_argument_is_refused(argument: str, line: str) -> None:
    with pytest.raises(ParamsError) as error:
        parse_names([argument], SIX)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_a_label_has_one_name() -> None:
    assert parse_names(["3=a=b", "3=a=b", "4= cafe\u0301 "], SIX) == {3: "a=b", 4: "café"}
    with pytest.raises(ParamsError, match="label 3 gets two names: 'a' and 'b'"):
        parse_names(["3=a", "3=b"], SIX)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "mend or remove it"),
        ("[]", "`clustering` and `names` are needed"),
        ("{clustering: 5, names: {}}", "`clustering` and `names` are needed"),
        ("{clustering: CONTENT, names: [a]}", "`clustering` and `names` are needed"),
        ("{clustering: CONTENT, names: {9: a}}", "no cluster has label 9"),
        ("{clustering: CONTENT, names: {a: b}}", "no cluster has label 'a'"),
        ("{clustering: CONTENT, names: {1: 5}}", "found the name 5"),
        ("{clustering: CONTENT, names: {}, colours: {}}", "`clustering` and `names` are needed, and perhaps `colors`"),
        ("{clustering: CONTENT, names: {}, colors: []}", "`clustering` and `names` are needed, and perhaps `colors`"),
        ("{clustering: CONTENT, names: {}, colors: {9: '#aabbcc'}}", "no cluster has label 9"),
        ("{clustering: CONTENT, names: {}, colors: {1: red}}", "found the colour 'red'; one such as \"#00a0ff\""),
        ("{clustering: CONTENT, names: {}, colors: {1: '#aabbc'}}", "found the colour '#aabbc'"),
        ("clustering: CONTENT\nnames: {}\ncolors:\n  1: #aabbcc", "found the colour None; one such as"),
        ("{clustering: CONTENT, names: {}, colors: {1: '#000000'}}", "black is the background"),
        ("\xff", "mend or remove it"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    (tmp_path / "names.yaml").write_bytes(text.replace("CONTENT", SIX.content).encode("latin-1"))
    with pytest.raises(ParamsError) as error:
        read_names(tmp_path, SIX)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_colliding_labels_count_one_less(finished_project) -> None:
    finished_project.set({"assign.background_collision": True})
    clusters = np.asarray(finished_project.artifact("cluster")["centers"]).shape[0]
    assert clustering_of(opened(finished_project.path), "test").labels == range(1, clusters)


def test_a_class_has_the_colour_of_its_lowest_label_with_one() -> None:
    colors = {5: "#00a0ff", 3: "#aabbcc", 2: "#010203", 6: "#aabbcc"}
    classes = classes_of(SIX, {3: "grass", 5: "grass", 6: "background"}, colors=colors)
    assert classes.names == ("background", "cluster 1", "cluster 2", "grass", "cluster 4")
    assert classes.colors == {2: "#010203", 3: "#aabbcc"}
    with pytest.raises(ParamsError, match="the classes 'cluster 2' and 'grass' have one colour, #aabbcc; change one"):
        classes_of(SIX, {3: "grass"}, colors={2: "#aabbcc", 3: "#aabbcc"})


def test_colours_are_read_and_a_new_name_keeps_them(finished_project) -> None:
    project = opened(finished_project.path)
    clustering = clustering_of(project, "test")
    save_names(project.root, clustering, NamesFile({2: "sky"}, {1: "#aabbcc"}))
    path = project.root / "names.yaml"
    path.write_text(path.read_text().replace("#aabbcc", "#AABBCC"))
    write_names(project, ["1=grass"])
    assert read_names_file(project.root, clustering) == NamesFile({1: "grass", 2: "sky"}, {1: "#aabbcc"})


def test_the_page_gets_a_copy_that_cannot_end_its_script(finished_project) -> None:
    project = opened(finished_project.path)
    hostile = "</script><script>alert(1)</script>\u00e9&"
    write_names(project, [f"1={hostile}"])
    text = (project.root / "report/names.js").read_bytes().decode("ascii")
    assert not set(text) & set("<>&")
    start, end = "window.USSEG_NAMES = ", ";\n"
    content = json.loads(text.removeprefix(start).removesuffix(end))
    assert content == {"clustering": clustering_of(project, "test").content, "names": {"1": hostile}, "colors": {}}
    assert names_script(content).decode() == text


def test_without_a_report_there_is_no_copy(tmp_path: Path) -> None:
    save_names(tmp_path, SIX, NamesFile({1: "sky"}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["names.yaml"]
    assert "colors" not in (tmp_path / "names.yaml").read_text()
