"""Labels of tokens over several blocks: a resumed run and several workers give the same bytes."""

import numpy as np
import pytest

from usseg.pipeline.arrays import BLOCK


@pytest.fixture
def project(tiny_project, save_image, draw_photo):
    """More images than a block, of two sizes; clusters of tokens are fitted."""
    for i in range(BLOCK + 5):
        save_image(tiny_project.path / f"data/many/{i:02d}.png", draw_photo(i, 16, 24 if i % 3 else 40))
    splits = {"train": {"images": "many/*", "labels": None}}
    tiny_project.set({"index.splits": splits, "cluster.rows": "tokens", "cluster.k": 4})
    for stage in ("index", "features", "cluster"):
        tiny_project.run(stage)
    return tiny_project


def test_an_interrupted_run_goes_on(project) -> None:
    project.run("assign")
    before = project.files("artifacts/assign/train.zarr")
    assign = project.artifact("assign")
    scores, most = assign["scores"][:], int(assign["grid"][:].prod(axis=1).max())
    assert scores.shape == (BLOCK + 5, most, 4)
    project.set({"assign.background_collision": True})
    project.run("assign")
    np.testing.assert_array_equal(project.artifact("assign")["scores"][:], scores)
    project.set({"assign.background_collision": False})

    def interrupt(done: int, total: int) -> None:
        if done > BLOCK + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        project.run("assign", progress=interrupt)
    rest = []
    project.run("assign", progress=lambda done, total: rest.append(done))
    assert min(rest) == BLOCK
    assert project.files("artifacts/assign/train.zarr") == before


@pytest.mark.slow
def test_several_workers_give_the_same_bytes(project) -> None:
    project.run("assign", workers=1)
    before = project.files("artifacts/assign/train.zarr")
    project.set({"assign.background_collision": True})
    project.run("assign", workers=1)
    project.set({"assign.background_collision": False})
    project.run("assign", workers=2)
    assert project.files("artifacts/assign/train.zarr") == before
