"""Scores of object masks and boxes by the stage."""

import numpy as np
import pytest

from usseg.pipeline.errors import ParamsError

LEFT = np.tile(np.arange(8) < 4, (6, 1))
NONE = np.zeros((6, 8), int)
UNDEFINED = {"accuracy": None, "iou": None, "dataset_iou": None, "max_f": None, "max_f_selfmask": None}


def scores(metrics: dict, *names: str) -> tuple:
    return tuple(metrics[name] for name in names)


def test_hand_computed_images_through_the_stage(evaluate) -> None:
    """Images A and B of the specification. Soft values are rounded to steps of 1 / 255; both maps are above 0.5."""
    soft = [np.ceil(255 * np.array(image)) for image in ([[0.9, 0.6], [0.4, 0.1]], [[0.3, 0.2], [0.2, 0.2]])]
    truths = [np.array([[1, 0], [1, 0]]), np.array([[1, 0], [0, 0]])]
    found = evaluate([part > 128 for part in soft], truths, soft=soft, method="objects")
    assert scores(found, "accuracy", "dataset_iou") == (0.625, 0.25)
    assert found["iou"] == pytest.approx(1 / 6)
    assert found["max_f"] == pytest.approx(0.861111, abs=1e-6)
    assert found["convention"] == {"method": "objects", "protocol": "native", "soft": True}
    assert found["num_scored"] == 2
    one = evaluate([soft[0] > 128], truths[:1], soft=soft[:1], method="objects")
    assert scores(one, "max_f", "max_f_selfmask") == pytest.approx((0.8125, 0.923729), abs=1e-6)


def test_a_perfect_map_and_its_other_labels(evaluate) -> None:
    """Every label but 0 is object, on both sides."""
    map_ = np.where(LEFT, np.arange(8) % 3 + 1, 0)
    found = evaluate([map_], [np.where(LEFT, 2, 0)], method="objects")
    assert scores(found, "accuracy", "iou", "dataset_iou", "max_f", "max_f_selfmask") == (1, 1, 1, 1, 1)
    assert found["convention"]["soft"] is False
    assert found["files"]["plots/val/scores.csv"].splitlines()[1] == "accuracy,1.000000"


def test_without_soft_values_f_is_that_of_the_mask(evaluate) -> None:
    truth = np.where(np.arange(8) < 2, 1, 0) * np.ones((6, 1), int)
    found = evaluate([LEFT], [truth], method="objects")
    assert found["max_f"] == pytest.approx(1.3 * 0.5 / (0.3 * 0.5 + 1))
    assert found["iou"] == 0.5


def test_no_object_anywhere(evaluate) -> None:
    found = evaluate([NONE], [NONE], method="objects")
    assert scores(found, "accuracy", "iou", "dataset_iou", "max_f", "max_f_selfmask") == (1, None, None, 1, 1)


def test_an_empty_prediction(evaluate) -> None:
    found = evaluate([NONE], [LEFT], method="objects")
    assert scores(found, "accuracy", "iou", "dataset_iou", "max_f") == (0.5, 0, 0, 0)


def test_ignored_pixels_are_not_counted(evaluate) -> None:
    truth = np.where(LEFT, 1, 0)
    truth[:, 0] = truth[:, 7] = 255
    wrong = LEFT.copy()
    wrong[:, 0], wrong[:, 7] = False, True
    assert scores(evaluate([wrong], [truth], method="objects"), "accuracy", "iou") == (1, 1)
    mapped = {"classes": ["background", "object"], "label_values": ["0-127", "128-254"]}
    grey = np.where(LEFT, 128, 127)
    grey[:, 0] = 255
    assert scores(evaluate([LEFT], [grey], index=mapped, method="objects"), "accuracy", "iou") == (1, 1)


def test_an_image_that_is_all_ignored_is_left_out(evaluate) -> None:
    void = np.full((6, 8), 255)
    found = evaluate([LEFT, LEFT], [void, LEFT], method="objects")
    assert scores(found, "num_images", "num_scored", "iou") == (2, 1, 1)
    nothing = evaluate([LEFT], [void], method="objects")
    assert nothing["num_scored"] == 0
    assert {name: nothing[name] for name in UNDEFINED} == UNDEFINED
    assert nothing["files"]["plots/val/scores.csv"] == "name,score\n"


def test_images_without_truth_are_left_out(evaluate) -> None:
    assert scores(evaluate([NONE, LEFT], [None, LEFT], method="objects"), "num_scored", "iou") == (1, 1)
    found = evaluate([NONE], [None], method="objects")
    assert {name: found[name] for name in ("labelled", "num_images")} == {"labelled": False, "num_images": 1}
    assert "iou" not in found


def test_one_pixel(evaluate) -> None:
    one = np.ones((1, 1), int)
    for protocol in ("native", "crop320"):
        found = evaluate([one], [one], soft=[255 * one], method="objects", protocol=protocol)
        assert scores(found, "accuracy", "iou", "max_f") == (1, 1, 1)


def test_the_crop_leaves_out_the_ends(evaluate) -> None:
    truth = np.zeros((100, 300), int)
    truth[:, 140:160] = 1
    map_ = truth.copy()
    map_[:, :40] = 1  # beyond the crop, columns 102 to 198 or so
    native = evaluate([map_], [truth], soft=[255 * map_], method="objects")
    crop = evaluate([map_], [truth], soft=[255 * map_], method="objects", protocol="crop320")
    assert native["iou"] == pytest.approx(20 / 60)
    assert scores(crop, "accuracy", "iou") == (1, 1)
    assert crop["convention"]["protocol"] == "crop320"


def test_boxes(evaluate) -> None:
    """An L of 19 pixels in a box of 10 x 10 beside a square of 25:

    paper and FOUND pick differently; IoU of exactly 0.5 counts.
    """
    map_ = np.zeros((24, 24), int)
    map_[0:10, 0] = map_[9, 0:10] = map_[12:17, 12:17] = 1
    truths = [[(0, 0, 10, 20), (20, 20, 24, 24)]]
    found = evaluate([map_], truths, method="objects")
    assert scores(found, "corloc", "num_scored") == (1, 1)
    assert found["convention"] == {"method": "objects", "pick": "box"}
    assert "iou" not in found
    assert evaluate([map_], truths, method="objects", pick="area")["corloc"] == 0
    assert evaluate([map_], [[(12, 12, 17, 17)]], method="objects", pick="area")["corloc"] == 1


def test_degenerate_boxes(evaluate) -> None:
    box = [(0, 0, 4, 6)]
    found = evaluate([LEFT, NONE, LEFT, LEFT], [box, box, [], None], method="objects")
    assert scores(found, "corloc", "num_scored", "num_images") == (0.5, 2, 4)  # a hit, a miss, no box, no file
    nothing = evaluate([LEFT], [[]], method="objects")
    assert scores(nothing, "corloc", "num_scored", "labelled") == (None, 0, True)
    assert evaluate([np.ones((1, 1), int)], [[(0, 0, 1, 1)]], method="objects")["corloc"] == 1


def test_what_does_not_fit_is_one_line(evaluate) -> None:
    with pytest.raises(
        ParamsError, match=r"evaluate\.options\.protocol: found 'crop320'; native is allowed where the truth is box"
    ):
        evaluate([LEFT], [[(0, 0, 4, 6)]], method="objects", protocol="crop320")
    with pytest.raises(
        ParamsError, match=r"evaluate\.method: found 'objects', which needs a label image or boxes; .*00\.mat"
    ):
        evaluate([LEFT], [[LEFT]], method="objects")


def test_the_clusters_of_objects_are_objects(finished_project) -> None:
    """With clusters too, all but label 0 is object."""
    edits = {"segments.background": "border", "evaluate.method": "objects", "refine.source": "assign"}
    finished_project.set(edits)
    finished_project.run_all("segments", "crops", "cluster", "assign", "refine", "evaluate", "report")
    maps = finished_project.artifact("refine")["maps"]
    evaluate = finished_project.artifact("evaluate")
    found = dict(zip(evaluate["name"], evaluate["score"][:], strict=True))
    truth = np.arange(64) > 32
    counted = np.arange(64) != 32  # the column of 255
    agreement = [((found_map > 0) == truth)[:, counted].mean() for found_map in maps]
    assert found["accuracy"] == pytest.approx(np.mean(agreement))
    assert "Clusters" in (finished_project.path / "report/index.html").read_text()


def test_a_chain_without_clusters(tiny_project) -> None:
    """Segments to full size to scores and a page; no crops, clusters or labels of clusters are there."""
    tiny_project.set(
        {
            **{"segments.method": "fiedler", "segments.background": "border", "refine.method": "guided_filter"},
            **{"refine.source": "segments", "refine.foreground": True, "evaluate.method": "objects"},
        }
    )
    tiny_project.run_all("index", "features", "eigen", "segments", "refine", "evaluate", "report")
    evaluate = tiny_project.artifact("evaluate")
    found = dict(zip(evaluate["name"], evaluate["score"][:], strict=True))
    assert set(found) == set(UNDEFINED)
    assert max(found["accuracy"], 1 - found["accuracy"]) > 0.9  # the halves, either of which may be the object
    assert found["max_f"] >= 0.5
    page = (tiny_project.path / "report/index.html").read_text()
    assert "maxF, β² = 0.3" in page
    assert "Clusters" not in page
    refine = tiny_project.artifact("refine")
    sure, inside = (np.concatenate([part.reshape(-1) for part in refine[name]]) for name in ("foreground", "maps"))
    assert (sure > 128).sum() == pytest.approx((inside > 0).sum(), rel=0.01)
