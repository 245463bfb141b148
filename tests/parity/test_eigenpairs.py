"""Affinities and eigenpairs."""

import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.linalg import eigh

from usseg.stages.eigen.color import grid_image, knn_affinity, random_walk_affinity
from usseg.stages.eigen.eigenpairs import Eigenpairs
from usseg.stages.eigen.graph import feature_affinity, unit_rows
from usseg.stages.eigen.laplacian import degrees, normalized_laplacian_eigenpairs, plain_laplacian_eigenpairs
from usseg.stages.eigen.methods.affinity import affinity_eigenpairs
from usseg.stages.eigen.methods.svd import svd_eigenpairs

SOLVERS = ("dense", "iterative", "batched")
LAPLACIANS = {  # tolerance of the eigenvalues against the original, which is float32
    "laplacian_lambda0": 1e-4,
    "laplacian_lambda10": 1e-4,
    "laplacian_lambda10_rw": 1e-4,
    "laplacian_nothresh_lambda10": 3e-4,
    "laplacian_nolapnorm_lambda0": 1e-5,
    "laplacian_nolapnorm_lambda10": 1e-5,
    "laplacian_ds8_lambda10": 1e-4,
    "matting_laplacian_lambda10": 1e-4,
}
OTHERS = ("affinity", "affinity_svd", "affinity_torch")
CLEAR_GAP = 3e-3
DSM = "DSM `extract._extract_eig`"


def images(file) -> Iterator[str]:
    return (f"img{i}/" for i in range(int(file["num_images"])))


def number_in(variant: str, key: str) -> int:
    found = re.search(rf"{key}(\d+)", variant)
    return int(found[1]) if found else 0


def resampled_tokens(features_NC: np.ndarray, *, grid: tuple[int, int], new_grid: tuple[int, int]) -> np.ndarray:
    """Unit-length features, resized bilinearly and not scaled again: DSM's `image_downsample_factor`, not a param here."""
    tokens = torch.from_numpy(unit_rows(features_NC)).T.unflatten(1, grid)[None]
    resampled = torch.nn.functional.interpolate(tokens, size=new_grid, mode="bilinear", align_corners=False)
    return resampled[0].flatten(1).T.contiguous().numpy()


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max())


def graph(file, image: str, variant: str) -> np.ndarray:
    """The weights of a variant, colours from the file where it has them."""
    features, weight, factor = file[f"{image}F"], number_in(variant, "lambda"), number_in(variant, "ds")
    if factor:
        grid = (int(file[f"{image}h"]), int(file[f"{image}w"]))
        finer = tuple(side * int(file["patch_size"]) // factor for side in grid)
        resampled = resampled_tokens(features, grid=grid, new_grid=finer)
        color = knn_affinity(file[f"{image}image_lr_ds{factor}"]).toarray()
        return feature_affinity(resampled, normalize=False) + np.float64(weight) * color
    color = file[f"{image}W_color_{'rw' if variant.endswith('rw') else 'knn'}"]
    return feature_affinity(features, threshold="nothresh" not in variant) + np.float64(weight) * color


def orthonormal(vectors_KN: np.ndarray, degree: np.ndarray) -> np.ndarray:
    return np.linalg.qr((vectors_KN * np.sqrt(degree)).T)[0]


def principal_angle(first_KN: np.ndarray, second_KN: np.ndarray, degree: np.ndarray) -> float:
    """Largest angle between two subspaces in the metric of D, by its sine, which is exact for small angles."""
    a, b = orthonormal(first_KN, degree), orthonormal(second_KN, degree)
    return float(np.arcsin(min(1.0, np.linalg.norm(b - a @ (a.T @ b), 2))))


def compare_vectors(check, found: Eigenpairs, expected: np.ndarray, spectrum: np.ndarray, degree: np.ndarray) -> None:
    """Single vectors where the gaps around them are clear, their signs, and the subspace of all."""
    gaps = np.abs(np.diff(spectrum))
    clear = np.minimum(gaps, np.concatenate([[np.inf], gaps[:-1]])) > CLEAR_GAP
    for ours, theirs in zip(found.vectors[clear], expected[clear].astype(np.float64), strict=True):
        cosine = (ours * degree) @ theirs / np.sqrt((ours**2 @ degree) * (theirs**2 @ degree))
        check("vectors, 1 - cos", 1 - abs(cosine), 1e-3)
        share = (theirs > 0).mean()
        if 0 < share < 1 and abs(share - 0.5) > 0.02:
            check("signs", float(cosine < 0), 0)
    check("subspace, 1 - cos", 1 - np.cos(principal_angle(found.vectors, expected, degree)), 1e-3)


def test_every_variant_is_covered(golden) -> None:
    file = golden("dsm_affinity")
    variants = {key.split("/")[1] for key in file.files if key.endswith("/eigenvalues")}
    assert variants <= {*LAPLACIANS, *OTHERS}


def test_feature_affinity(golden, parity) -> None:
    file = golden("dsm_affinity")
    check = parity("feature affinity", feature_affinity, original=DSM, call="feature_affinity(F)")
    for image in images(file):
        check("W_feat", difference(feature_affinity(file[f"{image}F"]), file[f"{image}W_feat"]), 2e-6)


def test_color_affinities(golden, parity) -> None:
    file = golden("dsm_affinity")
    knn = parity(
        "k-NN colour affinity",
        knn_affinity,
        original="DSM `extract_utils.knn_affinity`",
        call="knn_affinity(image_lr).toarray()",
        differs="ties: the first pixel in row-major order; `eigen.options.legacy_double_scale: true` divides colours by 255 twice",
    )
    walk = parity(
        "random-walk colour affinity",
        random_walk_affinity,
        original="DSM `extract_utils.rw_affinity`",
        call="random_walk_affinity(image_lr).toarray()",
    )
    for image in images(file):
        sure = ~file[f"{image}knn_ambiguous_rows"]
        difference_knn = np.abs(knn_affinity(file[f"{image}image_lr"]).toarray() - file[f"{image}W_color_knn"])
        knn("without ties", difference_knn[np.ix_(sure, sure)].max(), 0)
        found = random_walk_affinity(file[f"{image}image_lr"]).toarray()
        walk("W_color", difference(found, file[f"{image}W_color_rw"]), 1e-6)


def test_image_at_grid_size(golden, parity) -> None:
    file = golden("dsm_affinity")
    check = parity(
        "image at grid size",
        grid_image,
        original=f"{DSM}, Pillow",
        call="grid_image(image_full, (h, w))",
        differs="by default the pixels under the grid are cropped first; `eigen.options.color_align: full` is DSM",
    )
    for image in images(file):
        if f"{image}image_full" in file.files:
            for key in ("image_lr", *(k.split("/")[1] for k in file.files if k.startswith(f"{image}image_lr_"))):
                expected = file[image + key]
                check("pixels", difference(grid_image(file[f"{image}image_full"], expected.shape[:2]), expected), 0)


@pytest.mark.parametrize("variant", LAPLACIANS)
def test_laplacian(golden, parity, variant: str) -> None:
    file = golden("dsm_affinity")
    plain = "nolapnorm" in variant
    solve = plain_laplacian_eigenpairs if plain else normalized_laplacian_eigenpairs
    features = {"nothresh": "F, threshold=False", "ds": "F bilinear on the finer grid, normalize=False"}
    argument = next((text for key, text in features.items() if key in variant), "F")
    weight = number_in(variant, "lambda")
    color = f" + {weight} * W_color" if weight else ""
    check = parity(
        variant,
        solve,
        feature_affinity,
        original=DSM,
        call=f"{solve.__name__}(feature_affinity({argument}){color}, k=K, solver=...)",
        differs="float64 from a fixed start; a null space is spanned by components, ties of the sign rule are settled"
        + "; ties of the k-NN colours, which are not in the file" * ("ds" in variant),
    )
    for image in images(file):
        key = f"{image}{variant}/"
        weights, expected = graph(file, image, variant), file[f"{key}eigenvectors"]
        stored64 = file[f"{key}check_eigenvalues_dense64"]
        k, degree = len(expected), degrees(weights)
        scale = degree.max() if plain else 1.0
        metric = np.ones(len(degree)) if plain else degree
        matrix = np.diag(degree) - weights
        values, vectors = eigh(matrix, None if plain else np.diag(degree), subset_by_index=[0, k - 1])
        for solver in SOLVERS if plain else (*SOLVERS, "lanczos", "block_lanczos"):
            found = solve(weights, k=k, solver=solver)
            check(f"{solver}: values, float64", difference(found.values, values) / scale, 1e-6)
            check(f"{solver}: angle, float64", principal_angle(found.vectors, vectors.T, metric), 1e-4)
        check("values, original", difference(found.values, file[f"{key}eigenvalues"]) / scale, LAPLACIANS[variant])
        check(
            "values, stored float64", difference(found.values, stored64[:k]) / scale, 1e-4 if "ds" in variant else 1e-6
        )
        compare_vectors(check, found, expected, stored64 / scale, metric)


def test_affinity(golden, parity) -> None:
    file = golden("dsm_affinity")
    check = parity(
        "affinity",
        affinity_eigenpairs,
        original=DSM,
        call="affinity_eigenpairs(feature_affinity(F), k=K)",
        differs="values are descending like their vectors; the original stores them ascending",
    )
    for image in images(file):
        stored, expected = file[f"{image}affinity/eigenvalues"], file[f"{image}affinity/eigenvectors"]
        weights = feature_affinity(file[f"{image}F"]).astype(np.float64)
        found = affinity_eigenpairs(weights, k=len(stored))
        check("values, original", difference(found.values[::-1], stored), 2e-3)
        values, vectors = np.linalg.eigh(weights)
        chosen = np.sort(np.argsort(-np.abs(values))[: len(stored)])[::-1]
        check("values, float64", difference(found.values, values[chosen]), 1e-6)
        check("angle, float64", principal_angle(found.vectors, vectors[:, chosen].T, np.ones(len(weights))), 1e-4)
        compare_vectors(check, found, expected, np.append(values[chosen], -np.inf), np.ones(len(weights)))


def test_singular_vectors(golden, parity) -> None:
    file = golden("dsm_affinity")
    check = parity("affinity_svd", svd_eigenpairs, unit_rows, original=DSM, call="svd_eigenpairs(unit_rows(F), k=K)")
    for image in images(file):
        stored, expected = file[f"{image}affinity_svd/eigenvalues"], file[f"{image}affinity_svd/eigenvectors"]
        features = unit_rows(file[f"{image}F"]).astype(np.float64)
        found = svd_eigenpairs(features, k=len(stored))
        check("values, original", difference(found.values, stored), 1e-4)
        squared, vectors = np.linalg.eigh(features @ features.T)
        spectrum = np.sqrt(np.maximum(squared[::-1][: len(stored) + 1], 0))
        check("values, float64", difference(found.values, spectrum[:-1]), 1e-6)
        top = vectors[:, ::-1][:, : len(stored)].T
        check("angle, float64", principal_angle(found.vectors, top, np.ones(len(features))), 1e-4)
        compare_vectors(check, found, expected, spectrum, np.ones(len(features)))
