import numpy as np
import pytest

from usseg.stages.features import descriptors


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (7, 7), (8, 8), (9, 70), (48, 64)])
@pytest.mark.parametrize("fill", [0, 255, 128, None])
def test_finite_on_tiny_and_constant_images(size: tuple[int, int], fill: int | None) -> None:
    image = noise(*size) if fill is None else np.full((*size, 3), fill, np.uint8)
    found = descriptors.describe(image, stride=8)
    assert found.dtype == np.float32
    assert found.shape == (max(1, size[0] // 8), max(1, size[1] // 8), descriptors.channels())
    assert np.isfinite(found).all()


def test_the_same_image_gives_the_same_bits() -> None:
    image = noise(48, 64)
    assert descriptors.describe(image).tobytes() == descriptors.describe(np.asfortranarray(image.copy())).tobytes()


def test_pixels_beyond_the_grid_change_nothing() -> None:
    image, other = noise(50, 70), noise(50, 70)
    other[48:], other[:, 64:] = 0, 0
    assert descriptors.describe(image).tobytes() == descriptors.describe(other).tobytes()
    other[47] = 0
    assert descriptors.describe(image).tobytes() != descriptors.describe(other).tobytes()


def test_strides() -> None:
    assert descriptors.describe(noise(48, 64), stride=16).shape[:2] == (3, 4)
    assert descriptors.describe(noise(48, 64), stride=1).shape[:2] == (48, 64)


def test_different_textures_and_colours_are_told_apart() -> None:
    """Two patches of one texture are closer than two of different ones, position left out."""
    stripes = np.tile(np.where(np.arange(64) % 4 < 2, 60, 200), (32, 1))
    image = np.concatenate([stripes, stripes[:32, :32].T.repeat(2, axis=1)])[:, :, None].repeat(3, axis=2)
    found = descriptors.describe(image.astype(np.uint8), stride=8)[..., :-4]
    inner = np.linalg.norm(found[1, 2] - found[1, 5])
    across = np.linalg.norm(found[1, 2] - found[6, 2])
    assert across > 3 * inner


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3))])
def test_other_arrays_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"image: found .*; uint8 \(height, width, 3\) is needed"):
        descriptors.describe(image)


BOXES = np.array([[0, 0, 64, 48], [16, 8, 40, 32], [56, 40, 64, 48]], np.int32)


def test_a_crop_begins_with_the_mean_of_its_tokens() -> None:
    image = noise(48, 64)
    found = descriptors.embed_crops(image, BOXES, None, stride=8)
    assert found.dtype == np.float32
    assert found.shape == (3, descriptors.crop_channels())
    cells = [[x, y, x + 8, y + 8] for y in range(8, 32, 8) for x in range(16, 40, 8)]
    single = descriptors.embed_crops(image, np.array(cells, np.int32), None, stride=8)
    mean = slice(descriptors.channels())
    np.testing.assert_allclose(found[1, mean], single[:, mean].mean(axis=0), atol=1e-5)


def test_masks_choose_the_tokens() -> None:
    image = noise(48, 64)
    full = [np.ones((6, 8), bool), np.ones((3, 3), bool), np.zeros((1, 1), bool)]
    whole = descriptors.embed_crops(image, BOXES, None, stride=8)
    np.testing.assert_array_equal(descriptors.embed_crops(image, BOXES, full, stride=8), whole)
    full[1] = np.eye(3, dtype=bool)
    assert not np.allclose(descriptors.embed_crops(image, BOXES, full, stride=8)[1], whole[1])
    with pytest.raises(ValueError, match=r"mask 1: found shape \(2, 2\); its box has \(3, 3\) patches"):
        descriptors.embed_crops(image, BOXES, [full[0], np.ones((2, 2), bool), full[2]], stride=8)


def test_a_crop_does_not_depend_on_the_others() -> None:
    image = noise(48, 64)
    together = descriptors.embed_crops(image, BOXES, None, stride=8)
    for row, box in enumerate(BOXES):
        np.testing.assert_array_equal(descriptors.embed_crops(image, box[None], None, stride=8)[0], together[row])
    assert descriptors.embed_crops(image, BOXES[:0], None, stride=8).shape == (0, descriptors.crop_channels())
