"""Methods over many small blocks, compared with float64 NumPy over all rows; the bytes do not depend on the blocks."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from usseg.pipeline.parallel import thread_map
from usseg.stages.cluster import rows as module
from usseg.stages.cluster.methods import METHODS, kmeans, ot
from usseg.stages.cluster.rows import in_blocks, on_disk
from usseg.stages.cluster.scaling import fit_scaling, moments, unit_rows

OPTIONS = {
    "abc": {"epochs": 2, "hidden": 8, "batch": 32},
    "ot": {"iterations": 3},
    "primaps_em": {"init_epochs": 1, "epochs": 2, "batch": 2},
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 16)


def random_rows(count: int = 150, channels: int = 6, seed: int = 0) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).normal(size=(count, channels)).astype(np.float32))


def plain_lloyd(rows: np.ndarray, weights: np.ndarray, centers: np.ndarray, *, cosine: bool) -> np.ndarray:
    """Lloyd's iterations to the end, all distances at once."""
    rows, centers, before = rows.astype(np.float64), centers.astype(np.float64), None
    while True:
        labels = ((rows[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
        if before is not None and (labels == before).all():
            return centers
        centers = np.array([np.average(rows[labels == j], axis=0, weights=weights[labels == j]) for j in range(4)])
        centers = centers / np.linalg.norm(centers, axis=1, keepdims=True) if cosine else centers
        before = labels


def plain_plus_plus(rows: np.ndarray, weights: np.ndarray, k: int, rng: np.random.Generator) -> list[int]:
    """Greedy k-means++, a candidate at a time; the rows that become centres."""
    rows = rows.astype(np.float64)

    def draw(chances: np.ndarray, count: int) -> np.ndarray:
        reached = np.cumsum(chances)
        return np.searchsorted(reached, rng.random(count) * reached[-1], side="right")

    chosen = [int(draw(weights, 1)[0])]
    while len(chosen) < k:
        closest = np.min([((rows - rows[i]) ** 2).sum(axis=1) for i in chosen], axis=0)
        tried = draw(closest * weights, 2 + int(np.log(k)))
        left = [weights @ np.minimum(closest, ((rows - rows[i]) ** 2).sum(axis=1)) for i in tried]
        chosen.append(int(tried[np.argmin(left)]))
    return chosen


def plain_transport(rows: np.ndarray, centers: np.ndarray, epsilon: float, iterations: int) -> tuple[np.ndarray, float]:
    """A step of OTC with the whole plan at hand."""
    scores = unit_rows(centers).astype(np.float64) @ unit_rows(rows).T
    plan = ot.sinkhorn_plan(scores, epsilon=epsilon, iterations=iterations)
    return plan @ rows, float((plan * (1 - scores)).sum() / len(centers))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("threads", [1, 3])
def test_memory_and_disk_give_the_same_bytes(name: str, threads: int, tmp_path: Path, monkeypatch, besides) -> None:
    monkeypatch.setattr(kmeans, "SAMPLE", 50)
    monkeypatch.setattr(kmeans, "SAMPLE_PER_CLUSTER", 2)
    rows, method = random_rows(), METHODS[name]
    weights = np.random.default_rng(1).random(len(rows))
    options = method.options(**OPTIONS.get(name, {}), **({"area_weight": 0.5} if name == "kmeans" else {}))
    run = {"k": 4, "seed": 0, "options": options, **besides(method, rows)}
    plain = method.call(rows, weights, **run)
    with thread_map(threads) as ordered:
        lying = on_disk([rows[:70], rows[70:]], rows.shape[1], tmp_path, ordered)
        streamed = method.call(lying, weights, **run)
    for part in ("centers", "history", "weights"):
        assert getattr(plain, part).tobytes() == getattr(streamed, part).tobytes()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cosine", [False, True])
def test_lloyd_is_that_of_all_rows_at_once(seed: int, cosine: bool) -> None:
    rows, rng = random_rows(seed=seed), np.random.default_rng(seed)
    weights = rng.uniform(0.1, 2, len(rows))
    starts = np.stack([rows[rng.choice(len(rows), 4, replace=False)] for _ in range(3)])
    found = kmeans.lloyd(in_blocks(rows), weights, starts, iterations=100, spherical=cosine, gpu=None)
    for start, (objective, clustering) in zip(starts, found, strict=True):
        expected = plain_lloyd(rows, weights, start, cosine=cosine)
        np.testing.assert_allclose(clustering.centers, expected, atol=1e-6)
        reached = weights @ ((rows[:, None] - expected) ** 2).sum(axis=2).min(axis=1)
        assert objective == pytest.approx(reached, rel=1e-6)
        assert clustering.history[-1] == pytest.approx(reached / len(rows), rel=1e-6)


def test_starts_are_those_of_one_candidate_at_a_time() -> None:
    rows = random_rows()
    weights = np.random.default_rng(0).uniform(0.1, 2, len(rows))
    found = kmeans.plus_plus(rows, weights, k=5, rngs=[np.random.default_rng(seed) for seed in range(6)])
    for seed, centers in enumerate(found):
        np.testing.assert_array_equal(centers, rows[plain_plus_plus(rows, weights, 5, np.random.default_rng(seed))])


def test_no_weight_at_all_still_gives_different_centres() -> None:
    found = kmeans.fit(random_rows(), np.zeros(150), k=4, seed=0, options=kmeans.Options(area_weight=1))
    assert len(np.unique(found.centers, axis=0)) == 4


def test_cosine_looks_at_directions_only() -> None:
    rows, options = random_rows(), kmeans.Options(metric="cosine")
    lengths = np.random.default_rng(0).choice([0.25, 1, 4], len(rows)).astype(np.float32)
    plain = kmeans.fit(rows, np.ones(150), k=4, seed=0, options=options)
    longer = kmeans.fit(rows * lengths[:, None], np.ones(150), k=4, seed=0, options=options)
    np.testing.assert_allclose(longer.centers, plain.centers, atol=1e-6)


def test_an_empty_cluster_gets_the_costliest_row() -> None:
    rows = np.array([[0, 0], [0, 1], [5, 0], [5, 1], [20, 0]], np.float32)
    start = np.array([[[0, 0], [5, 0], [900, 900]]], np.float32)
    ((objective, found),) = kmeans.lloyd(in_blocks(rows), np.ones(5), start, iterations=20, spherical=False, gpu=None)
    np.testing.assert_array_equal(sorted(found.centers.tolist()), [[0, 0.5], [5, 0.5], [20, 0]])
    assert objective == pytest.approx(1)
    assert (np.diff(found.history) <= 0).all()


def test_starts_from_a_sample_are_as_good(monkeypatch) -> None:
    rows, options = random_rows(3000), kmeans.Options()
    all_at_once = kmeans.fit(rows, np.ones(3000), k=8, seed=0, options=options).history
    monkeypatch.setattr(kmeans, "SAMPLE", 500)
    monkeypatch.setattr(kmeans, "SAMPLE_PER_CLUSTER", 50)
    sampled = kmeans.fit(rows, np.ones(3000), k=8, seed=0, options=options).history
    assert sampled[0] < 1.05 * all_at_once[-1] < all_at_once[0]
    assert sampled[-1] == pytest.approx(all_at_once[-1], rel=0.01)


@pytest.mark.parametrize("epsilon", [1e-4, 0.02, 1.0])
@pytest.mark.parametrize("iterations", [1, 2, 10])
def test_transport_is_that_of_the_whole_plan(epsilon: float, iterations: int) -> None:
    rows = random_rows()
    rows[::20] = 0
    centers, cost = ot.transport_step(rows, rows[1:6], epsilon=epsilon, iterations=iterations)
    expected, expected_cost = plain_transport(rows, rows[1:6], epsilon, iterations)
    # Scores are float32: their rounding, times 1 / epsilon, is what separates both.
    np.testing.assert_allclose(centers, expected, atol=1e-6 + 1e-7 / epsilon)
    assert cost == pytest.approx(expected_cost, abs=1e-6 + 1e-7 / epsilon)


def test_a_centre_far_from_every_row_of_a_block_is_not_lost() -> None:
    rows = unit_rows(random_rows() * np.float32(0.1) + np.eye(1, 6, dtype=np.float32))
    start = np.eye(2, 6, dtype=np.float32)
    start[1] = -start[0]
    centers, _ = ot.transport_step(rows, start, epsilon=1e-3, iterations=10)
    np.testing.assert_allclose(centers, plain_transport(rows, start, 1e-3, 10)[0], atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_transport_starts_from_distinct_rows(seed: int) -> None:
    rows = np.concatenate([np.repeat(random_rows(1), 90, axis=0), random_rows(6, seed=1)])
    found = ot.fit(rows, np.ones(96), k=5, seed=seed, options=ot.Options(iterations=1))
    assert len(np.unique(found.centers.round(5), axis=0)) == 5


@pytest.mark.parametrize("crossed", [False, True])
def test_moments_of_pieces(crossed: bool) -> None:
    features = 3 + np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    rows = unit_rows(features).astype(np.float64)
    count, mean, scatter = moments([features[:1], features[1:1], features[1:17], features[17:]], crossed=crossed)
    centred = rows - rows.mean(axis=0)
    assert count == 40
    np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scatter, centred.T @ centred if crossed else (centred**2).sum(axis=0), rtol=1e-9)


def test_principal_directions_of_pieces() -> None:
    features = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32) * [1, 2, 3, 4, 5] + 1
    scaling = fit_scaling([features[:25], features[25:]], 5, norm_std=True, pca=3, whiten=True)
    scaled = scaling(features).astype(np.float64)
    np.testing.assert_allclose(np.cov(scaled.T), np.eye(3), atol=1e-4)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [("kmeans", {"metric": "l2"}), ("kmeans", {"metric": "cosine"}), ("ot", OPTIONS["ot"]), ("abc", OPTIONS["abc"])],
)
@pytest.mark.parametrize(
    "rows",
    [
        random_rows(1),
        np.repeat(random_rows(1), 50, axis=0),
        np.zeros((40, 4), np.float32),
        np.concatenate([np.zeros((30, 6), np.float32), random_rows(3), np.zeros((30, 6), np.float32)]),
        np.concatenate([np.repeat(random_rows(1), 90, axis=0), random_rows(6, seed=1)]),
        random_rows(50) * np.float32(1e-6) + 1,
    ],
    ids=["one row", "equal rows", "zero rows", "mostly zero rows", "mostly equal rows", "nearly equal rows"],
)
@pytest.mark.parametrize("weight", [0.0, 1.0])
@pytest.mark.parametrize("sample", [8, 1000])
def test_degenerate_rows_in_blocks(name: str, options, rows, weight: float, sample: int, monkeypatch) -> None:
    monkeypatch.setattr(kmeans, "SAMPLE", sample)
    monkeypatch.setattr(kmeans, "SAMPLE_PER_CLUSTER", 1)
    method = METHODS[name]
    options = method.options(**options, **({"area_weight": 1.0} if name == "kmeans" else {}))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        found = method.call(rows, np.full(len(rows), weight), k=5, seed=0, options=options)
    for values in (found.centers, found.history):
        assert np.isfinite(values).all()
    labels = method.predict(found, rows, options)
    assert 0 <= labels.min() <= labels.max() < len(found.centers) <= 5


def test_zero_weights_among_others_move_nothing() -> None:
    rows = random_rows()
    weights = np.ones(len(rows))
    weights[100:] = 0
    found = kmeans.lloyd(in_blocks(rows), weights, rows[None, :4], iterations=100, spherical=False, gpu=None)
    alone = kmeans.lloyd(
        in_blocks(rows[:100]), weights[:100], rows[None, :4], iterations=100, spherical=False, gpu=None
    )
    np.testing.assert_allclose(found[0][1].centers, alone[0][1].centers, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_the_stage_gives_the_same_bytes_by_any_number_of_workers(finished_project, name: str, monkeypatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 4)
    rows = "tokens" if name == "primaps_em" else "segments"
    finished_project.set({"cluster.method": name, "cluster.options": OPTIONS.get(name, {}), "cluster.rows": rows})
    finished_project.set({"cluster.pca": 5, "cluster.k": 4})
    finished_project.run("cluster", workers=1)
    before = finished_project.files("artifacts/cluster/train.zarr")
    finished_project.set({"cluster.seed": 1})
    finished_project.run("cluster", workers=1)
    finished_project.set({"cluster.seed": 0})
    finished_project.run("cluster", workers=3)
    assert finished_project.files("artifacts/cluster/train.zarr") == before
