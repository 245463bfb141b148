"""Projections of SimSAM."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from usseg.stages.eigen.color import knn_affinity, with_color
from usseg.stages.eigen.graph import projected_affinity, unit_rows
from usseg.stages.eigen.laplacian import normalized_laplacian_eigenpairs
from usseg.stages.eigen.siamese import Heads, siamese_loss, train_heads

SIMSAM = "SimSAM `extract_SimSAM._extract_eig`"


def heads_of(file, run: str, when: str) -> Heads:
    keys = ("proj_weight", "proj_bias", "pred_weight", "pred_bias")
    return Heads(*(torch.from_numpy(file[f"{run}/{key}_{when}"])[None] for key in keys))


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max())


def test_a_step(golden, parity) -> None:
    file = golden("simsam")
    check = parity(
        "first step",
        siamese_loss,
        original=SIMSAM,
        call="siamese_loss((x0[order_z0], x1[order_z1]), heads, ones)",
    )
    size = int(file["batch_size"])
    for run in ("asis", "trained"):
        heads = heads_of(file, run, "init")
        drawn = [torch.from_numpy(file[f"x{v}"][file[f"{run}/order_z{v}"][0, :size]])[None] for v in (0, 1)]
        for view, rows in enumerate(drawn):
            projected = heads.project(rows)
            check("z", difference(projected[0].numpy(), file[f"{run}/step0_z{view}"]), 1e-5)
            check("p", difference(heads.predict(projected)[0].numpy(), file[f"{run}/step0_p{view}"]), 1e-5)
        loss = siamese_loss((drawn[0], drawn[1]), heads, torch.ones(1, size))
        check("loss", abs(loss.item() - float(file[f"{run}/step0_loss"])), 1e-5)


def test_training(golden, parity) -> None:
    file = golden("simsam")
    check = parity(
        "training",
        train_heads,
        original=f"{SIMSAM}, with gradients on",
        call="train_heads(stack([x0, x1]), heads, weights_BN=ones, lr=lr, epochs=epochs, orders=orders, batch=2)",
        differs="gradients are on (in the released code nothing is trained: `eigen.affinity: simsam_released`); views are turned copies "
        "of the token map, their tokens stay in pairs; all tokens a step; many images at once",
    )
    orders = tuple(file[f"trained/order_z{view}"][None] for view in (0, 1))
    found = train_heads(
        np.stack([file["x0"], file["x1"]])[:, None],
        heads_of(file, "trained", "init"),
        weights_BN=np.ones((1, len(file["x0"]))),
        lr=float(file["lr"]),
        epochs=int(file["epochs"]),
        orders=orders,
        batch=int(file["batch_size"]),
    )
    check("losses", difference(found.losses[0], file["trained/loss_per_step"].reshape(-1)), 1e-3)
    for part, expected in zip(found.heads.parameters, heads_of(file, "trained", "final").parameters, strict=True):
        check("final weights", difference(part.numpy(), expected.numpy()), 1e-3)


def test_losses_without_training(golden, parity) -> None:
    """What the command line runs: the losses of heads that never move."""
    file = golden("simsam")
    check = parity(
        "losses as released",
        train_heads,
        original=SIMSAM,
        call="train_heads(stack([x0, x1]), heads, weights_BN=ones, lr=0, epochs=epochs, orders=orders, batch=2)",
        differs="gradients are off in the original, so that nothing is trained",
    )
    found = train_heads(
        np.stack([file["x0"], file["x1"]])[:, None],
        heads_of(file, "asis", "init"),
        weights_BN=np.ones((1, len(file["x0"]))),
        lr=0.0,
        epochs=len(file["asis/order_z0"]),
        orders=tuple(file[f"asis/order_z{view}"][None] for view in (0, 1)),
        batch=int(file["batch_size"]),
    )
    check("losses", difference(found.losses[0], file["asis/loss_per_step"].reshape(-1)), 1e-3)
    for part, expected in zip(found.heads.parameters, heads_of(file, "asis", "final").parameters, strict=True):
        check("final weights", difference(part.numpy(), expected.numpy()), 0)


def test_colour(golden, parity) -> None:
    file = golden("simsam")
    check = parity(
        "colour, divided by 255 twice",
        knn_affinity,
        with_color,
        original=SIMSAM,
        call="with_color(W_feat, knn_affinity(image), weight=10)",
        differs="`eigen.options.legacy_double_scale: false` by default; of pixels equally far the first is taken",
    )
    image = file["asis_lambda10/image_into_knn"]
    assert image.shape[:2] == (int(file["h"]), int(file["w"]))
    assert image.max() < 1 / 255 + 1e-6  # so little colour that position decides, with many ties
    color = knn_affinity(image)
    expected = file["asis_lambda10/W_color_knn"]
    check("entries that differ, by ties", float((color.toarray() != expected).sum()), 60)
    check("sum", abs(float(color.sum() - expected.sum())), 0)
    weights = with_color(file["asis/W_feat"].copy(), csr_array(expected), weight=10.0)
    check("W_comb", difference(weights, file["asis_lambda10/W_comb"]), 1e-5)


@pytest.mark.parametrize("run", ["asis", "trained"])
def test_affinity(golden, parity, run: str) -> None:
    file = golden("simsam")
    check = parity(
        "affinity",
        projected_affinity,
        original=SIMSAM,
        call="projected_affinity(F, heads.predict(x0), weight=siam_weight, offset='third')",
        differs="`simsam`: the mean as offset, unit-length rows of predictor and projector; "
        "`simsam_released`: as the original, heads seeded by image",
    )
    tokens = torch.from_numpy(unit_rows(file["F"]))[None]
    check("x0", difference(tokens[0].numpy(), file["x0"]), 1e-6)
    projected = heads_of(file, run, "final").predict(tokens)[0].numpy()
    weights = projected_affinity(file["F"], projected, weight=float(file["siam_weight"]), offset="third")
    check("W_feat", difference(weights, file[f"{run}/W_feat"]), 1e-4)
    assert int(file["alpha"]) == 3  # the offset of cos_third_relu
    count = len(file[f"{run}/eigenvalues"])
    pairs = normalized_laplacian_eigenpairs(weights, k=count, solver="dense")
    check("eigenvalues", difference(pairs.values, file[f"{run}/eigenvalues"]), 1e-3)
    degree = weights.sum(axis=1, dtype=np.float64)
    ours, theirs = (np.linalg.qr((v * np.sqrt(degree)).T)[0] for v in (pairs.vectors, file[f"{run}/eigenvectors"]))
    # All but the last, beside which another eigenvalue may lie that is not stored: within the space of all.
    check("subspace, sine", np.linalg.norm(ours[:, :-1] - theirs @ (theirs.T @ ours[:, :-1]), 2), 1e-2)
