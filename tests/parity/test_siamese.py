"""Projections of SimSAM."""

import numpy as np
import pytest
import torch

from stages.eigen.affinity import projected_affinity, unit_rows
from stages.eigen.laplacian import normalized_laplacian_eigenpairs
from stages.eigen.siamese import Heads, siamese_loss, train_heads

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


@pytest.mark.parametrize("run", ["asis", "trained"])
def test_affinity(golden, parity, run: str) -> None:
    file = golden("simsam")
    check = parity(
        "affinity",
        projected_affinity,
        original=SIMSAM,
        call="projected_affinity(F, heads.predict(x0), weight=siam_weight, kind='cos_third_relu')",
        differs="`simsam`: the mean as offset, unit-length rows of predictor and projector; "
        "`simsam_released`: as the original, heads seeded by image",
    )
    tokens = torch.from_numpy(unit_rows(file["F"]))[None]
    check("x0", difference(tokens[0].numpy(), file["x0"]), 1e-6)
    projected = heads_of(file, run, "final").predict(tokens)[0].numpy()
    weights = projected_affinity(file["F"], projected, weight=float(file["siam_weight"]), kind="cos_third_relu")
    check("W_feat", difference(weights, file[f"{run}/W_feat"]), 1e-4)
    count = len(file[f"{run}/eigenvalues"])
    pairs = normalized_laplacian_eigenpairs(weights, k=count, solver="dense")
    check("eigenvalues", difference(pairs.values, file[f"{run}/eigenvalues"]), 1e-3)
