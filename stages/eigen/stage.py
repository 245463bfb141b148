"""Solve the eigenproblem of every image."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.params import Params, Seed, refused, validate
from usseg.pipeline.seeding import image_seed
from usseg.pipeline.stage import Input, Stage

DEGENERATE = 1 - 1e-6  # a second eigenvalue above this, of the largest degree, means that all tokens look alike
log = logging.getLogger("usseg")
LARGE = 1e6  # of a number that has no natural bound
I64 = npt.NDArray[np.int64]
GRAPH_BYTES = 16  # an edge, with the copies that a solver makes


class EigenParams(Params):
    """Which graph, and how many eigenpairs."""

    affinity: Literal[
        "cos_relu", "cos_mean_relu", "cos_third_relu", "binary", "simsam", "simsam_released", "pca", "affinity", "svd"
    ] = Field(
        "cos_relu",
        description="graph weights; `affinity` and `svd` take DSM's eigenvectors of W and of the features instead",
    )
    threshold: bool = Field(True, description="cut similarities at zero")
    normalize: bool = Field(True, description="unit-length features")
    laplacian: Literal["normalized", "plain"] = Field("normalized", description="plain: DSM with lapnorm off")
    tau: float = Field(0.2, ge=-LARGE, le=LARGE, description="binary: similarity above which an edge is 1")
    eps: float = Field(1e-5, gt=0, le=1, description="binary: weight of the other edges")
    color_weight: float = Field(0.0, ge=0, le=LARGE, description="lambda of the colour affinity")
    color: Literal["knn", "rw"] = Field("knn", description="k-NN or random-walk colour affinity")
    color_align: Literal["crop", "full"] = Field(
        "crop", description="full: resize the whole image as DSM does, off by up to a patch"
    )
    legacy_double_scale: bool = Field(
        False, description="colours divided by 255 twice, as DSM before February 2023 and SimSAM"
    )
    seed: Seed = Field(0, description="simsam, simsam_released: of the heads and the views")
    options: dict[str, Any] = Field({}, description="of simsam, simsam_released and pca")
    k: int = Field(15, ge=2, le=4096, description="eigenpairs, the trivial one included")
    solver: Literal["auto", "lanczos", "block_lanczos", "dense", "iterative", "batched"] = Field(
        "auto",
        description="of a Laplacian: the two lanczos in float32, the others in float64; auto: by size and device",
    )


class ProjectionOptions(Params):
    """Options of the affinities `simsam`, `simsam_released` and `pca`."""

    weight: float = Field(0.1, ge=0, le=LARGE, description="kappa, of the projection beside the features")


class TrainingOptions(ProjectionOptions):
    """Options of affinity `simsam`."""

    epochs: int = Field(10, ge=1, le=100_000)
    lr: float = Field(0.06, gt=0, le=100)
    batch: int | None = Field(None, ge=1, le=1_000_000, description="tokens a step; null: all. The released code has 2")


class PcaOptions(ProjectionOptions):
    """Options of affinity `pca`."""

    components: int = Field(64, ge=1, le=4096)


KINDS = {  # what is done to the similarities, where it is not the affinity's own name
    "affinity": "cos_relu",
    "simsam": "cos_mean_relu",
    "simsam_released": "cos_third_relu",
    "pca": "cos_mean_relu",
}
PROJECTIONS: dict[str, type[Params]] = {
    "simsam": TrainingOptions,
    "simsam_released": ProjectionOptions,
    "pca": PcaOptions,
}


def projection_options(params: EigenParams) -> Any:
    """The options of this affinity, checked; they are refused where it has none."""
    return validate(
        params.options,
        PROJECTIONS.get(params.affinity, Params),
        where=f"params.yaml: eigen.options ({params.affinity})",
    )


def check(sections: Mapping[str, Any]) -> None:
    """Refuse what this affinity or this Laplacian has not."""
    params = sections["eigen"]
    if params.affinity in ("affinity", "svd"):
        none = f"affinity: {params.affinity} solves no Laplacian"
        if params.solver != "auto":
            raise refused("eigen.solver", params.solver, f"{none}; set auto")
        if params.laplacian != "normalized":
            raise refused("eigen.laplacian", params.laplacian, f"{none}; set normalized")
        if params.affinity == "svd" and params.color_weight:
            raise refused(
                "eigen.color_weight", params.color_weight, "affinity: svd has no graph to add colours to; set 0.0"
            )
    elif params.laplacian == "plain" and params.solver in ("lanczos", "block_lanczos"):
        raise refused("eigen.solver", params.solver, "laplacian: plain needs auto, dense, iterative or batched")


def sizes(params: EigenParams, inputs: Inputs) -> Mapping[str, int | I64]:
    """K, and the tokens of each image.

    Raises:
        ParamsError: no image has k tokens, or the graph of the largest image does not fit into this machine.
    """
    import psutil

    tokens = inputs["features"]["grid"][:].prod(axis=1, dtype=np.int64)
    largest = int(tokens.max())
    if params.k > largest:
        raise refused(
            "eigen.k", params.k, f"the largest image of {inputs.split} has {largest} tokens; at most that is allowed"
        )
    needed, present = GRAPH_BYTES * largest**2, psutil.virtual_memory().total
    if needed > present:
        raise ParamsError(
            f"eigen: the largest image has {largest} tokens, whose graph takes {needed / 2**30:.0f} GiB; this machine has "
            f"{present / 2**30:.0f}; set features.resize (pixels of the longer side) or a larger patch"
        )
    return {"eigenvector": params.k, "token": tokens, "side": 2}


def projections(
    params: EigenParams, features: list[npt.NDArray[Any]], grids: list[Any], names: list[str], device: str
) -> list[Any]:
    """What an affinity adds to the features of images with equally many tokens: (token, component) each; None for most.

    Heads are trained on the device, all images at once.
    """
    from usseg.stages.eigen.affinity import principal_scores, unit_rows

    options = projection_options(params)
    if params.affinity == "pca":
        return [principal_scores(rows, components=options.components) for rows in features]
    if params.affinity not in PROJECTIONS:
        return [None] * len(features)
    import torch

    from usseg.stages.eigen.siamese import collapsed, random_heads, token_orders, token_views, train_heads

    seeds = [image_seed(params.seed, name) for name in names]
    rows = np.stack([unit_rows(part) for part in features])
    heads = random_heads(seeds, rows.shape[2], device=device)
    tokens = torch.from_numpy(rows).to(device)
    if params.affinity == "simsam_released":
        return list(heads.predict(tokens).cpu().numpy())
    drawn = [token_views(part, grid, seed=seed) for part, grid, seed in zip(rows, grids, seeds, strict=True)]
    inside = np.stack([mask for _, mask in drawn])
    trained = train_heads(
        np.stack([views for views, _ in drawn], axis=1),
        heads,
        weights_BN=inside,
        lr=options.lr,
        epochs=options.epochs,
        orders=token_orders(seeds, rows.shape[1], epochs=options.epochs) if options.batch else None,
        batch=options.batch,
    )
    predicted = trained.heads.predict(trained.heads.project(tokens))
    for name in np.array(names)[collapsed(predicted, np.ones(rows.shape[:2]))]:
        log.warning(
            "eigen: simsam: the heads of %s no longer tell its tokens apart; try fewer epochs or a smaller lr", name
        )
    return [unit_rows(part) for part in predicted.cpu().numpy()]


def small_image(params: EigenParams, image: npt.NDArray[np.uint8], grid: Any, extent: Any, offset: Any) -> Any:
    """The colours of an image at grid size, (row, column, 3)."""
    from usseg.stages.eigen.color import grid_image

    covered = extent if params.color_align == "crop" else None
    return grid_image(image, grid, extent=covered, offset=offset) / (255.0 if params.legacy_double_scale else 1.0)


def graph(params: EigenParams, features: npt.NDArray[Any], projected: Any, small: Any) -> npt.NDArray[np.float32]:
    """The weights of one image: features, what is projected of them, and the colours of a small image, where not None."""
    from usseg.stages.eigen.affinity import feature_affinity, projected_affinity
    from usseg.stages.eigen.color import knn_affinity, random_walk_affinity, with_color

    kind = KINDS.get(params.affinity, params.affinity)
    if projected is not None:
        weight = projection_options(params).weight
        weights = projected_affinity(features, projected, weight=weight, kind=kind, threshold=params.threshold)
    else:
        weights = feature_affinity(
            features, kind=kind, normalize=params.normalize, threshold=params.threshold, tau=params.tau, eps=params.eps
        )
    if small is None:
        return weights
    color = knn_affinity(small) if params.color == "knn" else random_walk_affinity(small)
    return with_color(weights, color, weight=params.color_weight)


def graphs_on(device: str, params: EigenParams, features: list[Any], projected: list[Any], smalls: list[Any]) -> Any:
    """`graph` of images with equally many tokens by torch: a tensor (image, token, token) on the device."""
    import torch

    from usseg.stages.eigen.affinity import affinity_batch
    from usseg.stages.eigen.color import knn_affinity_on, random_walk_affinity_on

    extra = None if projected[0] is None else torch.from_numpy(np.stack(projected)).to(device, torch.float32)
    weights = affinity_batch(
        torch.from_numpy(np.stack(features)).to(device, torch.float32),
        kind=KINDS.get(params.affinity, params.affinity),
        normalize=params.normalize or extra is not None,
        threshold=params.threshold,
        tau=params.tau,
        eps=params.eps,
        projected_BNP=extra,
        weight=0.0 if extra is None else projection_options(params).weight,
    )
    color = knn_affinity_on if params.color == "knn" else random_walk_affinity_on
    for row, small in enumerate(smalls):
        if small is not None:
            weights[row] += params.color_weight * color(device, small)
    return weights


def one_direction(sizes_K: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Whether the second largest of these is nothing beside the largest, (1,) or, of a single one, (0,)."""
    ordered = np.sort(sizes_K)[::-1]
    return np.asarray(ordered[1:2] <= (1 - DEGENERATE) * ordered[0])


def run(params: EigenParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Eigenpairs of a block; images with the same number of tokens share a batched call on a GPU."""
    from usseg.stages.eigen.affinity import unit_rows
    from usseg.stages.eigen.laplacian import (
        Eigenpairs,
        affinity_eigenpairs,
        degrees,
        normalized_laplacian_batch,
        plain_laplacian_eigenpairs,
        svd_eigenpairs,
    )

    source = inputs["features"]
    block = slice(images.start, images.stop)
    grids, extents, offsets = (source[name][block] for name in ("grid", "extent", "offset"))
    patches = source["patches"]
    ids = inputs["index"]["id"]
    nodes_of = grids.prod(axis=1).tolist()
    count, tokens = len(images), max(nodes_of)
    out: dict[str, Any] = {
        "eigenvalues": np.zeros((count, params.k), np.float64),
        "eigenvectors": np.zeros((count, params.k, tokens), np.float32),
        "num_eigenvectors": np.zeros(count, np.int32),
        "components": np.zeros(count, np.int32),
        "degenerate": np.zeros(count, np.bool_),
        "grid": grids,
    }

    def parts_of(rows: list[int]) -> tuple[list[Any], list[Any], list[Any]]:
        """Features, what is projected of them, and small images."""
        features = [patches[images[row], : nodes_of[row]] for row in rows]
        shapes = [tuple(grids[row].tolist()) for row in rows]
        projected = projections(params, features, shapes, [ids[images[row]] for row in rows], execution.device)
        smalls: list[Any] = [None] * len(rows)
        if params.color_weight:
            covered, first = ([tuple(part[row].tolist()) for row in rows] for part in (extents, offsets))
            read = (inputs.image(images[row]) for row in rows)
            smalls = [small_image(params, *part) for part in zip(read, shapes, covered, first, strict=True)]
        return features, projected, smalls

    def weights_of(rows: list[int]) -> Iterator[Any]:
        for part in zip(*parts_of(rows), strict=True):
            yield graph(params, *part)

    def store(row: int, pairs: Eigenpairs, alike: npt.NDArray[np.bool_]) -> None:
        number, nodes = pairs.vectors.shape
        out["eigenvalues"][row, :number] = pairs.values
        out["eigenvectors"][row, :number, :nodes] = pairs.vectors
        out["num_eigenvectors"][row] = number
        out["components"][row] = pairs.components
        out["degenerate"][row] = number < 2 or alike.all()

    done = 0
    groups: dict[int, list[int]] = defaultdict(list)
    for row in range(count):
        groups[nodes_of[row]].append(row)
    for nodes, rows in groups.items():
        batch = execution.batch_size if execution.device != "cpu" else 1
        for start in range(0, len(rows), batch):
            part = rows[start : start + batch]
            if params.affinity == "svd":
                for row in part:
                    features = patches[images[row], :nodes]
                    pairs = svd_eigenpairs(unit_rows(features) if params.normalize else features, k=params.k)
                    store(row, pairs, one_direction(pairs.values**2))
            elif params.affinity == "affinity":
                for row, weights in zip(part, weights_of(part), strict=True):
                    pairs = affinity_eigenpairs(weights, k=params.k)
                    store(row, pairs, one_direction(np.abs(pairs.values)))
            elif params.laplacian == "plain":
                for row, weights in zip(part, weights_of(part), strict=True):
                    pairs = plain_laplacian_eigenpairs(
                        weights, k=params.k, solver=params.solver, device=execution.device
                    )
                    store(row, pairs, pairs.values[1:2] > DEGENERATE * degrees(weights).max())
            else:
                there = execution.device != "cpu"
                graphs = graphs_on(execution.device, params, *parts_of(part)) if there else list(weights_of(part))
                solved = normalized_laplacian_batch(graphs, k=params.k, solver=params.solver, device=execution.device)
                for row, pairs in zip(part, solved, strict=True):
                    store(row, pairs, pairs.values[1:2] > DEGENERATE)
            done += len(part)
            execution.progress(done, count)
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
    options=projection_options,
    check=check,
    gpu=lambda params, inputs: params.affinity not in ("affinity", "svd"),
)
