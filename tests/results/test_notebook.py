"""The stable functions `usseg.open`, `usseg.load` and `usseg.run`."""

import numpy as np
import pytest

import usseg
from usseg.pipeline.errors import ArtifactError, ParamsError


def test_the_promised_names() -> None:
    assert usseg.__all__ == ["load", "open", "run"]


def test_a_dataset_has_axes_and_ids(finished_project) -> None:
    pytest.importorskip("xarray", reason="pip install 'usseg[notebooks]'")
    found = usseg.open("segments@val", finished_project.path)
    artifact, ids = finished_project.artifact("segments", "val"), finished_project.artifact("index", "val")["id"]
    assert found["segments"].dims == ("image", "token")
    assert found["image"].values.tolist() == list(ids)
    np.testing.assert_array_equal(found["segments"].values, artifact["segments"][:])
    np.testing.assert_array_equal(found["grid"].sel(image=ids[1]), artifact["grid"][1])
    assert found.attrs["params"] == artifact.params
    assert found["grid"].attrs["description"] == "rows and columns of tokens"


def test_strings_are_decoded(finished_project) -> None:
    pytest.importorskip("xarray", reason="pip install 'usseg[notebooks]'")
    found = usseg.open("index@val", finished_project.path / "data")
    assert found["path"].values.tolist() == list(finished_project.artifact("index", "val")["path"])
    assert "id" not in found


def test_maps_of_images(finished_project) -> None:
    refine = usseg.load("refine@val", finished_project.path)
    assert refine["maps"][1].shape == (48, 64)
    assert usseg.load("cluster", finished_project.path).attrs["split"] == "train"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("refined@val", r"no stage 'refined'; did you mean 'refine'\?"),
        ("refine@vall", r"refine: no split 'vall'; did you mean 'val'\? \(known: train, val\)"),
    ],
)
def test_a_name_that_is_none_is_one_line(name: str, line: str, finished_project) -> None:
    with pytest.raises(ParamsError, match=line):
        usseg.load(name, finished_project.path)


def test_an_artifact_that_was_left_empty(finished_project) -> None:
    with pytest.raises(ArtifactError, match="segmenter@train was left empty, because no chosen method reads it"):
        usseg.load("segmenter", finished_project.path)


def test_the_chain_by_a_call(tiny_project, caplog: pytest.LogCaptureFixture) -> None:
    usseg.run(tiny_project.path, device="cpu", workers=1)
    assert (tiny_project.path / "report/index.html").is_file()
    caplog.clear()
    with caplog.at_level("INFO", logger="usseg"):
        usseg.run(tiny_project.path / "data", device="cpu", workers=1)
    ran = {line.partition("@")[0] for line in caplog.messages if " images in " in line}
    assert ran == {"index"}  # which reads the files anew
