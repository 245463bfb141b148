"""`cluster.rows: tokens`: the choice of tokens, and k-means and labels compared with plain NumPy."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.seeding import image_seed
from usseg.stages.cluster import rows as rows_module
from usseg.stages.cluster import token_sample
from usseg.stages.cluster.methods import METHODS, kmeans
from usseg.stages.cluster.token_sample import chosen_tokens, shares, token_rows

CHAIN = ("index", "features", "cluster", "assign", "refine", "evaluate", "report")
QUICK = {
    "abc": {"epochs": 2, "hidden": 8},
    "ot": {"iterations": 3},
    "primaps_em": {"init_epochs": 2, "epochs": 3, "batch": 2},
}
GUIDED = ("primaps_em",)  # methods that read proposals
few = settings(derandomize=True, deadline=None, max_examples=100)


@pytest.fixture
def project(tiny_project):
    """Images of different sizes, nothing run; their tokens are clustered."""
    tiny_project.set({"cluster.rows": "tokens", "cluster.norm_std": False, "cluster.k": 3})
    return tiny_project


def needed(name: str) -> tuple[str, ...]:
    """The further stages that a method reads, with those that they read."""
    return ("eigen", "segments") if name in GUIDED else ()


def all_tokens(features) -> list[np.ndarray]:
    """The tokens of each image without padding, float32."""
    return [
        patches[: h * w].astype(np.float32)
        for patches, (h, w) in zip(features["patches"][:], features["grid"][:], strict=True)
    ]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True), 1e-12)


@few
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 200), st.integers(0, 99))
def test_shares_are_even_and_exact(counts: list[int], most: int, seed: int) -> None:
    found = shares(np.array(counts), most, seed=seed)
    assert found.sum() == min(most, sum(counts))
    if most < sum(counts):
        even = np.array(counts) * most / sum(counts)
        assert (np.abs(found - even) < 1).all()
    assert ((found >= 0) & (found <= counts)).all()


def test_shares_of_very_many_tokens() -> None:
    found = shares(np.array([2**31, 1, 2**32]), 10**9, seed=0)
    assert found.sum() == 10**9
    assert found[2] == pytest.approx(2 * found[0], rel=1e-6)


def test_every_token_has_the_same_chance() -> None:
    counts, hits = np.array([1, 5, 2, 8]), np.zeros(16)
    starts = np.cumsum(counts) - counts
    for seed in range(4000):
        taken = shares(counts, 4, seed=seed)
        for i, start in enumerate(starts):
            hits[start + chosen_tokens(int(counts[i]), int(taken[i]), seed=image_seed(seed, f"photo{i}"))] += 1
    np.testing.assert_allclose(hits / 4000, 4 / 16, atol=0.03)  # four standard deviations


@pytest.mark.parametrize("read", [1, 200, 1 << 20])
@pytest.mark.parametrize("most", [1, 7, 30, 1000])
def test_rows_are_those_of_a_list(read: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_sample, "READ", read)
    counts, rng = np.array([4, 1, 9, 9, 3, 12]), np.random.default_rng(0)
    patches = np.full((6, 12, 2), np.nan, np.float16)
    for i, count in enumerate(counts):
        patches[i, :count] = rng.normal(size=(count, 2))
    taken, ids = shares(counts, most, seed=5), [f"photo{i}" for i in range(6)]
    pieces = list(token_rows(patches, counts, taken, ids, seed=5))
    expected = []
    for i, (count, share) in enumerate(zip(counts.tolist(), taken.tolist(), strict=True)):
        picks = range(count)
        if share < count:
            picks = sorted(
                np.random.default_rng(image_seed(5, ids[i])).choice(count, share, replace=False, shuffle=False)
            )
        expected += [patches[i, j] for j in picks]
    assert all(piece.dtype == np.float32 for piece in pieces)
    np.testing.assert_array_equal(np.concatenate(pieces), np.array(expected, np.float32))


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_kmeans_on_tokens_is_that_of_plain_numpy(project, metric: str) -> None:
    project.set({"cluster.options": {"metric": metric}})
    project.run_all("index", "features", "cluster", "assign")
    fitted, centers = all_tokens(project.artifact("features")), project.artifact("cluster")["centers"][:]
    rows = unit(np.concatenate(fitted)).astype(np.float32)
    alone = kmeans.fit(rows, np.ones(len(rows)), k=3, seed=0, options=kmeans.Options(metric=metric))
    np.testing.assert_allclose(centers, alone.centers, atol=1e-6)
    for split in ("train", "val"):
        assign = project.artifact("assign", split)
        assert assign["scores"].dtype == np.float16
        assert assign["segment_labels"].shape[1] == 0
        np.testing.assert_array_equal(assign["grid"][:], project.artifact("features", split)["grid"][:])
        tokens = all_tokens(project.artifact("features", split))
        for found, scores, margin, image in zip(
            assign["labels"][:], assign["scores"][:], assign["margin"][:], tokens, strict=True
        ):
            distances = ((unit(image)[:, None] - centers.astype(np.float64)) ** 2).sum(axis=2)
            nearest = distances.argmin(axis=1)
            np.testing.assert_array_equal(found[: len(image)], nearest + 1)
            np.testing.assert_allclose(
                scores[: len(image)], (distances.min(axis=1, keepdims=True) - distances) / 2, atol=2e-3
            )
            first, second = np.sort(np.sqrt(distances), axis=1)[:, :2].T
            np.testing.assert_allclose(margin[: len(image)], (second - first) / second, atol=1e-3)
            assert (margin[len(image) :] == 0).all()
            assert (scores[np.arange(len(image)), nearest] == 0).all()
            assert (found[len(image) :] == -1).all()
            assert (scores[len(image) :] == 0).all()
        counts = np.bincount(project.artifact("assign")["labels"][:].reshape(-1) + 1, minlength=5)[2:]
        np.testing.assert_array_equal(project.artifact("cluster")["counts"][:], counts)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_labels_tokens_by_its_largest_score(project, name: str) -> None:
    project.set({"cluster.method": name, "cluster.options": QUICK.get(name, {}), "cluster.norm_std": True})
    project.run_all("index", "features", *needed(name), "cluster", "assign")
    assign = project.artifact("assign")
    labels, scores = assign["labels"][:], assign["scores"][:]
    used = labels >= 0
    assert scores.max() == 0
    own = np.take_along_axis(scores, np.maximum(labels - 1, 0)[:, :, None].astype(np.int64), axis=2)[:, :, 0]
    assert (own[used] == 0).all()
    assert len(np.unique(labels[used])) > 1
    assert scores[used].min() < 0


def test_scores_of_tokens_are_linear(project) -> None:
    """So that scores interpolated between tokens are those of interpolated features."""
    rng = np.random.default_rng(0)
    rows, centers = rng.normal(size=(2, 5)).astype(np.float32), rng.normal(size=(4, 5)).astype(np.float32)
    clustering = kmeans.Clustering(centers, np.zeros(1))
    middle = kmeans.scores(clustering, rows.mean(axis=0, keepdims=True), kmeans.Options())
    np.testing.assert_allclose(middle[0], kmeans.scores(clustering, rows, kmeans.Options()).mean(axis=0), atol=1e-5)


def test_the_chain_has_no_segments(project) -> None:
    project.run_all(*CHAIN)
    assert not {"segments", "crops", "eigen"} & {path.name for path in (project.path / "artifacts").iterdir()}
    evaluate = project.artifact("evaluate")
    np.testing.assert_array_equal(evaluate["label"][:], [1, 2, 3])
    assert evaluate["confusion"][:].sum() == 4 * 48 * 63
    page = (project.path / "report/index.html").read_text()
    assert "kmeans, 3 clusters of tokens fitted on train" in page
    assert "Segments of each cluster" not in page


def test_a_sample_is_stated_and_fitted_alone(project, caplog: pytest.LogCaptureFixture) -> None:
    project.run_all("index", "features")
    project.set({"cluster.max_rows": 50, "cluster.norm_std": True})
    caplog.set_level(logging.WARNING)
    cluster = project.run("cluster")
    counts = np.array([len(image) for image in all_tokens(project.artifact("features"))])
    total = int(counts.sum())
    line = f"cluster@train: 50 of {total} tokens are clustered, a sample; cluster.max_rows leaves out {total - 50}"
    assert caplog.messages.count(line) == 1
    assert cluster["counts"][:].sum() == 50
    ids, patches = project.artifact("index")["id"], project.artifact("features")["patches"][:]
    sample = np.concatenate(list(token_rows(patches, counts, shares(counts, 50, seed=0), ids, seed=0)))
    mean = cluster["mean"][:]
    np.testing.assert_allclose(mean, unit(sample).mean(axis=0), atol=1e-6)
    project.set({"cluster.seed": 1})
    assert (project.run("cluster")["mean"][:] != mean).any()
    caplog.clear()
    project.set({"cluster.max_rows": total})
    assert project.run("cluster")["counts"][:].sum() == total
    assert "leaves out" not in caplog.text


def test_images_of_one_colour(project, save_image, caplog: pytest.LogCaptureFixture) -> None:
    for split in ("train", "val"):
        save_image(project.path / f"data/flat/{split}.png", np.full((24, 40, 3), 90, np.uint8))
    splits = {name: {"images": f"flat/{name}.png", "labels": None} for name in ("train", "val")}
    project.set({"index.splits": splits})
    project.run_all("index", "features")
    # A backbone that sees no place: every token is alike.
    project.set({"cluster.channel_weights": [0] * project.artifact("features")["patches"].shape[2]})
    project.run_all("cluster", "assign", "refine")
    assert "found cluster.k: 3, but there are only 1 different tokens; so many clusters are made" in caplog.text
    assign = project.artifact("assign", "val")
    assert set(assign["labels"][0].tolist()) == {1}
    assert assign["scores"].shape[2] == 1
    assert not assign["scores"][:].any()
    assert set(np.unique(project.artifact("refine", "val")["maps"][0])) == {1}


def test_odd_images(odd_project) -> None:
    odd_project.set({"cluster.rows": "tokens", "cluster.k": 4})
    odd_project.run_all("cluster", "assign", "refine")
    assign = odd_project.artifact("assign")
    counts = assign["grid"][:].prod(axis=1)
    np.testing.assert_array_equal((assign["labels"][:] >= 1).sum(axis=1), counts)
    assert np.isfinite(assign["scores"][:]).all()


def test_fewer_tokens_than_clusters_are_refused(project) -> None:
    project.set({"cluster.k": 20_000})
    project.run_all("index", "features")
    total = sum(map(len, all_tokens(project.artifact("features"))))
    with pytest.raises(
        ParamsError, match=rf"cluster\.k: found 20000; split 'train' has {total} tokens; at most that is allowed"
    ):
        project.run("cluster")


@pytest.mark.parametrize(
    ("edits", "line"),
    [
        ({"cluster.max_rows": 2}, r"cluster\.max_rows: found 2; cluster\.k: 3 clusters need as many rows at least"),
        (
            {"cluster.rows": "segments", "cluster.max_rows": 9},
            r"cluster\.max_rows: found 9; rows: segments does not read",
        ),
        (
            {"cluster.options.area_weight": 0.5},
            r"cluster\.options\.area_weight: found 0\.5; cluster\.rows: tokens are all",
        ),
        (
            {"evaluate.options.background": "ignored"},
            r"evaluate\.options\.background: found 'ignored'; cluster\.rows: tok",
        ),
        (
            {"evaluate.method": "objects"},
            r"evaluate\.method: found 'objects'; cluster\.rows: tokens leaves no background",
        ),
        (
            {"refine.method": "crf", "refine.options.labels": "each", "segments.background": "border"},
            r"refine\.options\.labels: found 'each'; cluster\.rows: tokens leaves no background",
        ),
        ({"cluster.rows": "pixels"}, r"cluster\.rows: found 'pixels'"),
    ],
)
def test_what_does_not_go_with_tokens_is_one_line(project, edits, line: str) -> None:
    project.set(edits)
    with pytest.raises(ParamsError, match=line):
        project.run("index")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("most", [60, 1_000_000])
def test_the_same_bytes_by_any_number_of_threads(project, name: str, most: int, monkeypatch) -> None:
    monkeypatch.setattr(rows_module, "BLOCK", 16)
    project.set({"cluster.method": name, "cluster.options": QUICK.get(name, {}), "cluster.max_rows": most})
    project.run_all("index", "features", *needed(name))
    project.run("cluster", workers=1)
    before = project.files("artifacts/cluster/train.zarr")
    project.set({"cluster.seed": 1})
    project.run("cluster", workers=1)
    assert project.files("artifacts/cluster/train.zarr") != before
    project.set({"cluster.seed": 0})
    project.run("cluster", workers=3)
    assert project.files("artifacts/cluster/train.zarr") == before
