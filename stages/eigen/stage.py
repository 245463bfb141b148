"""Solve the eigenproblem of every image."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from pipeline.artifact import ArraySpec
from pipeline.errors import ParamsError
from pipeline.params import Params
from pipeline.stage import Execution, Input, Inputs, Stage

DEGENERATE = 1 - 1e-6  # a second eigenvalue above this means that all tokens look alike
GRAPH_BYTES = 16  # an edge, with the copies that a solver makes


class EigenParams(Params):
    """Which graph, and how many eigenpairs."""

    affinity: Literal["cos_relu", "cos_mean_relu", "cos_third_relu", "binary", "affinity", "svd"] = Field(
        "cos_relu",
        description="graph weights; `affinity` and `svd` take DSM's eigenvectors of W and of the features instead",
    )
    threshold: bool = Field(True, description="cut similarities at zero")
    normalize: bool = Field(True, description="unit-length features")
    laplacian: Literal["normalized", "plain"] = Field("normalized", description="plain: DSM with lapnorm off")
    tau: float = Field(0.2, description="binary: similarity above which an edge is 1")
    eps: float = Field(1e-5, gt=0, description="binary: weight of the other edges")
    color_weight: float = Field(0.0, ge=0, description="lambda of the colour affinity")
    color: Literal["knn", "rw"] = Field("knn", description="k-NN or random-walk colour affinity")
    color_align: Literal["crop", "full"] = Field(
        "crop", description="full: resize the whole image as DSM does, off by up to a patch"
    )
    legacy_double_scale: bool = Field(
        False, description="colours divided by 255 twice, as DSM before February 2023 and SimSAM"
    )
    k: int = Field(15, ge=2, description="eigenpairs, the trivial one included")
    solver: Literal["auto", "lanczos", "dense", "iterative", "batched"] = Field(
        "auto", description="of a Laplacian: lanczos in float32, the others in float64; auto: by size and device"
    )


def sizes(params: EigenParams, inputs: Inputs) -> Mapping[str, int]:
    """K, and the tokens of the features artifact.

    Raises:
        ParamsError: the graph of the largest image does not fit into this machine.
    """
    import psutil

    tokens = inputs["features"]["patches"].shape[1]
    needed, present = GRAPH_BYTES * tokens**2, psutil.virtual_memory().total
    if needed > present:
        raise ParamsError(
            f"eigen: the largest image has {tokens} tokens, whose graph takes {needed / 2**30:.0f} GiB; this machine has "
            f"{present / 2**30:.0f}; set features.resize (pixels of the longer side) or a larger patch"
        )
    return {"eigenvector": params.k, "token": tokens, "side": 2}


def graph(
    params: EigenParams, features: npt.NDArray[Any], image: npt.NDArray[np.uint8] | None, grid: Any, extent: Any
) -> Any:
    """The weights of one image: features, plus colour where its weight is not zero."""
    from stages.eigen.affinity import feature_affinity
    from stages.eigen.color import grid_image, knn_affinity, random_walk_affinity, with_color

    kind = "cos_relu" if params.affinity == "affinity" else params.affinity
    weights = feature_affinity(
        features, kind=kind, normalize=params.normalize, threshold=params.threshold, tau=params.tau, eps=params.eps
    )
    if image is None:
        return weights
    covered = extent if params.color_align == "crop" else None
    small = grid_image(image, grid, extent=covered) / (255.0 if params.legacy_double_scale else 1.0)
    color = knn_affinity(small) if params.color == "knn" else random_walk_affinity(small)
    return with_color(weights, color, weight=params.color_weight)


def run(params: EigenParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Eigenpairs of a block; images with the same number of tokens share a batched call on a GPU."""
    from stages.eigen.affinity import unit_rows
    from stages.eigen.laplacian import (
        Eigenpairs,
        affinity_eigenpairs,
        normalized_laplacian_batch,
        plain_laplacian_eigenpairs,
        svd_eigenpairs,
    )

    source = inputs["features"]
    block = slice(images.start, images.stop)
    grids, extents = source["grid"][block], source["extent"][block]
    patches = source["patches"][block]
    count, tokens = len(images), patches.shape[1]
    out: dict[str, Any] = {
        "eigenvalues": np.zeros((count, params.k), np.float64),
        "eigenvectors": np.zeros((count, params.k, tokens), np.float32),
        "num_eigenvectors": np.zeros(count, np.int32),
        "components": np.zeros(count, np.int32),
        "degenerate": np.zeros(count, np.bool_),
        "grid": grids,
    }

    def weights_of(row: int) -> Any:
        image = inputs.image(images[row]) if params.color_weight else None
        features = patches[row, : int(grids[row].prod())]
        return graph(params, features, image, tuple(grids[row].tolist()), tuple(extents[row].tolist()))

    def store(row: int, pairs: Eigenpairs) -> None:
        number, nodes = pairs.vectors.shape
        out["eigenvalues"][row, :number] = pairs.values
        out["eigenvectors"][row, :number, :nodes] = pairs.vectors
        out["num_eigenvectors"][row] = number
        out["components"][row] = pairs.components
        alike = params.affinity not in ("affinity", "svd") and params.laplacian == "normalized"
        out["degenerate"][row] = number < 2 or (alike and pairs.values[1] > DEGENERATE)

    groups: dict[int, list[int]] = defaultdict(list)
    for row in range(count):
        groups[int(grids[row].prod())].append(row)
    for nodes, rows in groups.items():
        batch = execution.batch_size if execution.device != "cpu" else 1
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            if params.affinity == "svd":
                for row in part:
                    features = patches[row, :nodes]
                    store(row, svd_eigenpairs(unit_rows(features) if params.normalize else features, k=params.k))
            elif params.affinity == "affinity":
                for row in part:
                    store(row, affinity_eigenpairs(weights_of(row), k=params.k))
            elif params.laplacian == "plain":
                for row in part:
                    weights = weights_of(row)
                    pairs = plain_laplacian_eigenpairs(
                        weights, k=params.k, solver=params.solver, device=execution.device
                    )
                    store(row, pairs)
            else:
                graphs = [weights_of(row) for row in part]
                solved = normalized_laplacian_batch(graphs, k=params.k, solver=params.solver, device=execution.device)
                for row, pairs in zip(part, solved, strict=True):
                    store(row, pairs)
    return out


STAGE = Stage(
    name="eigen",
    summary="Solve for the smallest eigenpairs of each image's graph Laplacian.",
    version=1,
    params=EigenParams,
    inputs=(Input("index"), Input("features")),
    arrays={
        "eigenvalues": ArraySpec(("image", "eigenvector"), "float64", "ascending (descending for affinity and svd)"),
        "eigenvectors": ArraySpec(
            ("image", "eigenvector", "token"), "float32", "D-orthonormal rows, row 0 trivial; padded with 0"
        ),
        "num_eigenvectors": ArraySpec(("image",), "int32", "rows that are valid: min(k, tokens)"),
        "components": ArraySpec(
            ("image",), "int32", "connected components of the graph, tokens without edges left out"
        ),
        "degenerate": ArraySpec(("image",), "bool", "all tokens look alike: rows from 1 on mean nothing"),
        "grid": ArraySpec(("image", "side"), "int32", "rows and columns of tokens"),
    },
    sizes=sizes,
    run=run,
)
