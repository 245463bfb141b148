import numpy as np
import pytest
import zarr


@pytest.mark.parametrize("upsampling", ["align", "stretch"])
def test_maps_have_the_size_of_their_images(odd_project, upsampling: str) -> None:
    odd_project.set({"refine.upsampling": upsampling})
    odd_project.run_all("segments", "crops", "cluster", "assign")
    refine = odd_project.run("refine")
    maps, sizes = refine["maps"], odd_project.artifact("index")["size"][:]
    labels = odd_project.artifact("assign")["labels"][:]
    np.testing.assert_array_equal(refine["size"], sizes)
    assert len(maps) == len(list(maps)) == 7
    for found, coarse, size in zip(maps, labels, sizes.tolist(), strict=True):
        assert list(found.shape) == size
        assert set(np.unique(found)) <= set(np.unique(coarse)) - {-1}
    with pytest.raises(IndexError):
        maps[7]


def test_pixels_are_stored_without_padding(odd_project) -> None:
    """As another program reads them: one array of pixels, and where those of an image begin."""
    odd_project.run_all("segments", "crops", "cluster", "assign")
    refine = odd_project.run("refine")
    pixels, starts, sizes = (zarr.open_array(refine.path / name, mode="r")[:] for name in ("maps", "start", "size"))
    assert len(pixels) == sizes.prod(axis=1).sum()
    for i, (start, (height, width)) in enumerate(zip(starts, sizes, strict=True)):
        np.testing.assert_array_equal(pixels[start : start + height * width].reshape(height, width), refine["maps"][i])


@pytest.mark.parametrize("name", ["none", "guided_filter"])
def test_segments_themselves_at_full_size(odd_project, name: str) -> None:
    """Neither crops nor clusters are there. Soft masks are kept only where they are asked for."""
    odd_project.set({"refine.source": "segments", "refine.method": name, "evaluate.method": "partitions"})
    odd_project.run_all("segments")
    refine = odd_project.run("refine")
    ids = odd_project.artifact("segments")["segments"][:]
    assert len(refine["foreground"]) == 0
    for full, coarse in zip(refine["maps"], ids, strict=True):
        found, given = set(np.unique(full)), set(np.unique(coarse)) - {-1}
        assert found == given if name == "none" else found <= given
    odd_project.set({"refine.foreground": True, "segments.background": "border"})
    odd_project.run_all("segments")
    soft = odd_project.run("refine")
    for values, full in zip(soft["foreground"], soft["maps"], strict=True):
        assert values.shape == full.shape
        assert values.dtype == np.uint8
        if name == "none":
            np.testing.assert_array_equal(values, np.where(full > 0, 255, 0))
