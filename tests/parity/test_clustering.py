"""Clustering, against float64 NumPy written from the formulas.

The original code of these (BMehron/Unsupervised-Segmentation) has no golden vectors; hand-computed values are in
tests/cluster.
"""

import numpy as np
import pytest
import torch

from usseg.stages.cluster.methods.abc import Options, build_network, cosine_scores, scores_loss
from usseg.stages.cluster.methods.kmeans import Options as KMeansOptions
from usseg.stages.cluster.methods.kmeans import fit, nearest, predict
from usseg.stages.cluster.methods.ot import sinkhorn_plan, transport_step

REPORT = "semester report, section 3.2"
SEEDS = range(4)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def problem(seed: int, rows: int = 200, channels: int = 12, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows and centres, float32."""
    rng = np.random.default_rng(seed)
    return unit(rng.normal(size=(rows, channels))).astype(np.float32), unit(rng.normal(size=(k, channels))).astype(
        np.float32
    )


def reference_kmeans(rows: np.ndarray, k: int, seed: int, *, cosine: bool) -> float:
    """The lowest mean objective of ten starts from random rows, Lloyd's iterations to the end."""
    rng, reached = np.random.default_rng(seed), []
    for _ in range(10):
        centers, before = rows[rng.choice(len(rows), k, replace=False)], None
        while True:
            distances = ((rows[:, None] - centers) ** 2).sum(axis=2)
            labels = distances.argmin(axis=1)
            if before is not None and (labels == before).all():
                break
            before = labels
            centers = np.array([rows[labels == j].mean(axis=0) for j in range(k)])
            centers = unit(centers) if cosine else centers
        reached.append(distances.min(axis=1).mean())
    return min(reached)


def reference_plan(scores: np.ndarray, epsilon: float, iterations: int) -> np.ndarray:
    """The multiplicative iteration on exp((S - 1) / epsilon), cluster marginals last."""
    kernel = np.exp((scores - 1) / epsilon)
    clusters, rows = scores.shape
    a = np.full(clusters, 1 / clusters)
    for _ in range(iterations):
        b = 1 / rows / (kernel.T @ a)
        a = 1 / clusters / (kernel @ b)
    return clusters * a[:, None] * kernel * b


def reference_loss(scores: np.ndarray, *, floor: bool) -> float:
    """The loss term by term."""
    rows, k = scores.shape
    lower, upper = (rows // k**2, rows // k**0.5) if floor else (rows / k**2, rows / k**0.5)
    gram = scores.T @ scores
    return float(
        np.maximum(1 - scores.sum(axis=1), 0).mean()
        + np.maximum(lower - scores.sum(axis=0), 0).mean()
        + np.maximum(scores.sum(axis=0) - upper, 0).mean()
        + gram.sum()
        - np.trace(gram)
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_kmeans(parity, seed: int, metric: str) -> None:
    rows, centers = problem(seed)
    check = parity(
        f"k-means, {metric}",
        predict,
        original=REPORT,
        call=f"predict(fit(rows, weights, k=, seed=, options=Options(metric='{metric}')), rows, options)",
        differs="k-means++ starts; the original takes random rows, and NaN where a cluster is empty",
    )
    doubles = rows.astype(np.float64)
    exact = ((doubles[:, None] - centers) ** 2).sum(axis=2)
    labels, distances = nearest(rows, centers)
    check("labels", float((labels != exact.argmin(axis=1)).sum()), 0)
    check("squared distances (float32)", np.abs(distances - exact.min(axis=1)).max(), 1e-5)
    options = KMeansOptions(metric=metric, n_init=10)
    clustering = fit(rows, np.ones(len(rows)), k=len(centers), seed=seed, options=options)
    labels = predict(clustering, rows, options)
    means = np.array([doubles[labels == j].mean(axis=0) for j in range(len(centers))])
    means = unit(means) if metric == "cosine" else means
    check("centres are means (float32)", np.abs(clustering.centers - means).max(), 1e-5)
    reached = ((doubles - clustering.centers[labels]) ** 2).sum(axis=1).mean()
    reference = reference_kmeans(doubles, len(centers), seed, cosine=metric == "cosine")
    check("objective above that of 10 random starts", reached / reference - 1, 0.02)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("epsilon", [0.02, 0.1, 1.0])
def test_transport(parity, seed: int, epsilon: float) -> None:
    rows, centers = problem(seed)
    check = parity(
        "optimal transport",
        sinkhorn_plan,
        transport_step,
        original=f"{REPORT} (OTC)",
        call="sinkhorn_plan(scores, epsilon=, iterations=); transport_step(rows, centers, epsilon=, iterations=)",
        differs="log domain, never infinite; `cluster.options.iterations`: 20 as in the code, the report says 200",
    )
    scores = unit(centers.astype(np.float64)) @ unit(rows.astype(np.float64)).T
    for iterations in (1, 10):
        expected = reference_plan(scores, epsilon, iterations)
        found = sinkhorn_plan(scores, epsilon=epsilon, iterations=iterations)
        check("plan", np.abs(found - expected).max(), 1e-12)
        moved, cost = transport_step(rows, centers, epsilon=epsilon, iterations=iterations)
        check("centres of a step (float32)", np.abs(moved - expected @ rows).max(), 1e-5)
        check("cost of a step (float32)", abs(cost - (expected * (1 - scores)).sum() / len(centers)), 1e-5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("floor", [False, True])
def test_loss(parity, seed: int, floor: bool) -> None:
    rows, centers = problem(seed)
    check = parity(
        "ABC loss",
        scores_loss,
        cosine_scores,
        original=f"{REPORT} (ABC)",
        call="scores_loss(torch.relu(cosine_scores(outputs, centers)), floor_thresholds=)",
        differs="exact size bounds; `floor_thresholds: true` divides as the original",
    )
    scores = np.maximum(unit(rows.astype(np.float64)) @ unit(centers.astype(np.float64)).T, 0)
    outputs, anchors = (torch.from_numpy(3 * x.astype(np.float64)) for x in (rows, centers))
    found = torch.relu(cosine_scores(outputs, anchors))
    check("scores", np.abs(found.numpy() - scores).max(), 1e-12)
    expected = reference_loss(scores, floor=floor)
    check("loss, relative", abs(float(scores_loss(found, floor_thresholds=floor)) / expected - 1), 1e-12)


@pytest.mark.parametrize("residual", [False, True])
def test_network(parity, residual: bool) -> None:
    rows, _ = problem(0)
    check = parity(
        "ABC network",
        build_network,
        original=f"{REPORT} (ABC)",
        call="build_network(channels, k, Options(...)).eval()(rows)",
        differs="`mlp_residual: false` is the released checkpoint; the text has residual and layer norm",
    )
    torch.manual_seed(0)
    network = build_network(rows.shape[1], 5, Options(hidden=16, mlp_residual=residual)).eval()
    weights = {key: value.detach().double().numpy() for key, value in network.state_dict().items()}

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return x @ weights[f"blocks.0.{name}.weight"].T + weights[f"blocks.0.{name}.bias"]

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        scaled = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        return scaled * weights[f"blocks.0.{name}.weight"] + weights[f"blocks.0.{name}.bias"]

    x, m = rows.astype(np.float64), weights["centers"]
    logits = linear(x, "query") @ linear(m, "key").T / np.sqrt(x.shape[1])
    attention = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    hidden = norm(x + linear(attention @ linear(m, "value"), "out"), "norm_attention")
    y = linear(np.maximum(linear(hidden, "mlp.layers.0"), 0), "mlp.layers.3")
    y = norm(hidden + y, "norm_mlp") if residual else y
    found = network(torch.from_numpy(rows)).detach().numpy()
    check("scores (float32)", np.abs(found - unit(y) @ unit(m).T).max(), 1e-5)
