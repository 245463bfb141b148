"""usseg name and usseg export: what the commands print, write and refuse."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from usseg.pipeline.project import Project
from usseg.results.names import clustering_of, read_names, write_names
from usseg.stages import STAGES


def opened(path: Path) -> Project:
    return Project.open(STAGES, path)


def test_names_are_written_kept_and_removed(finished_project, usseg) -> None:
    before = finished_project.files()
    assert usseg(finished_project.path, "name", "2=grass").returncode == 0
    done = usseg(finished_project.path, "name", "1=yes", "2=grass")
    assert done.stdout == "label 1: yes\n"
    content = YAML(typ="safe").load((finished_project.path / "names.yaml").read_text())
    cluster = finished_project.artifact("cluster")
    assert content == {"clustering": cluster.attrs["content"], "names": {1: "yes", 2: "grass"}}
    assert write_names(opened(finished_project.path), ["2=", "1=1"]) == [
        "label 1: 1 (was yes)",
        "label 2: no name (was grass)",
    ]
    project = opened(finished_project.path)
    assert read_names(project.root, clustering_of(project, "test")) == {1: "1"}
    assert finished_project.files() == before
    assert "refine@val is up to date" in usseg(finished_project.path, "stage", "refine", "--split", "val").stderr


def test_the_list_has_labels_names_and_shares(finished_project, usseg) -> None:
    usseg(finished_project.path, "name", "2=[red]")
    done = usseg(finished_project.path, "name")
    assert done.returncode == 0, done.stderr
    labels = finished_project.artifact("assign")["labels"][:]
    for label, name in ((0, "background"), (1, ""), (2, "[red]")):
        share = (labels == label).sum() / (labels >= 0).sum()
        row = next(line for line in done.stdout.splitlines() if line.startswith(f"│ {label} "))
        assert f"{share:.1%}" in row
        assert name in row


def test_names_of_another_clustering_are_refused(finished_project, usseg) -> None:
    usseg(finished_project.path, "name", "1=grass")
    text = (finished_project.path / "names.yaml").read_text()
    digest = finished_project.artifact("cluster").attrs["content"]
    (finished_project.path / "names.yaml").write_text(text.replace(digest, "f" * 64))
    for arguments in (("name",), ("name", "2=sky"), ("export", "--format", "voc")):
        done = usseg(finished_project.path, *arguments)
        assert done.returncode == 1
        assert "names of another clustering (content ffffffffffff, now " in done.stderr
        assert "the clustering has changed since" in done.stderr
        assert "remove the file, look at the report, and name the clusters again" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_segments_have_no_names(finished_project, usseg) -> None:
    finished_project.set({"refine.source": "segments", "evaluate.method": "partitions"})
    done = usseg(finished_project.path, "name", "1=grass")
    assert done.returncode == 1
    assert "refine.source is 'segments'" in done.stderr
    assert "set refine.source: assign" in done.stderr


def test_a_clustering_is_needed(tiny_project, usseg) -> None:
    done = usseg(tiny_project.path, "name", "1=grass")
    assert done.returncode == 1
    assert done.stderr == "usseg: usseg name needs artifacts/cluster/train.zarr; run: usseg stage cluster\n" or (
        "usseg stage cluster --split train" in done.stderr
    )


def test_masks_are_written_and_their_lines_printed(finished_project, usseg) -> None:
    usseg(finished_project.path, "name", "1=left", "2=right")
    arguments = ["--format", "voc, coco", "--split", "val", "--only", "right", "--min-area", "3", "--out", "here/masks"]
    done = usseg(finished_project.path, "export", *arguments)
    assert done.returncode == 0, done.stderr
    folder = finished_project.path / "here/masks"
    assert done.stdout.splitlines()[-2:] == [
        f"voc@val: 2 files -> {folder}/voc/val",
        f"coco@val: 2 images -> {folder}/coco/val/instances.json",
    ]
    assert " components below 3 pixels became background (" in done.stdout
    assert (folder / "voc/val/classes.txt").read_text() == "background\nright\n"
    maps = finished_project.artifact("refine", "val")["maps"]
    with Image.open(folder / "voc/val/SegmentationClass/photo1.png") as image:
        differing = (np.asarray(image) == 1) != (maps[1] == 2)
    assert differing.mean() < 0.01  # components of one or two pixels


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--format", "vok"), "usseg: --format: no format 'vok'"),
        (("--format", "voc", "--only", "sly"), "usseg: --only: no class 'sly'"),
        (("--format", "voc", "--out", "data/masks"), "is inside index.root"),
    ],
)
def test_a_refusal_is_one_line(finished, usseg, arguments: tuple[str, ...], line: str) -> None:
    done = usseg(finished, "export", *arguments)
    assert done.returncode == 1
    assert line in done.stderr
    assert len(done.stderr.splitlines()) == 1
