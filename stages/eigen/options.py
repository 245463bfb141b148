"""Options that several affinities share, and which of their values do not go together."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from usseg.pipeline.params import Params, refused

LARGE = 1e6  # bound of a number that has no natural one
Threshold = Annotated[bool, Field(description="cut similarities at zero")]
Normalize = Annotated[bool, Field(description="unit-length features")]


class ColorOptions(Params):
    """Options of every graph: how much the colours of the image add to its weights."""

    color_weight: float = Field(
        0.0, ge=0, le=LARGE, description="lambda of the colour affinity; 0: images are not read"
    )
    color: Literal["knn", "rw"] = Field("knn", description="k-NN or random-walk colour affinity")
    color_align: Literal["crop", "full"] = Field(
        "crop", description="full: resize the whole image as DSM does, off by up to a patch"
    )
    legacy_double_scale: bool = Field(
        False, description="colours divided by 255 twice, as DSM before February 2023 and SimSAM"
    )


class LaplacianOptions(ColorOptions):
    """Options of every graph whose Laplacian the stage solves."""

    laplacian: Literal["normalized", "plain"] = Field("normalized", description="plain: DSM with lapnorm off")
    solver: Literal["auto", "lanczos", "block_lanczos", "dense", "iterative", "batched"] = Field(
        "auto", description="the two lanczos in float32, the others in float64; auto: by size and device"
    )


class CosineOptions(LaplacianOptions):
    """Options of the graphs of cosines."""

    threshold: Threshold = True
    normalize: Normalize = True


class ProjectionOptions(LaplacianOptions):
    """Options of the graphs to which a projection of the features adds its own similarities."""

    threshold: Threshold = True
    weight: float = Field(0.1, ge=0, le=LARGE, description="kappa, of the projection beside the features")


def check_graph(options: Any, sections: Mapping[str, Any]) -> None:
    """Refuse shared options that the solver or the fitted image has not.

    Args:
        options: of the chosen affinity; one that shares no options passes.
        sections: the params of every stage by name.

    Raises:
        ParamsError: as it says.
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
