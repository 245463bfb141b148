"""What every clustering method must do, over the table; and the scaling before it."""

import numpy as np
import pytest

from usseg.pipeline.errors import ParamsError
from usseg.stages.cluster.method import Clustering
from usseg.stages.cluster.methods import METHODS
from usseg.stages.cluster.scaling import fit_scaling, unit_rows

QUICK = {
    "abc": {"epochs": 4, "hidden": 16},
    "primaps_em": {"start": "kmeans", "init_epochs": 1, "epochs": 3, "batch": 4},
}
TOKENS = ("primaps_em",)  # cluster nothing but tokens


def blobs(rows: int = 60, channels: int = 6, clusters: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    centers = np.eye(clusters, channels)
    return (centers[np.arange(rows) % clusters] + rng.normal(0, 0.05, (rows, channels))).astype(np.float32)


@pytest.fixture(params=METHODS)
def method(request):
    return METHODS[request.param]


def options(method):
    name = next(name for name, entry in METHODS.items() if entry is method)
    return method.options(**QUICK.get(name, {}))


@pytest.fixture
def fit(besides):
    def fitted(method, rows: np.ndarray, k: int = 3, seed: int = 0) -> Clustering:
        return method.call(rows, np.ones(len(rows)), k=k, seed=seed, options=options(method), **besides(method, rows))

    return fitted


def check(method, clustering: Clustering, rows: np.ndarray, k: int) -> np.ndarray:
    assert clustering.centers.dtype == np.float32
    assert 1 <= len(clustering.centers) <= k
    assert clustering.centers.shape[1] == rows.shape[1]
    for values in (clustering.centers, clustering.history, clustering.weights):
        assert np.isfinite(values).all()
    labels = method.predict(clustering, rows, options(method))
    assert labels.dtype == np.int64
    assert labels.shape == (len(rows),)
    assert 0 <= labels.min() <= labels.max() < len(clustering.centers)
    return labels


def test_the_same_seed_gives_the_same_bits(method, fit) -> None:
    rows = blobs()
    first, second = fit(method, rows), fit(method, rows.copy())
    check(method, first, rows, 3)
    for name in ("centers", "history", "weights"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("limit", [1, 3, 4, 8, 12])
def test_a_training_goes_on_from_a_checkpoint_as_if_nothing_had_happened(limit: int, checkpoints) -> None:
    """Also from the middle of one of the 4 epochs, of 3 batches each."""
    method, rows = METHODS["abc"], blobs()
    settings = {"k": 3, "seed": 0, "options": method.options(**QUICK["abc"], batch=16)}
    interrupted = checkpoints(limit=limit)
    with pytest.raises(KeyboardInterrupt):
        method.call(rows, np.ones(60), checkpoint=interrupted, **settings)
    rest = checkpoints(interrupted.kept[-1])
    found, whole = (
        method.call(rows, np.ones(60), checkpoint=rest, **settings),
        method.call(rows, np.ones(60), **settings),
    )
    assert len(rest.kept) == 1 + 12 - limit
    for name in ("centers", "history", "weights"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


def test_a_training_shows_its_progress_and_a_loss_that_is_not_finite_is_one_line() -> None:
    shown: list[tuple[int, int]] = []
    method, rows = METHODS["abc"], blobs()
    run = {"k": 3, "seed": 0, "options": method.options(**QUICK["abc"], batch=25)}
    method.call(rows, np.ones(60), progress=lambda done, total: shown.append((done, total)), **run)
    assert shown == [(done, 200) for done in range(0, 201, 25)]
    with pytest.raises(ParamsError, match=r"abc: the loss is nan in epoch 1 of 4; lower cluster\.options\.lr"):
        method.call(np.full_like(rows, np.nan), np.ones(60), **run)


@pytest.mark.parametrize("seed", range(3))
def test_rows_in_another_order_fall_into_the_same_clusters(method, fit, seed: int) -> None:
    """Where the clusters are clear; the numbers of the clusters may differ."""
    rows = blobs()
    order = np.random.default_rng(seed).permutation(len(rows))
    labels = method.predict(fit(method, rows), rows, options(method))[order]
    shuffled = method.predict(fit(method, rows[order]), rows[order], options(method))
    pairs = set(zip(labels.tolist(), shuffled.tolist(), strict=True))
    assert len(pairs) == len(np.unique(labels)) == len(np.unique(shuffled)) == 3


def test_the_seed_of_others_is_left_alone(method, fit) -> None:
    import torch

    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit(method, blobs())
    assert torch.equal(torch.random.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_a_row_has_the_same_label_in_any_company(method, fit) -> None:
    rows = blobs()
    clustering = fit(method, rows)
    labels = check(method, clustering, rows, 3)
    order = np.random.default_rng(1).permutation(len(rows))
    np.testing.assert_array_equal(method.predict(clustering, rows[order], options(method)), labels[order])
    for row in (0, 7):
        np.testing.assert_array_equal(
            method.predict(clustering, rows[row : row + 1], options(method)), labels[row : row + 1]
        )
    assert method.predict(clustering, rows[:0], options(method)).shape == (0,)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(
    "rows",
    [
        blobs(1),
        blobs(2),
        np.repeat(blobs(1), 9, axis=0),
        np.zeros((5, 4), np.float32),
        np.concatenate([np.zeros((2, 6), np.float32), blobs(7)]),
        np.full((6, 3), 1e15, np.float32),
        np.full((6, 3), 1e-30, np.float32),
    ],
    ids=["one row", "two rows", "equal rows", "zero rows", "some zero rows", "huge", "tiny"],
)
@pytest.mark.parametrize("k", [1, 2, 20])
def test_degenerate_rows(method, fit, rows: np.ndarray, k: int) -> None:
    # The stage scales rows to unit length before.
    rows = unit_rows(rows)
    check(method, fit(method, rows, k), rows, k)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_rows_that_are_given_stay_as_they_are(method, fit) -> None:
    rows = blobs()
    rows.flags.writeable = False
    check(method, fit(method, rows), rows, 3)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("norm_std", [False, True])
@pytest.mark.parametrize("pca", [0, 2, 50])
@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("rows", [blobs(), blobs(1), np.zeros((4, 6), np.float32), np.ones((4, 6), np.float32)])
def test_scaling_is_finite_and_row_by_row(rows: np.ndarray, norm_std: bool, pca: int, whiten: bool) -> None:
    scaling = fit_scaling([rows], rows.shape[1], norm_std=norm_std, pca=pca, whiten=whiten)
    scaled = scaling(rows)
    assert scaled.dtype == np.float32
    assert scaled.shape == (len(rows), min(pca, 6) or 6)
    assert np.isfinite(scaled).all()
    np.testing.assert_allclose(scaling(rows[:1]), scaled[:1], atol=1e-5)


def test_scaling_does_not_depend_on_the_length_of_rows() -> None:
    rows = blobs()
    scaling = fit_scaling([rows], rows.shape[1], norm_std=True, pca=3, whiten=True)
    np.testing.assert_allclose(scaling(rows * 7), scaling(rows), atol=1e-4)


@pytest.mark.parametrize("norm_std", [False, True])
@pytest.mark.parametrize("whiten", [False, True])
def test_a_projection_is_centred(norm_std: bool, whiten: bool) -> None:
    rows = blobs() + 5
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    scaled = fit_scaling([rows[:20], rows[20:]], rows.shape[1], norm_std=norm_std, pca=3, whiten=whiten)(rows)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    if not norm_std and not whiten:
        centred = unit - unit.mean(axis=0)
        left, singular, _ = np.linalg.svd(centred, full_matrices=False)
        np.testing.assert_allclose(np.abs(scaled), np.abs(left[:, :3] * singular[:3]), atol=1e-4)


def test_no_foreground_segment_is_one_line(tiny_project) -> None:
    tiny_project.set({"segments.background": "border", "segments.options.num_segments": 1})
    tiny_project.run_all("index", "features", "eigen", "segments", "crops")
    with pytest.raises(ParamsError, match=r"split 'train' has no foreground segment; set segments\.background: none"):
        tiny_project.run("cluster")
    assert not (tiny_project.path / "artifacts/cluster/train.zarr").exists()


@pytest.mark.parametrize("name", [name for name in METHODS if name not in TOKENS])
def test_every_method_in_the_stage(finished_project, name: str) -> None:
    finished_project.set({"cluster.method": name, "cluster.options": QUICK.get(name, {}), "cluster.k": 50})
    cluster = finished_project.run("cluster")
    rows = int(finished_project.artifact("crops")["num_segments"][:].sum())
    assert cluster["counts"][:].sum() == rows
    assert cluster["centers"].shape[0] == cluster["counts"].shape[0] <= 50


def test_the_clustering_is_fitted_on_one_split_only(finished_project) -> None:
    with pytest.raises(ParamsError, match=r"cluster: no split 'val' here \(known: train\)"):
        finished_project.run("cluster", "val")


def test_channel_weights_multiply_standardised_channels() -> None:
    rows = blobs()
    weights = [0.0, 2.0, 1.0, 1.0, 1.0, 1.0]
    plain = fit_scaling([rows], rows.shape[1], norm_std=True, pca=0, whiten=False)(rows)
    weighted = fit_scaling([rows], rows.shape[1], norm_std=True, pca=0, whiten=False, channel_weights=weights)(rows)
    np.testing.assert_allclose(weighted, plain * weights, rtol=1e-6)


def test_channel_weights_of_another_length_are_one_line(finished_project) -> None:
    finished_project.set({"cluster.channel_weights": [1, 2]})
    with pytest.raises(ParamsError, match=r"cluster\.channel_weights: found 2 numbers; .* have 46 channels; give one"):
        finished_project.run("cluster")
