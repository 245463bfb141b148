"""Multi-scale consistency: the guided filter by hand, parts of images, and the stopped gradient of the teacher."""

import numpy as np
import pytest
import torch

from usseg.stages.heads.dense_head import DenseHead
from usseg.stages.heads.grid_image import grid_image
from usseg.stages.heads.multi_scale import (
    Part,
    box_mean,
    consistency,
    enlarged_parts,
    guided_filter,
    random_part,
    teacher_target,
)


def double(values) -> torch.Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float64)[None, None]


def test_a_constant_guide_gives_the_box_mean_of_the_box_mean() -> None:
    impulse = np.zeros((3, 3))
    impulse[1, 1] = 1
    found = guided_filter(double(impulse), double(np.full((3, 3), 0.4)), radius=1)[0, 0]
    corner, edge, centre = 0.173611, 0.185185, 0.197531
    np.testing.assert_allclose(found, [[corner, edge, corner], [edge, centre, edge], [corner, edge, corner]], atol=1e-6)


@pytest.mark.parametrize(("eps", "low", "high"), [(0.25, 0.25, 0.75), (1e-3, 0.001992, 0.998008)])
def test_one_window_over_two_halves(eps: float, low: float, high: float) -> None:
    mask = double([[0.0, 0], [1, 1]])
    found = guided_filter(mask, mask, radius=3, eps=eps)[0, 0]
    np.testing.assert_allclose(found, [[low, low], [high, high]], atol=1e-6)


def test_the_filter_is_linear_keeps_constants_and_goes_with_flips() -> None:
    rng = np.random.default_rng(0)
    mask, guide = double(rng.random((9, 14))), double(rng.random((9, 14)))
    filtered = guided_filter(mask, guide, radius=2)
    torch.testing.assert_close(guided_filter(2 * mask + 3, guide, radius=2), 2 * filtered + 3)
    torch.testing.assert_close(guided_filter(torch.full_like(mask, 0.3), guide, radius=2), torch.full_like(mask, 0.3))
    torch.testing.assert_close(guided_filter(mask.flip(3), guide.flip(3), radius=2), filtered.flip(3))


def test_box_means_are_those_of_pixels_within_the_image() -> None:
    values = np.random.default_rng(0).random((5, 7))
    found = box_mean(double(values), 9)[0, 0]
    np.testing.assert_allclose(found, values.mean())
    found = box_mean(double(values), 1)[0, 0]
    np.testing.assert_allclose([found[0, 0], found[2, 3]], [values[:2, :2].mean(), values[1:4, 2:5].mean()])


def test_a_random_part_lies_anywhere_and_begins_at_a_patch() -> None:
    rng = np.random.default_rng(0)
    for ratio, side, places in ((0.5, 160, 21), (0.25, 80, 31)):
        parts = [random_part((320, 320), ratio=ratio, place="random", patch=8, rng=rng) for _ in range(2000)]
        assert {(one.height, one.width) for one in parts} == {(side, side)}
        for first in ([one.top for one in parts], [one.left for one in parts]):
            assert sorted(set(first)) == [8 * place for place in range(places)]
            np.testing.assert_allclose(np.mean(first), (320 - side) / 2, rtol=0.1)
    part = random_part((8, 40), ratio=0.5, place="random", patch=8, rng=rng)
    assert (part.top, part.height, part.width) == (0, 8, 16)


def test_fixed_center_is_the_window_of_the_released_code() -> None:
    rng = np.random.default_rng(0)
    parts = [random_part((320, 320), ratio=0.5, place="fixed_center", patch=8, rng=rng) for _ in range(2000)]
    assert {(one.top, one.height, one.width) for one in parts} == {(80, 160, 160)}
    assert sorted({one.left for one in parts}) == list(range(10, 30))


def test_enlarged_parts() -> None:
    mask = torch.arange(16.0).reshape(1, 1, 4, 4)
    found = enlarged_parts(mask, [Part(0, 16, 16, 16)], (32, 32))  # 8 pixels of the image for one of the mask
    np.testing.assert_allclose(found[0, 0, [0, 0, -1, -1], [0, -1, 0, -1]], [2, 3, 6, 7])
    whole = enlarged_parts(mask, [Part(0, 0, 32, 32)], (32, 32))
    torch.testing.assert_close(whole, mask)
    assert float(consistency(mask, [Part(0, 0, 32, 32)], (32, 32), mask + 2)) == 4


def test_the_teacher_gets_no_gradient() -> None:
    """Zero without the gradient of the student; not zero where the target is not stopped."""
    torch.manual_seed(0)
    head = DenseHead(4, blocks=1, fine_widths=(8,))
    tokens, image = torch.randn(1, 4, 4, 4), torch.rand(1, 3, 8, 8)
    student = torch.full((1, 1, 8, 8), 0.3)
    logits = head(tokens, image)[0]
    for target, moves in ((teacher_target(torch.sigmoid(logits), image), False), (torch.sigmoid(logits), True)):
        loss = consistency(student, [Part(0, 0, 4, 4)], (8, 8), target)
        assert loss.requires_grad == moves
    student.requires_grad_()
    consistency(student, [Part(0, 0, 4, 4)], (8, 8), teacher_target(torch.sigmoid(logits), image)).sum().backward()
    assert (student.grad[0, 0, :4, :4] != 0).all()
    assert all(one.grad is None for one in head.parameters())


def test_the_target_is_filtered_and_within_its_range() -> None:
    image = torch.rand(2, 3, 20, 20)
    mask = (torch.rand(2, 1, 20, 20) > 0.5).float()
    plain = teacher_target(mask, image, radius=0)
    torch.testing.assert_close(plain, mask.clamp(1e-6, 1 - 1e-6))
    filtered = guided_filter(mask, image.mean(dim=1, keepdim=True), radius=3)
    torch.testing.assert_close(teacher_target(mask, image, radius=3), filtered.clamp(1e-6, 1 - 1e-6))


def test_grid_image() -> None:
    image = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    same = grid_image(image, extent=(32, 56), offset=(0, 0), size=(32, 56))
    np.testing.assert_array_equal(same, image[:32, :56])
    np.testing.assert_array_equal(grid_image(image, extent=(32, 40), offset=(4, 10), size=(32, 40)), image[4:36, 10:50])
    beyond = grid_image(image, extent=(48, 64), offset=(0, 0), size=(48, 64))
    np.testing.assert_array_equal(beyond[:40, :60], image)
    np.testing.assert_array_equal(beyond[47, 63], image[39, 59])
    assert grid_image(image, extent=(40, 60), offset=(0, 0), size=(20, 30)).mean() == pytest.approx(image.mean(), abs=1)
