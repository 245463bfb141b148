import errno
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usseg.pipeline import runner
from usseg.pipeline.errors import ArtifactError, ParamsError
from usseg.stages.evaluate.method import MapLabels, ScoredImage
from usseg.stages.evaluate.methods import classes

CHAIN = ("index", "features", "eigen", "segments", "crops", "cluster", "assign", "refine", "evaluate")


def metrics(project, split: str = "train") -> dict:
    return project.scores(split)


def test_two_halves_are_scored(finished_project) -> None:
    found = metrics(finished_project)
    assert set(found["per_class"]) == set(found["per_class_accuracy"]) == {"left", "right"}
    assert found["labelled"] is True
    assert found["num_images"] == 4
    assert found["miou"] == pytest.approx(np.mean(list(found["per_class"].values())))
    assert found["convention"] == {"matching": "count", "absent": "drop", "surplus": "strict"}
    assert found["conventions"]["stego"] == {"miou": found["miou"], "accuracy": found["accuracy"]}
    assert found["accuracy"] > 0.9


def test_ignored_pixels_are_not_counted(finished_project) -> None:
    """One column of 48 pixels in each of four images is 255."""
    assert finished_project.artifact("evaluate")["confusion"][:].sum() == 4 * 48 * 63
    finished_project.set({"index.ignore": [255, 1]})
    evaluate = finished_project.run("evaluate")
    assert evaluate["confusion"][:].sum() == 4 * 48 * 32
    assert metrics(finished_project)["per_class"]["right"] in (None, 0.0)


def test_images_with_nothing_to_score_give_valid_json(finished_project) -> None:
    finished_project.set({"index.ignore": [255, 0, 1]})
    finished_project.run("evaluate")
    found = metrics(finished_project)
    assert found["miou"] is found["accuracy"] is None
    assert found["per_class"] == {"left": None, "right": None}
    assert set(map(str, found["conventions"].values())) == {"{'miou': None, 'accuracy': None}"}


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("classes", [["left", "right"], []])
def test_a_split_without_labels_is_skipped_with_a_line(
    tiny_project, caplog: pytest.LogCaptureFixture, classes: list[str]
) -> None:
    splits = {name: {"images": f"images/{name}/*", "labels": None} for name in ("train", "val")}
    tiny_project.set({"index.splits": splits, "index.classes": classes})
    with caplog.at_level(logging.INFO, logger="usseg"):
        tiny_project.run_all(*CHAIN, "report")
    assert "evaluate@val: no labels, nothing to score" in caplog.text
    assert metrics(tiny_project) == {"labelled": False, "num_images": 4}
    assert (tiny_project.path / "plots/val/scores.csv").read_text() == "name,score\n"
    assert "no labels" in (tiny_project.path / "report/index.html").read_text()


def test_labels_without_class_names_are_one_line(tiny_project) -> None:
    tiny_project.set({"index.classes": []})
    line = r"^params\.yaml: index\.classes: found \[\]; split 'train' has labels; name the classes"
    for stage in ("index", "evaluate"):
        with pytest.raises(ParamsError, match=line):
            tiny_project.run(stage)
    assert not (tiny_project.path / "artifacts").exists()


@pytest.mark.parametrize("surplus", ["strict", "many_to_one", "majority"])
@pytest.mark.parametrize("absent", ["drop", "zero"])
@pytest.mark.parametrize("matching", ["count", "iou"])
def test_every_convention(finished_project, matching: str, absent: str, surplus: str) -> None:
    finished_project.set({"evaluate.options": {"matching": matching, "absent": absent, "surplus": surplus}})
    finished_project.run("evaluate")
    found = metrics(finished_project)
    assert 0 <= found["miou"] <= found["accuracy"] <= 1
    same = [c for c in found["conventions"].values() if c == {"miou": found["miou"], "accuracy": found["accuracy"]}]
    assert same


@pytest.mark.parametrize(
    ("surplus", "miou", "accuracy"),
    [("strict", 0.583333, 14 / 22), ("dropped", 0.696970, 0.823529), ("many_to_one", 0.739583, 0.863636)],
)
def test_surplus_by_hand(surplus: str, miou: float, accuracy: float) -> None:
    table = np.array([[8, 1], [2, 6], [5, 0]])
    cluster, label = (np.repeat(places, table.reshape(-1))[None] for places in np.indices(table.shape).reshape(2, -1))
    image = ScoredImage(map=cluster.astype(np.int16), foreground=None, labels=label)
    scored = classes.score([image], classes.Options(surplus=surplus), MapLabels(["a", "b"], 3, collision=True))
    found = scored.metrics
    assert (found["miou"], found["accuracy"]) == pytest.approx((miou, accuracy), abs=1e-6)
    # The conventions are those of the whole matrix, whatever the convention of the split.
    assert found["conventions"]["stego"] == pytest.approx({"miou": 0.583333, "accuracy": 14 / 22}, abs=1e-6)
    assert found["conventions"]["primaps"] == pytest.approx({"miou": 0.739583, "accuracy": 0.863636}, abs=1e-6)
    said = "surplus: dropped leaves out 5 of 22 pixels, those of 1 clusters beyond the 2 classes, as STEGO does"
    assert scored.remarks == ([said] if surplus == "dropped" else [])


def test_more_clusters_than_classes_leave_some_unmatched(finished_project) -> None:
    finished_project.set({"cluster.k": 5})
    finished_project.run_all("cluster", "assign", "refine")
    evaluate = finished_project.run("evaluate")
    assert sorted(evaluate["matching"])[-2:] == [0, 1]
    assert (evaluate["matching"][:] == -1).sum() == evaluate["confusion"].shape[0] - 2


@pytest.mark.parametrize("collision", [False, True])
@pytest.mark.parametrize("background", ["border", "none"])
def test_rows_are_labels(finished_project, background: str, collision: bool) -> None:
    finished_project.set({"segments.background": background, "assign.background_collision": collision})
    finished_project.run_all("segments", "crops", "cluster", "assign", "refine")
    evaluate = finished_project.run("evaluate")
    confusion = evaluate["confusion"][:]
    clusters = finished_project.artifact("cluster")["centers"].shape[0]
    assert len(confusion) == clusters + (background == "border" and not collision)
    maps = np.stack(list(finished_project.artifact("refine")["maps"]))
    labels = np.asarray(Image.open(finished_project.path / "data/labels/train/photo0.png"))
    offset = 1 if background == "none" and not collision else 0
    np.testing.assert_array_equal(evaluate["label"][:], offset + np.arange(len(confusion)))
    for row in range(len(confusion)):
        assert confusion[row, 0] == ((maps == row + offset) & (labels == 0)).sum()


def test_fewer_labels_than_classes_get_a_line(finished_project, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    finished_project.set({"index.classes": ["left", "right", "up", "down", "in", "out"]})
    finished_project.run("evaluate")
    assert (
        "evaluate@train: cluster.k: 2 labels for 6 classes: 4 of them cannot be found; add 4 to cluster.k"
        in caplog.text
    )
    finished_project.set({"cluster.k": 3})
    finished_project.run("cluster")
    assert "cluster@train: found cluster.k: 3 for 6 classes of index.classes" in caplog.text
    caplog.clear()
    finished_project.set({"index.classes": ["left", "right"]})
    finished_project.run_all("assign", "refine", "evaluate")
    assert "cluster.k" not in caplog.text


def test_plots_are_equal_bytes(finished_project) -> None:
    before = finished_project.files("plots")
    for name in ("artifacts/evaluate/train.run.json", "plots/train/details.png"):
        (finished_project.path / name).unlink()
    finished_project.run("evaluate")
    assert finished_project.files("plots") == before


@pytest.mark.parametrize("moment", ["before", "after"])
def test_scores_and_artifact_are_published_together(
    finished_project, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    finished_project.set({"evaluate.options.absent": "zero"})
    real, before = runner.publish, [finished_project.files(name) for name in ("artifacts", "metrics", "plots")]

    def full(folder: Path, target: Path) -> None:
        if moment == "after":
            real(folder, target)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runner, "publish", full)
    with pytest.raises(ArtifactError, match=r"evaluate@train: the disk of .* is full"):
        finished_project.run("evaluate")
    if moment == "before":
        after = finished_project.files()
        assert {name: after[name] for name in before[0]} == before[0]
        assert [finished_project.files(name) for name in ("metrics", "plots")] == before[1:]
    monkeypatch.setattr(runner, "publish", real)
    finished_project.run("evaluate")
    assert metrics(finished_project)["convention"]["absent"] == "zero"
    assert not [name for name in finished_project.files() if ".partial/" in name]


def test_background_is_scored_or_not() -> None:
    """Label 0 on two of eight pixels with a class, and on one without."""
    image = ScoredImage(
        map=np.array([[0, 0, 0, 1, 1, 1, 2, 2, 2]], np.int16),
        foreground=None,
        labels=np.array([[-1, 0, 1, 0, 0, 0, 1, 1, 1]]),
    )
    labels = MapLabels(["a", "b"], 2, background=True)
    scored = classes.score([image], classes.Options(), labels)
    ignored = classes.score([image], classes.Options(background="ignored"), labels)
    assert (scored.labels.tolist(), ignored.labels.tolist()) == ([0, 1, 2], [1, 2])
    assert scored.confusion.tolist() == [[1, 1], [3, 0], [0, 3]]
    assert ignored.confusion.tolist() == [[3, 0], [0, 3]]
    assert ignored.metrics["miou"] == 1
    assert ignored.metrics["convention"]["background"] == "ignored"
    assert (scored.remarks, ignored.remarks) == ([], ["background: ignored leaves out 2 of 8 pixels"])


@pytest.mark.parametrize("size", [(320, 320), (200, 200), (320, 480), (700, 330), (1, 9)])
def test_the_crop_of_labels_is_what_pillow_gives(size: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).integers(0, 20, size).astype(np.int32)
    scaled = [320 * side // min(size) for side in size]
    whole = np.asarray(Image.fromarray(labels).resize((scaled[1], scaled[0]), Image.Resampling.NEAREST))
    top, left = (round((side - 320) / 2) for side in scaled)
    np.testing.assert_array_equal(classes.central_labels(labels), whole[top : top + 320, left : left + 320])


def test_a_crop_leaves_out_the_ends() -> None:
    truth = np.zeros((100, 300), np.int64)
    truth[:, 150:] = 1
    found = truth + 1
    found[:, :90] = 2  # beyond the crop, columns 100 to 200
    image = ScoredImage(map=found.astype(np.int16), foreground=None, labels=truth)
    native, crop = (
        classes.score([image], classes.Options(protocol=protocol), MapLabels(["a", "b"], 2)).metrics
        for protocol in ("native", "crop320")
    )
    assert native["accuracy"] == pytest.approx(0.7)
    assert (crop["accuracy"], crop["convention"]["protocol"]) == (1, "crop320")


def test_ignored_background_through_the_stages(finished_project) -> None:
    finished_project.set({"segments.background": "border", "evaluate.options.background": "ignored"})
    finished_project.run_all("segments", "crops", "cluster", "assign", "refine", "evaluate", "report")
    confusion = finished_project.artifact("evaluate")["confusion"][:]
    maps = np.stack(list(finished_project.artifact("refine")["maps"]))
    assert len(confusion) == finished_project.artifact("cluster")["centers"].shape[0]
    assert confusion.sum() == (maps[:, :, np.arange(64) != 32] > 0).sum()


@pytest.mark.parametrize(
    ("edits", "line"),
    [
        (
            {"evaluate.options.background": "ignored", "segments.background": "none"},
            "segments.background: none leaves no label",
        ),
        (
            {
                "evaluate.options.background": "ignored",
                "segments.background": "border",
                "assign.background_collision": True,
            },
            "assign.background_collision: true leaves no label",
        ),
        (
            {"evaluate.method": "partitions", "evaluate.options.protocol": "crop320"},
            "evaluate.options.protocol: found 'crop320'; method: partitions does not read it",
        ),
    ],
)
def test_what_does_not_fit_the_maps_is_one_line(tiny_project, edits, line: str) -> None:
    tiny_project.set(edits)
    with pytest.raises(ParamsError, match=line):
        tiny_project.run("index")
