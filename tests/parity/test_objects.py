"""Scores of object masks."""

import numpy as np
import pytest

from usseg.stages.evaluate.object_scores import f_curve, mask_counts, object_scores


@pytest.mark.parametrize("case", ["metrics", "metrics_edge"])
def test_scores(golden, parity, case: str) -> None:
    file = golden("tricks")
    check = parity(
        "accuracy, IoU, maxF",
        mask_counts,
        f_curve,
        object_scores,
        original="segmentation-tricks metrics, after TokenCut",
        call="object_scores([mask_counts(pred, gt > 0.5) for each image])",
        differs="images without prediction and truth are left out of the IoU, which is never NaN; "
        "`F(not max)`, F at threshold 0, is not a score here",
    )
    counts = [mask_counts(p, t > 0.5) for p, t in zip(file[f"{case}/pred"], file[f"{case}/gt"], strict=True)]
    curves = np.stack([f_curve(one, beta_squared=float(file["beta_sq"])) for one in counts])
    check("F at every threshold", np.abs(curves - file[f"{case}/f_curve"]).max(), 1e-5)
    check("F at threshold 0", abs(curves[:, 0].mean() - float(file[f"{case}/f_notmax"])), 1e-5)
    scores = object_scores(counts)
    check("accuracy", abs(scores.accuracy - float(file[f"{case}/accuracy"])), 1e-5)
    check("IoU", abs(scores.iou - float(file[f"{case}/iou"])), 1e-5)
    check("maxF", abs(scores.max_f - float(file[f"{case}/max_f_beta"])), 1e-5)
