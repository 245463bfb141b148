"""Parity that needs no golden vectors: numbers that original code returned, and float64 restatements of its steps.

The confusion tables and scores come from `uss_metrics.npz` of the golden vectors: what `UnsupervisedMetrics` of STEGO
(mhamilton723/STEGO, commit eb4d6b5) and of PriMaPs (visinf/primaps, commit 7ca7757) returned. The inputs of the other
vectors are too large to state, so features are drawn from a seed here, and what is expected is the original's steps,
written out plainly in float64 below.
"""

import numpy as np
import pytest
from scipy.linalg import eigh
from scipy.ndimage import label

from usseg.stages.eigen.graph import feature_affinity
from usseg.stages.eigen.laplacian import normalized_laplacian_eigenpairs
from usseg.stages.eigen.methods.affinity import affinity_eigenpairs
from usseg.stages.evaluate.confusion_scores import confusion_scores
from usseg.stages.evaluate.matching import drop_surplus, hungarian, many_to_one, matched_confusion
from usseg.stages.segments.methods import maskcut, primaps, tokencut

SURPLUS = [  # 7 clusters (rows), 5 classes (columns)
    [220, 1711, 63, 178, 191],
    [177, 190, 54, 194, 1851],
    [169, 170, 45, 1736, 175],
    [208, 173, 537, 190, 200],
    [1810, 167, 63, 186, 211],
    [164, 174, 2104, 199, 169],
    [882, 179, 57, 179, 194],
]
ABSENT = [  # class 4 has no pixel and no cluster
    [3031, 404, 384, 391, 0],
    [497, 2355, 390, 403, 0],
    [474, 435, 2343, 420, 0],
    [503, 396, 427, 2371, 0],
    [0, 0, 0, 0, 0],
]
EQUAL = [
    [231, 251, 373, 1840, 271],
    [1615, 214, 413, 253, 257],
    [215, 1640, 406, 274, 271],
    [218, 238, 2828, 254, 230],
    [205, 239, 408, 240, 1859],
]
GRID = (8, 10)
SEEDS = (
    1,
    5,
    7,
)  # of which no cosine, eigenvalue or entry of an eigenvector lies at a threshold or beside its neighbour


def objects_on_a_ground(seed: int) -> np.ndarray:
    """Features (token, channel), float32:

    two rectangles on a ground, noise on all of them. No corner is in a rectangle.
    """
    rng = np.random.default_rng(seed)
    kinds = np.zeros(GRID, np.int64)
    kinds[2:6, 1:5] = 1
    kinds[1:5, 7:9] = 2
    return (rng.normal(size=(3, 16))[kinds.reshape(-1)] + rng.normal(0, 0.6, (kinds.size, 16))).astype(np.float32)


def cosines(features: np.ndarray) -> np.ndarray:
    unit = features.astype(np.float64)
    lengths = np.linalg.norm(unit, axis=1, keepdims=True)
    unit = np.divide(unit, lengths, out=np.zeros_like(unit), where=lengths > 0)
    return unit @ unit.T


def second_vector(graph: np.ndarray) -> np.ndarray:
    degrees = np.diag(graph.sum(axis=1))
    return eigh(degrees - graph, degrees, subset_by_index=[1, 1])[1][:, 0]


def piece_of(side: np.ndarray, seed: int) -> np.ndarray:
    pieces = label(side.reshape(GRID))[0]
    return pieces == pieces.reshape(-1)[seed]


@pytest.mark.parametrize(
    ("table", "miou", "accuracy"),
    [
        (EQUAL, 46.77974283695221, 64.1737163066864),
        (SURPLUS, 52.276819944381714, 70.33765912055969),
        (ABSENT, 49.485987424850464, 66.3426160812378),
    ],
)
def test_scores_of_stego(table: list[list[int]], miou: float, accuracy: float) -> None:
    found = drop_surplus(np.array(table))
    result = confusion_scores(found, hungarian(found), extra_row=len(table) > 5)
    assert 100 * result.miou == pytest.approx(miou, abs=1e-3)
    assert 100 * result.accuracy == pytest.approx(accuracy, abs=1e-3)


@pytest.mark.parametrize(
    ("table", "miou", "accuracy", "iou"),
    [
        (EQUAL, 46.77974283695221, 64.1737163066864, [44.600941, 43.756668, 52.682560, 46.149986, 46.708542]),
        (SURPLUS, 53.50193977355957, 70.079106092453, [55.322647, 50.087822, 60.022728, 50.745399, 51.331116]),
        (ABSENT, 49.485987424850464, 66.3426160812378, [53.325123, 48.258198, 48.081264, 48.279374, np.nan]),
    ],
)
def test_scores_of_primaps(table: list[list[int]], miou: float, accuracy: float, iou: list[float]) -> None:
    counts = np.array(table)
    result = confusion_scores(counts, many_to_one(counts))
    assert 100 * result.miou == pytest.approx(miou, abs=1e-3)
    assert 100 * result.accuracy == pytest.approx(accuracy, abs=1e-3)
    np.testing.assert_allclose(100 * result.iou, iou, atol=1e-3)


def test_matched_tables() -> None:
    """Rows of classes; PriMaPs adds the surplus clusters 3 and 6 to classes 2 and 0."""
    stego = drop_surplus(np.array(SURPLUS))
    np.testing.assert_array_equal(
        matched_confusion(stego, hungarian(stego)),
        [
            [1810, 167, 63, 186, 211],
            [220, 1711, 63, 178, 191],
            [208, 173, 537, 190, 200],
            [169, 170, 45, 1736, 175],
            [177, 190, 54, 194, 1851],
        ],
    )
    merged = matched_confusion(np.array(SURPLUS), many_to_one(np.array(SURPLUS)))
    np.testing.assert_array_equal(merged[[0, 2]], [[2692, 346, 120, 365, 405], [372, 347, 2641, 389, 369]])


@pytest.mark.parametrize("seed", SEEDS)
def test_affinity_and_eigenpairs_of_dsm(seed: int) -> None:
    """`extract._extract_eig`: F F^T of unit rows, negatives are 0, over the largest; (D - W) y = lambda D y."""
    features = objects_on_a_ground(seed)
    weights = np.maximum(cosines(features), 0)
    weights /= weights.max()
    np.testing.assert_allclose(feature_affinity(features), weights, atol=2e-6)
    degrees = np.diag(weights.sum(axis=1))
    values, vectors = eigh(degrees - weights, degrees, subset_by_index=[0, 4])
    found = normalized_laplacian_eigenpairs(weights, k=5, solver="dense")
    np.testing.assert_allclose(found.values, values, atol=1e-8)
    for ours, theirs in zip(found.vectors[:3], vectors.T[:3], strict=True):  # of the two kinds beside the ground
        assert abs(ours @ degrees @ theirs) == pytest.approx(1, abs=1e-6)
        if 0 < (ours > 0).mean() < 1:
            assert (ours > 0).mean() <= 0.5  # the sign rule of DSM: the smaller side is positive
    largest = np.sort(np.abs(eigh(weights)[0]))[::-1][:5]
    np.testing.assert_allclose(np.sort(np.abs(affinity_eigenpairs(weights, k=5).values))[::-1], largest, atol=1e-8)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_mask_of_tokencut(seed: int, binary: bool) -> None:
    """`object_discovery.ncut`: above the mean or not, the side of the largest |v|, the piece that holds it."""
    features = objects_on_a_ground(seed)
    similar = cosines(features)
    vector = second_vector(np.where(similar > 0.2, 1.0 if binary else similar, 1e-5))
    side, top = vector > vector.mean(), int(np.abs(vector).argmax())
    expected = piece_of(side if side[top] else ~side, top)
    found = tokencut.object_mask(features, GRID, tau=0.2, eps=1e-5, binary=binary)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_first_mask_of_maskcut(seed: int) -> None:
    """`maskcut.maskcut_forward`: as TokenCut, but a side with three corners of the image is never the object."""
    features = objects_on_a_ground(seed)
    vector = second_vector(np.where(cosines(features) > 0.15, 1.0, 1e-5))
    # usseg takes the sign of the largest entry; the original has that of its solver.
    vector *= np.sign(vector[np.abs(vector).argmax()])
    side = vector > vector.mean()
    corners = side.reshape(GRID)[[0, 0, -1, -1], [0, -1, 0, -1]].sum()
    if corners >= 3 or not side[np.abs(vector).argmax()]:
        side, vector = ~side, -vector
    expected = piece_of(side, int(vector.argmax()))
    found = maskcut.object_masks(features, GRID, masks=1, tau=0.15, eps=1e-5, released=True)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(found[0], expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_first_mask_of_primaps(seed: int) -> None:
    """`PriMaPs._get_pseudo`:

    the token nearest to the first principal direction, similarities to it, those below psi are 0.
    """
    features = objects_on_a_ground(seed).astype(np.float64)
    direction = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)[2][0]
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similar = cosines(features)[int((unit @ direction).argmax())]
    similar /= similar.max()
    expected = np.where(similar < 0.4, 0.0, similar)
    assert abs(primaps.principal_direction(features) @ direction) == pytest.approx(1, abs=1e-8)
    left = np.ones(len(features), np.bool_)
    anchor = int((unit @ direction).argmax())
    found = primaps.proposal(primaps.unit_tokens(features), left, anchor, threshold=0.4)
    np.testing.assert_allclose(found, expected, atol=1e-8)
