"""Section `eigen`: constraints inside it and from other sections, and files of earlier versions."""

from pathlib import Path
from typing import Any

import pytest

from usseg.pipeline import project as module
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.project import Project
from usseg.stages import STAGES

INDEX = {"root": "data", "splits": {"train": {"images": "*"}, "val": {"images": "*"}}}
FULL = {"eigen": {"options": {"color_align": "full"}}}


def opened(tmp_path: Path, **sections: Any) -> Project:
    return Project.of(STAGES, tmp_path, {"index": INDEX, **sections})


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        (
            {"eigen": {"options": {"laplacian": "plain", "solver": "lanczos"}}},
            r"eigen\.options\.solver: found 'lanczos'; laplacian: plain needs auto, dense, iterative or batched",
        ),
        (
            {"eigen": {"affinity": "simsam", "options": {"laplacian": "plain", "solver": "block_lanczos"}}},
            r"eigen\.options\.solver: found 'block_lanczos'; laplacian: plain",
        ),
        (
            {"eigen": {"affinity": "svd", "options": {"solver": "dense"}}},
            r"eigen\.options\.solver: found 'dense'; affinity: svd does not read it \(read by: cos_relu, .*\); remove it",
        ),
        (
            {"eigen": {"affinity": "affinity", "options": {"laplacian": "plain"}}},
            r"eigen\.options\.laplacian: found 'plain'; affinity: affinity does not read it",
        ),
        (
            {"eigen": {"affinity": "svd", "options": {"color_weight": 1.0}}},
            r"eigen\.options\.color_weight: found 1\.0; affinity: svd does not read it \(read by: .*binary, .*affinity\)",
        ),
        (
            {"eigen": {"affinity": "pca", "options": {"normalize": False}}},
            r"eigen\.options\.normalize: found False; affinity: pca does not read it",
        ),
        (
            {"eigen": {"affinity": "cos_rely"}},
            r"eigen\.affinity: found 'cos_rely'; no such method; did you mean 'cos_relu'\? \(known: cos_relu, ",
        ),
        (
            {"features": {"fit": "pad"}, **FULL},
            r"eigen\.options\.color_align: found 'full'; with features\.fit: pad the grid does not end with the image",
        ),
        (
            {"eigen": {"affinity": "affinity", "options": {"color_align": "full"}}, "features": {"fit": "pad"}},
            r"eigen\.options\.color_align: found 'full'; with features\.fit: pad",
        ),
        (
            {"eigen": {"affinity": "svd"}, "segments": {"method": "fiedler"}},
            r"segments\.method: found 'fiedler'; .*; eigen\.affinity: svd gives none of a Laplacian; take another",
        ),
        (
            {"eigen": {"affinity": "affinity"}, "segments": {"options": {"num_segments": "eigengap"}}},
            r"segments\.options\.num_segments: found 'eigengap'; .*; eigen\.affinity: affinity gives none",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_by_key(sections: dict[str, Any], line: str, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=rf"^params\.yaml: {line}"):
        opened(tmp_path, **sections)


@pytest.mark.parametrize(
    "sections",
    [
        FULL,
        {"eigen": {"options": {"laplacian": "plain", "solver": "dense"}}, "segments": {"method": "fiedler"}},
        {"eigen": {"affinity": "simsam", "options": {"weight": 0.1, "epochs": 3, "seed": 5}}},
        {"eigen": {"affinity": "svd", "options": {"normalize": False}}, "segments": {"method": "spectral"}},
    ],
)
def test_what_goes_together(sections: dict[str, Any], tmp_path: Path) -> None:
    opened(tmp_path, **sections)


def test_keys_of_before_that_were_in_the_section(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    module.say_once.cache_clear()
    before = {"affinity": "binary", "tau": 0.3, "threshold": False, "color": "rw", "seed": 0, "solver": "dense", "k": 7}
    eigen: Any = opened(tmp_path, eigen=before).params["eigen"]
    assert (eigen.options.tau, eigen.options.color, eigen.options.solver, eigen.k) == (0.3, "rw", "dense", 7)
    assert caplog.messages == [
        "params.yaml: eigen.tau is eigen.options.tau now",
        "params.yaml: eigen.threshold: False is left out: affinity: binary does not read it; remove that line",
        "params.yaml: eigen.color is eigen.options.color now",
        "params.yaml: eigen.seed: 0 is left out: affinity: binary does not read it; remove that line",
        "params.yaml: eigen.solver is eigen.options.solver now",
    ]
