import numpy as np
import pytest


@pytest.mark.parametrize("upsampling", ["align", "stretch"])
def test_maps_have_the_size_of_their_images(odd_project, upsampling: str) -> None:
    odd_project.set({"refine.upsampling": upsampling})
    odd_project.run_all("segments", "crops", "cluster", "assign")
    refine = odd_project.run("refine")
    maps, sizes = refine["maps"][:], odd_project.artifact("index")["size"][:]
    labels = odd_project.artifact("assign")["labels"][:]
    np.testing.assert_array_equal(refine["size"], sizes)
    assert maps.shape == (7, 50, 90)
    for row, (height, width) in enumerate(sizes.tolist()):
        inside = maps[row, :height, :width]
        assert set(np.unique(inside)) <= set(np.unique(labels[row])) - {-1}
        assert (maps[row, height:] == -1).all()
        assert (maps[row, :, width:] == -1).all()


@pytest.mark.parametrize("name", ["none", "guided_filter"])
def test_segments_themselves_at_full_size(odd_project, name: str) -> None:
    """Neither crops nor clusters are there. Soft masks are kept only where they are asked for."""
    odd_project.set({"refine.source": "segments", "refine.method": name})
    odd_project.run_all("segments")
    refine = odd_project.run("refine")
    maps, ids = refine["maps"][:], odd_project.artifact("segments")["segments"][:]
    assert refine["foreground"].shape == (7, 0, 0)
    for row, (height, width) in enumerate(refine["size"][:].tolist()):
        inside = maps[row, :height, :width]
        found, given = set(np.unique(inside)), set(np.unique(ids[row])) - {-1}
        assert found == given if name == "none" else found <= given
    odd_project.set({"refine.foreground": True, "segments.background": "border"})
    odd_project.run_all("segments")
    soft = odd_project.run("refine")
    assert soft["foreground"].shape == soft["maps"].shape
    values, maps = soft["foreground"][:], soft["maps"][:]
    for row, (height, width) in enumerate(soft["size"][:].tolist()):
        assert (values[row, height:] == 0).all()
        assert (values[row, :, width:] == 0).all()
    if name == "none":
        np.testing.assert_array_equal(values, np.where(maps > 0, 255, 0))
