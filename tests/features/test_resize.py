import numpy as np
import pytest

from usseg.stages.features.fitting import MEAN, STD, normalized, resize_image, resized_size


@pytest.mark.parametrize(
    ("size", "resize", "expected"),
    [
        ((480, 640), None, (480, 640)),
        ((481, 641), None, (481, 641)),
        ((480, 640), 320, (240, 320)),
        ((640, 480), 320, (320, 240)),
        ((240, 320), 640, (240, 320)),  # never enlarged
        ((480, 640), [96, 32], (96, 32)),
        ((5, 5), None, (8, 8)),
        ((4, 40), None, (8, 80)),
        ((10, 1000), 100, (8, 800)),  # one pixel high after the bound, brought up to a patch
        ((480, 640), [4, 4], (8, 8)),
        ((1, 1), 1, (8, 8)),
    ],
)
def test_resized_size(size: tuple[int, int], resize: int | list[int] | None, expected: tuple[int, int]) -> None:
    assert resized_size(size, resize, 8) == expected


def test_resize_keeps_an_image_of_the_right_size() -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    assert resize_image(image, (12, 16)) is image
    smaller = resize_image(image, (6, 8))
    assert smaller.shape == (6, 8, 3)
    np.testing.assert_allclose(smaller.mean(), image.mean(), atol=2)


def test_normalized_equals_numpy_in_every_bit() -> None:
    """For all 256 values of each channel; `normalized` of version 0.1 computed them so."""
    image = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    found = normalized([image, 255 - image])
    assert found.shape == (2, 3, 16, 16)
    assert found.is_contiguous()
    wanted = (image.astype(np.float32) / 255.0 - np.asarray(MEAN, np.float32)) / np.asarray(STD, np.float32)
    np.testing.assert_array_equal(found[0].numpy(), wanted.transpose(2, 0, 1))
    assert np.abs(normalized([np.full((2, 3, 3), [124, 116, 104], np.uint8)]).numpy()).max() < 0.02
