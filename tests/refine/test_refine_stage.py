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
