"""Refinement."""

import numpy as np

from usseg.stages.refine.methods.guided_filter import gray_guide, guided_filter

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def test_guided_filter(golden, parity) -> None:
    file = golden("tricks")
    check = parity(
        "guided filter",
        guided_filter,
        original="segmentation-tricks `myGuidedFilter2d`, `guided_filter`",
        call="guided_filter(segment_large, guide, radius=radius, eps=eps)",
        differs="`refine.method: guided_filter` cuts the result to [0, 1]; the mask is not standardised before, which changes nothing",
    )
    settings = {"radius": int(file["gf/radius"]), "eps": float(file["gf/eps"])}
    for i, mask in enumerate(file["segment_large"][:, 0]):
        color = file["img"][i].transpose(1, 2, 0) * STD + MEAN
        check("guide", np.abs(color.mean(axis=2) - file["gf/guide_gray"][i, 0]).max(), 1e-6)
        levels = gray_guide(np.clip(np.rint(color * 255), 0, 255).astype(np.uint8))
        check("guide of 8 bits", np.abs(levels - file["gf/guide_gray"][i, 0]).max(), 0.5 / 255 + 1e-6)
        gray = guided_filter(mask, color.mean(axis=2), **settings)
        check("gray guide", np.abs(gray - file["gf/gray_raw"][i, 0]).max(), 2e-5)
        check("gray guide, as the script uses it", np.abs(gray - file["gf/output"][i, 0]).max(), 2e-5)
        check("color guide", np.abs(guided_filter(mask, color, **settings) - file["gf/color_raw"][i, 0]).max(), 2e-5)
