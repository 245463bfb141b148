"""Options that several affinities share, and the check that their values fit together."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from usseg.pipeline.params import Params, refused

LARGE = 1e6  # bound of an option that has no natural bound
Threshold = Annotated[bool, Field(description="set negative similarities to 0")]
Normalize = Annotated[bool, Field(description="scale features to unit length")]


class ColorOptions(Params):
    """Options of every graph: the colour affinity that is added to its weights."""

    color_weight: float = Field(
        0.0, ge=0, le=LARGE, description="lambda, the factor of the colour affinity; 0: images are not read"
    )
    color: Literal["knn", "rw"] = Field("knn", description="colour affinity: knn, nearest neighbours; rw, random walk")
    color_align: Literal["crop", "full"] = Field(
        "crop",
        description="crop: colours of the pixels under the grid; full: of the whole image (DSM, off by up to a patch)",
    )
    legacy_double_scale: bool = Field(
        False, description="divide colours by 255 twice, as DSM before February 2023 and SimSAM"
    )


class LaplacianOptions(ColorOptions):
    """Options of every graph whose Laplacian the stage solves for eigenpairs."""

    laplacian: Literal["normalized", "plain"] = Field("normalized", description="plain: D - W, as DSM with lapnorm off")
    solver: Literal["auto", "lanczos", "block_lanczos", "dense", "iterative", "batched"] = Field(
        "auto",
        description="lanczos and block_lanczos compute in float32, all others in float64; auto: by size and device",
    )


class CosineOptions(LaplacianOptions):
    """Options of the graphs whose weights are cosines."""

    threshold: Threshold = True
    normalize: Normalize = True


class ProjectionOptions(LaplacianOptions):
    """Options of the graphs whose weights are cosines plus the similarities of projected features."""

    threshold: Threshold = True
    weight: float = Field(
        0.1, ge=0, le=LARGE, description="kappa, the factor of the similarities of the projected features"
    )


def check_graph(options: Any, sections: Mapping[str, Any]) -> None:
    """Refuse a solver that the plain Laplacian lacks, and `color_align: full` for padded or square images.

    Args:
        options: the options of the chosen affinity, of any model.
        sections: the params of every stage by name.

    Raises:
        ParamsError: names the key, the value and the allowed values.
    """
    plain = isinstance(options, LaplacianOptions) and options.laplacian == "plain"
    if plain and options.solver in ("lanczos", "block_lanczos"):
        raise refused(
            "eigen.options.solver", options.solver, "laplacian: plain needs auto, dense, iterative or batched"
        )
    if isinstance(options, ColorOptions) and options.color_align == "full":
        fit = sections["features"].fit
        if fit in ("pad", "square"):
            raise refused(
                "eigen.options.color_align",
                options.color_align,
                f"with features.fit: {fit} the grid does not end with the image; take another of either",
            )
