"""Solve the eigenproblem of every image."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.memory import refuse_graph
from usseg.pipeline.methods import Methods
from usseg.pipeline.params import MethodParams, refused
from usseg.pipeline.stage import Input, Stage

if TYPE_CHECKING:
    from usseg.stages.eigen.eigenpairs import Eigenpairs
    from usseg.stages.eigen.method import AffinityMethod, TokenBatch
    from usseg.stages.eigen.options import ColorOptions

GRAPH_BYTES = 16  # an edge, with the copies that a solver makes


class EigenParams(MethodParams):
    """Which graph, and how many eigenpairs."""

    affinity: str = Field("cos_relu", description="a method of stages/eigen/methods")
    k: int = Field(15, ge=2, le=4096, description="eigenpairs, the trivial one included")

    @property
    def of_laplacian(self) -> bool:
        """Whether the eigenpairs are those of a graph Laplacian, for the checks of other stages."""
        return bool(methods()[self.affinity].laplacian)


def methods() -> Methods[Any]:
    """The table of affinities."""
    from usseg.stages.eigen.methods import METHODS

    return METHODS


def check(sections: Mapping[str, Any]) -> None:
    """Refuse shared options that do not go together, or with the way that images are fitted."""
    from usseg.stages.eigen.options import check_graph

    check_graph(sections["eigen"].options, sections)


def sizes(params: EigenParams, inputs: Inputs) -> Mapping[str, int | npt.NDArray[np.int64]]:
    """K, and the tokens of each image.

    Raises:
        ParamsError: no image has k tokens, or the graph of the largest image does not fit into this machine.
    """
    tokens = inputs["features"]["grid"][:].prod(axis=1, dtype=np.int64)
    largest = int(tokens.max())
    if params.k > largest:
        raise refused(
            "eigen.k", params.k, f"the largest image of {inputs.split} has {largest} tokens; at most that is allowed"
        )
    refuse_graph(f"eigen@{inputs.split}", largest, pair_bytes=GRAPH_BYTES)
    return {"eigenvector": params.k, "token": tokens, "side": 2}


def batches(grids: npt.NDArray[np.int32], *, largest: int) -> Iterator[list[int]]:
    """Rows of images with equally many tokens, at most so many at a time."""
    groups: dict[int, list[int]] = defaultdict(list)
    for row, nodes in enumerate(grids.prod(axis=1).tolist()):
        groups[nodes].append(row)
    for rows in groups.values():
        for start in range(0, len(rows), largest):
            yield rows[start : start + largest]


@dataclass(frozen=True)
class Block:
    """Images of one call of `run`, and what is stored of them: pixels (image, side) that the grid covers, and the first of them."""

    images: range
    grids: npt.NDArray[np.int32]
    extents: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int32]
    inputs: Inputs

    @classmethod
    def of(cls, images: range, inputs: Inputs) -> "Block":
        """Read everything but tokens and pixels."""
        grids, extents, offsets = (
            inputs["features"][name][images.start : images.stop] for name in ("grid", "extent", "offset")
        )
        return cls(images, grids, extents, offsets, inputs)

    def tokens(self, rows: list[int], params: EigenParams, device: str) -> "TokenBatch":
        """What an affinity gets of images with equally many tokens."""
        from usseg.stages.eigen.method import TokenBatch
        from usseg.stages.eigen.options import ColorOptions

        patches, ids = self.inputs["features"]["patches"], self.inputs["index"]["id"]
        nodes = int(self.grids[rows[0]].prod())
        options: Any = params.options
        colored = isinstance(options, ColorOptions) and options.color_weight > 0
        features = np.stack([patches[self.images[row], :nodes] for row in rows])
        return TokenBatch(
            features=features.astype(np.float32, copy=False),
            grids=[pair(self.grids[row]) for row in rows],
            ids=[str(ids[self.images[row]]) for row in rows],
            colors=[self.colors(row, options) for row in rows] if colored else [],
            device=device,
            k=params.k,
        )

    def colors(self, row: int, options: "ColorOptions") -> npt.NDArray[np.float64]:
        """The colours of an image at grid size, (row, column, 3)."""
        from usseg.stages.eigen.color import grid_image

        covered = pair(self.extents[row]) if options.color_align == "crop" else None
        pixels = self.inputs.image(self.images[row])
        small = grid_image(pixels, pair(self.grids[row]), extent=covered, offset=pair(self.offsets[row]))
        return small / (255.0 if options.legacy_double_scale else 1.0)


def pair(sides: npt.NDArray[np.integer]) -> tuple[int, int]:
    """Two numbers of Python."""
    rows, columns = sides.tolist()
    return rows, columns


def solved(params: EigenParams, tokens: "TokenBatch", device: str) -> "list[Eigenpairs]":
    """The eigenpairs of every image of a batch; those of a Laplacian are solved for on the device."""
    from usseg.stages.eigen.color import add_colors
    from usseg.stages.eigen.laplacian import laplacian_eigenpairs

    method: AffinityMethod = methods()[params.affinity]
    options: Any = params.options
    found: Any = method.call(tokens, options)
    if not method.laplacian:
        return list(found)
    graphs = list(found) if isinstance(found, np.ndarray) else found
    add_colors(graphs, tokens.colors, color=options.color, weight=options.color_weight)
    return laplacian_eigenpairs(graphs, laplacian=options.laplacian, k=params.k, solver=options.solver, device=device)


def run(params: EigenParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Eigenpairs of a block; images with the same number of tokens share a batched call on a GPU."""
    method: AffinityMethod = methods()[params.affinity]
    options: Any = params.options
    device = execution.device if method.gpu(options) else "cpu"
    # The plain Laplacian is solved one by one, of a graph that NumPy makes.
    graph_device = "cpu" if method.laplacian and options.laplacian == "plain" else device
    block = Block.of(images, inputs)
    count, tokens = len(images), int(block.grids.prod(axis=1).max())
    out: dict[str, Any] = {
        "eigenvalues": np.zeros((count, params.k), np.float64),
        "eigenvectors": np.zeros((count, params.k, tokens), np.float32),
        "num_eigenvectors": np.zeros(count, np.int32),
        "components": np.zeros(count, np.int32),
        "degenerate": np.zeros(count, np.bool_),
        "grid": block.grids,
    }
    done = 0
    for rows in batches(block.grids, largest=execution.batch_size if graph_device != "cpu" else 1):
        pairs_of = solved(params, block.tokens(rows, params, graph_device), device)
        for row, pairs in zip(rows, pairs_of, strict=True):
            number, nodes = pairs.vectors.shape
            out["eigenvalues"][row, :number] = pairs.values
            out["eigenvectors"][row, :number, :nodes] = pairs.vectors
            out["num_eigenvectors"][row] = number
            out["components"][row] = pairs.components
            out["degenerate"][row] = pairs.degenerate
        done += len(rows)
        execution.progress(done, count)
    return out


STAGE = Stage(
    name="eigen",
    summary="Solve for the smallest eigenpairs of each image's graph Laplacian.",
    version=1,
    params=EigenParams,
    inputs=(Input("index"), Input("features")),
    arrays={
        "eigenvalues": ArraySpec(
            ("image", "eigenvector"), "float64", "ascending; descending where they are not those of a Laplacian"
        ),
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
    methods=methods,
    choice="affinity",
    check=check,
    moved={
        key: f"options.{key}"
        for key in (
            *("threshold", "normalize", "laplacian", "tau", "eps", "seed", "solver"),
            *("color_weight", "color", "color_align", "legacy_double_scale"),
        )
    },
)
