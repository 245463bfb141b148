"""Solve for the eigenpairs of every image."""

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

GRAPH_BYTES = 16  # bytes for each pair of tokens, with the copies that a solver makes


class EigenParams(MethodParams):
    """The graph of an image, and how many of its eigenpairs are kept."""

    affinity: str = Field("cos_relu", description="a method of stages/eigen/methods")
    k: int = Field(15, ge=2, le=4096, description="number of eigenpairs of an image, the trivial one included")

    @property
    def of_laplacian(self) -> bool:
        """Whether the eigenpairs are those of a graph Laplacian. Other stages check this."""
        return bool(methods()[self.affinity].laplacian)


def methods() -> Methods[Any]:
    """The table of affinities."""
    from usseg.stages.eigen.methods import METHODS

    return METHODS


def check(sections: Mapping[str, Any]) -> None:
    """Refuse options of the affinity that do not fit together, or do not fit `features.fit`.

    Raises:
        ParamsError: names the key, the value and the allowed values.
    """
    from usseg.stages.eigen.options import check_graph

    check_graph(sections["eigen"].options, sections)


def sizes(params: EigenParams, inputs: Inputs) -> Mapping[str, int | npt.NDArray[np.int64]]:
    """The number of eigenvectors K, and the number of tokens of each image.

    Raises:
        ParamsError: no image has k tokens, or the graph of the largest image does not fit into memory.
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
    """Lists of at most `largest` row numbers of images with the same number of tokens.

    Args:
        grids: int32 (image, 2), rows and columns of tokens.
        largest: largest number of images in a list.
    """
    groups: dict[int, list[int]] = defaultdict(list)
    for row, nodes in enumerate(grids.prod(axis=1).tolist()):
        groups[nodes].append(row)
    for rows in groups.values():
        for start in range(0, len(rows), largest):
            yield rows[start : start + largest]


@dataclass(frozen=True)
class Block:
    """The images of one call of `run`.

    Attributes:
        images: their rows in the split.
        grids: int32 (image, 2), rows and columns of tokens.
        extents: int32 (image, 2), height and width in pixels under the grid.
        offsets: int32 (image, 2), row and column of the first pixel under the grid.
        inputs: the artifacts that the stage reads.
    """

    images: range
    grids: npt.NDArray[np.int32]
    extents: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int32]
    inputs: Inputs

    @classmethod
    def of(cls, images: range, inputs: Inputs) -> "Block":
        """Read the grids, extents and offsets of the images. Tokens and pixels are read later."""
        grids, extents, offsets = (
            inputs["features"][name][images.start : images.stop] for name in ("grid", "extent", "offset")
        )
        return cls(images, grids, extents, offsets, inputs)

    def tokens(self, rows: list[int], params: EigenParams, device: str) -> "TokenBatch":
        """The tokens of images with equally many tokens, as an affinity gets them."""
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
        """The colours of an image at grid size: RGB, float64 (row, column, 3), in [0, 1]."""
        from usseg.stages.eigen.color import grid_image

        covered = pair(self.extents[row]) if options.color_align == "crop" else None
        pixels = self.inputs.image(self.images[row])
        small = grid_image(pixels, pair(self.grids[row]), extent=covered, offset=pair(self.offsets[row]))
        return small / (255.0 if options.legacy_double_scale else 1.0)


def pair(sides: npt.NDArray[np.integer]) -> tuple[int, int]:
    """An array of two integers as a tuple."""
    rows, columns = sides.tolist()
    return rows, columns


def solved(params: EigenParams, tokens: "TokenBatch", device: str) -> "list[Eigenpairs]":
    """The eigenpairs of every image of a batch. The eigenpairs of a Laplacian are computed on the device."""
    from usseg.stages.eigen.color import add_colors
    from usseg.stages.eigen.laplacian import laplacian_eigenpairs

    method: AffinityMethod = methods()[params.affinity]
    options: Any = params.options
    output: Any = method.call(tokens, options)
    if not method.laplacian:
        return list(output)
    graphs = list(output) if isinstance(output, np.ndarray) else output
    add_colors(graphs, tokens.colors, color=options.color, weight=options.color_weight)
    return laplacian_eigenpairs(graphs, laplacian=options.laplacian, k=params.k, solver=options.solver, device=device)


def run(params: EigenParams, inputs: Inputs, images: range, execution: Execution) -> dict[str, Any]:
    """Eigenpairs of a block of images. On a GPU, images with the same number of tokens are solved in one call."""
    method: AffinityMethod = methods()[params.affinity]
    options: Any = params.options
    device = execution.device if method.gpu(options) else "cpu"
    # The plain Laplacian is solved image by image, and its graph is made by NumPy.
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
            ("image", "eigenvector"),
            "float64",
            "eigenvalues, ascending; descending where they are not those of a Laplacian; padded with 0",
        ),
        "eigenvectors": ArraySpec(
            ("image", "eigenvector", "token"),
            "float32",
            "one eigenvector a row, D-orthonormal, row 0 the trivial eigenvector; padded with 0",
        ),
        "num_eigenvectors": ArraySpec(("image",), "int32", "number of valid rows: min(k, tokens)"),
        "components": ArraySpec(("image",), "int32", "connected components of the graph, without isolated tokens"),
        "degenerate": ArraySpec(
            ("image",), "bool", "all tokens are equally similar: rows from 1 on carry no information"
        ),
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
