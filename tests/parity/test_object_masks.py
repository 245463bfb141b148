"""Object masks."""

import numpy as np
import pytest

from usseg.stages.crops.boxes import tight_box
from usseg.stages.segments.cuts import component_of, cornered_side, second_eigenpair, seeded_side, token_graph
from usseg.stages.segments.methods import maskcut, primaps, tokencut

CUTS = (token_graph, second_eigenpair, component_of)


def aligned(vector: np.ndarray, other: np.ndarray) -> float:
    """Largest difference up to sign, as a share of the largest entry."""
    return float(np.abs(vector * np.sign(vector @ other) - other).max() / np.abs(other).max())


def grid_of(file, image: str) -> tuple[int, int]:
    return int(file[f"{image}/h"]), int(file[f"{image}/w"])


@pytest.mark.parametrize("mode", ["binary", "nobinary"])
def test_tokencut(golden, parity, mode: str) -> None:
    file = golden("tokencut")
    binary = mode == "binary"
    check = parity(
        f"TokenCut, {mode}",
        *CUTS,
        seeded_side,
        tokencut.object_mask,
        tight_box,
        original="TokenCut `object_discovery.ncut`",
        call=f"object_mask(F, (h, w), tau=tau, eps=eps{'' if binary else ', binary=False'})",
        differs="no object where the eigenvalue is 1: all tokens look alike",
    )
    tau, eps = float(file["tau"]), float(file["eps"])
    for i in range(int(file["num_images"])):
        features, grid = file[f"img{i}/F"], grid_of(file, f"img{i}")
        expected = {key.split("/")[2]: file[key] for key in file.files if key.startswith(f"img{i}/{mode}/")}
        graph = token_graph(features, tau=tau, eps=eps, binary=binary)
        degrees = expected["degrees"]
        check("degrees, relative", np.abs(graph.sum(axis=1) / degrees - 1).max(), 1e-8 if binary else 1e-5)
        value, vector = second_eigenpair(graph)
        check("eigenvalue", abs(value - expected["eigenvalues"][0]), 1e-8 if binary else 1e-5)
        check("eigenvector", aligned(vector, expected["eigvec"].reshape(-1)), 1e-6 if binary else 3e-4)
        side, seed = seeded_side(vector, grid)
        check("seed", abs(seed - int(expected["seed"])), 0)
        check("bipartition", float((side != expected["bipartition"]).sum()), 0)
        pieces = expected["objects"]
        for piece in range(1, pieces.max() + 1):
            found = component_of(side, int(np.flatnonzero(pieces == piece)[-1]))
            check("pieces", float((found != (pieces == piece)).sum()), 0)
        mask = tokencut.object_mask(features, grid, tau=tau, eps=eps, binary=binary)
        check("mask", float((mask != expected["mask"]).sum()), 0)
        x0, y0, x1, y1 = tight_box(mask)
        check("box, tokens", np.abs(np.array([y0, x0, y1, x1]) - expected["bbox_feat"]).max(), 0)
        limit = [int(file[f"img{i}/{side}"]) for side in "WHWH"]
        pixels = np.minimum(np.array([x0, y0, x1, y1]) * int(file["scale"]), limit)
        check("box, pixels", np.abs(pixels - expected["bbox"]).max(), 0)


def test_maskcut(golden, parity) -> None:
    file = golden("maskcut")
    check = parity(
        "MaskCut",
        *CUTS,
        cornered_side,
        maskcut.object_masks,
        maskcut.rejected,
        original="CutLER `maskcut.maskcut_forward`, before the CRF",
        call="object_masks(F, (h, w), masks=N, tau=tau, eps=eps, released=True)",
        differs="by default taken tokens leave the graph and the search ends at a rejected mask; "
        "of the two signs of an eigenvector the one with the largest entry positive counts; any grid",
    )
    tau, eps = float(file["tau"]), float(file["eps"])
    for i in range(int(file["num_images"])):
        features, grid = file[f"img{i}/F"], grid_of(file, f"img{i}")
        taken = before = np.zeros(grid, np.bool_)
        painted = np.zeros(grid, np.bool_)
        for stage in range(int(file["N"])):
            expected = {key.split("/")[2]: file[key] for key in file.files if key.startswith(f"img{i}/stage{stage}/")}
            painted = painted | before
            check("tokens painted", float((painted.reshape(-1) != expected["masked_out"]).sum()), 0)
            left = np.where(expected["masked_out"][:, None], np.float32(0), features)
            graph = token_graph(left, tau=tau, eps=eps)
            check("degrees, relative", np.abs(graph.sum(axis=1) / expected["degrees"] - 1).max(), 1e-8)
            value, vector = second_eigenpair(graph)
            stored = expected["eigenvectors"][0]
            check("eigenvalue", abs(value - expected["eigenvalues"][0]), 1e-8)
            check("eigenvector", aligned(vector, stored), 1e-6)
            side, seed = cornered_side(stored, grid)
            check("seed, stored sign", abs(seed - int(expected["seed"])), 0)
            check("bipartition, stored sign", float((side != expected["bipartition"]).sum()), 0)
            mask = component_of(side, seed)
            check("component, stored sign", float((mask != expected["component"]).sum()), 0)
            if stage and maskcut.rejected(mask, before):
                mask = np.zeros(grid, np.bool_)
            returned = mask & ~taken
            check("masks, stored sign", float((returned != file[f"img{i}/masks"][stage]).sum()), 0)
            taken, before = taken | returned, mask
            if expected["sign_invariant"]:
                check("bipartition, any sign", float((cornered_side(vector, grid)[0] != side).sum()), 0)
        check("last seed, stored sign", abs(seed - int(file[f"img{i}/last_seed"])), 0)
        if file[f"img{i}/sign_invariant"]:
            masks = maskcut.object_masks(features, grid, masks=int(file["N"]), tau=tau, eps=eps, released=True)
            check("masks", float((np.stack(masks) != file[f"img{i}/masks"]).sum()), 0)


@pytest.mark.parametrize("image", ["img0", "img1", "img2", "single"])
def test_primaps(golden, parity, image: str) -> None:
    file = golden("primaps")
    check = parity(
        "PriMaPs",
        primaps.unit_tokens,
        primaps.principal_direction,
        primaps.proposal,
        primaps.median_masks,
        primaps.mask_logits,
        original="PriMaPs `PriMaPs._get_pseudo`, before the CRF",
        call="mask_logits(median_masks(proposal(unit_tokens(F), left, (unit_tokens(F) @ directions[k]).argmax(), threshold=psi)))",
        differs="the anchor is the token nearest to the direction or to its opposite (`anchor_token`), so that the sign of a PCA "
        "does not matter; exact PCA; the background beside a single mask is what it leaves",
    )
    height, width = file[f"{image}/feat"].shape[1:]
    features = file[f"{image}/feat"].reshape(-1, height * width).T
    unit = primaps.unit_tokens(features.astype(np.float64))
    for run in sorted({key.split("/")[1] for key in file.files if key.startswith(f"{image}/thr")}):
        expected = {key.split("/")[2]: file[key] for key in file.files if key.startswith(f"{image}/{run}/")}
        left = np.ones(len(unit), np.bool_)
        soft = np.zeros((len(expected["masks"]), height * width))
        for k, direction in enumerate(expected["directions"]):
            check("tokens left", abs(left.sum() - expected["num_alive"][k]), 0)
            check("direction, 1 - cos", 1 - abs(primaps.principal_direction(features[left]) @ direction), 1e-5)
            anchor = int(np.where(left, unit @ direction, -np.inf).argmax())
            soft[k] = primaps.proposal(unit, left, anchor, threshold=float(expected["threshold"]))
            left &= soft[k] == 0
        masks = soft.reshape(-1, height, width)
        check("masks", np.abs(masks - expected["masks"]).max(), 1e-4)
        check("support of masks", float(((masks > 0) != (expected["masks"] > 0)).sum()), 0)
        median = primaps.median_masks(masks)
        check("median", np.abs(median - expected["masks_median"]).max(), 1e-4)
        logits = primaps.mask_logits(median)
        winner = logits.argmax(axis=0)
        # Where there is a single mask, the original adds up rows: the columns that hold a part of it have no
        # background.
        alike = np.ones((height, width), np.bool_) if len(masks) > 1 else (median[0] > 0) | ~(median[0] > 0).any(axis=0)
        check("logits", np.abs(logits - expected["logits"])[:, alike].max(), 1e-4)
        labels = np.where(winner == 0, int(file["ignore_id"]), winner)
        sure = alike & (expected["label_margin"] > 1e-5)
        check("labels", float((labels != expected["pseudolabel"])[sure].sum()), 0)
        # The loop ends where the original's did.
        alive = np.append(expected["num_alive"], left.sum()) / len(unit)
        stop = float(file["stop_fraction"])
        assert (1 - alive[:-1] < stop).all()
        assert 1 - alive[-1] >= stop
