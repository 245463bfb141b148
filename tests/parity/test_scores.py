"""Scores, each convention from one confusion matrix."""

import numpy as np
import pytest

from usseg.stages.evaluate.confusion_scores import ConfusionScores, confusion_scores
from usseg.stages.evaluate.matching import (
    confusion_matrix,
    drop_surplus,
    hungarian,
    iou_matrix,
    majority,
    many_to_one,
    matched_confusion,
)

CASES = ("extra0", "extra2", "absent")
PERCENT = 1e-3


def table_of(file, case: str) -> np.ndarray:
    classes, extra = int(file[f"{case}/n_classes"]), int(file[f"{case}/extra_clusters"])
    batches = zip(file[f"{case}/preds"], file[f"{case}/targets"], strict=True)
    return sum(confusion_matrix(p, t, num_clusters=classes + extra, num_classes=classes) for p, t in batches)


def unequal(found: np.ndarray, expected: np.ndarray) -> float:
    return float((np.asarray(found) != expected).sum())


def check_percentages(check, file, key: str, found: ConfusionScores) -> None:
    check("mIoU, %", abs(100 * found.miou - file[f"{key}/mIoU"]), PERCENT)
    check("accuracy, %", abs(100 * found.accuracy - file[f"{key}/accuracy"]), PERCENT)
    if f"{key}/class_ious" in file.files:
        expected = file[f"{key}/class_ious"]
        np.testing.assert_array_equal(np.isnan(found.iou), np.isnan(expected))
        check("IoU, %", np.nanmax(np.abs(100 * found.iou - expected)), PERCENT)


def check_matching(check, table: np.ndarray, matching: np.ndarray, pairs: np.ndarray) -> None:
    """Pairs (2, matched) of clusters and classes, only where IoU > 0: absent classes are matched arbitrarily."""
    clusters, classes = pairs
    sure = iou_matrix(table)[clusters, classes] > 0
    check("matching", unequal(matching[clusters[sure]], classes[sure]), 0)


@pytest.mark.parametrize("case", CASES)
def test_stego(golden, parity, case: str) -> None:
    file = golden("uss_metrics")
    check = parity(
        "Hungarian by counts, STEGO",
        confusion_matrix,
        drop_surplus,
        hungarian,
        matched_confusion,
        confusion_scores,
        original="STEGO `UnsupervisedMetrics`",
        call="confusion_scores(t := drop_surplus(table), hungarian(t), extra_row=extra > 0)",
        differs="clusters from N on are dropped only by `drop_surplus`; `evaluate.options.surplus: strict` counts them as errors",
    )
    key, classes = f"{case}/stego_hungarian", int(file[f"{case}/n_classes"])
    table = drop_surplus(table_of(file, case))
    check("table", unequal(table, file[f"{key}/stats"]), 0)
    matching = hungarian(table)
    check_matching(check, table, matching, file[f"{key}/assignments"])
    matched = matched_confusion(table, matching)
    check("matched table", unequal(matched, file[f"{key}/histogram"][:classes, :classes]), 0)
    check_percentages(
        check, file, key, confusion_scores(table, matching, extra_row=int(file[f"{case}/extra_clusters"]) > 0)
    )


@pytest.mark.parametrize("case", CASES)
def test_primaps(golden, parity, case: str) -> None:
    file = golden("uss_metrics")
    check = parity(
        "Hungarian by counts, PriMaPs",
        confusion_matrix,
        many_to_one,
        confusion_scores,
        original="PriMaPs `UnsupervisedMetrics`",
        call="confusion_scores(table, many_to_one(table))",
        differs="`evaluate.options.surplus: many_to_one`; the original's `map_clusters`, used for pictures only, "
        "shifts by one what follows an unmatched cluster",
    )
    key, table = f"{case}/primaps_hungarian", table_of(file, case)
    check("table", unequal(table, file[f"{key}/stats"]), 0)
    check_matching(check, table, hungarian(table), file[f"{key}/assignments"])
    check("matched table", unequal(matched_confusion(table, many_to_one(table)), file[f"{key}/histogram"]), 0)
    check_percentages(check, file, key, confusion_scores(table, many_to_one(table)))


@pytest.mark.parametrize("reference", ["stego", "primaps"])
@pytest.mark.parametrize("case", CASES)
def test_identity(golden, parity, case: str, reference: str) -> None:
    file = golden("uss_metrics")
    key = f"{case}/{reference}_identity"
    if f"{key}/mIoU" not in file.files:
        pytest.skip("a linear probe has no extra clusters")
    check = parity(
        "no matching (linear probe)",
        confusion_scores,
        original="STEGO and PriMaPs `UnsupervisedMetrics`",
        call="confusion_scores(table, np.arange(N))",
    )
    table = table_of(file, case)
    check_percentages(check, file, key, confusion_scores(table, np.arange(len(table))))


@pytest.mark.parametrize(("way", "match"), [("hungarian", hungarian), ("majority30", majority)])
def test_dsm(golden, parity, way: str, match) -> None:
    file = golden("uss_metrics")
    check = parity(
        f"VOC, {match.__name__} by IoU",
        confusion_matrix,
        match,
        confusion_scores,
        original="DSM `eval.evaluate`" + (", MaskContrast" if match is majority else ""),
        call=f"confusion_scores(table, {match.__name__}(table, by='iou'), absent='zero')",
        differs="`evaluate.options.absent: drop` leaves absent classes out; `refine.upsampling: stretch` and "
        "`assign.background_collision: true` are DSM's maps",
    )
    expected, classes = file[f"voc/{way}/match"], int(file["voc/num_classes_with_background"])
    predictions = "pred" if way == "hungarian" else way.replace("majority", "pred")
    table = sum(
        confusion_matrix(
            file[f"voc/img{i}/{predictions}"],
            file[f"voc/img{i}/target"],
            num_clusters=len(expected),
            num_classes=classes,
        )
        for i in range(int(file["voc/num_images"]))
    )
    matching = match(table, by="iou")
    check_matching(check, table, matching, expected.T)
    found = confusion_scores(table, matching, absent="zero")
    check("IoU", np.abs(np.nan_to_num(found.iou) - file[f"voc/{way}/jaccard"]).max(), 1e-9)
    check("mIoU", abs(found.miou - file[f"voc/{way}/mIoU"]), 1e-9)
