import numpy as np
import pytest

from stages.features.tokens import normalized, resize_image, resized_size


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


def test_normalized() -> None:
    image = np.full((2, 3, 3), [124, 116, 104], np.uint8)
    found = normalized(image)
    assert found.shape == (3, 2, 3)
    assert found.dtype == np.float32
    assert np.abs(found).max() < 0.02
