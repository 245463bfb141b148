"""Random flips and colours of an image."""

from typing import Any

import numpy as np
import numpy.typing as npt

JITTER, GRAY = 0.8, 0.2  # probabilities
FLIP = 0.5
STRENGTHS = (0.4, 0.4, 0.2, 0.1)  # of brightness, contrast, saturation, hue


def augmented(image: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A random view of an image, uint8 RGB (height, width, 3): flipped, jittered in colour, or without colour.

    Source: Two Tricks, appendix A; the flip is in its code only.
    """
    from PIL import Image
    from torchvision.transforms import functional

    changes: list[Any] = [
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
        functional.adjust_hue,
    ]
    view = image[:, ::-1] if rng.random() < FLIP else image
    colored = Image.fromarray(np.ascontiguousarray(view))
    jittered, amounts, order = rng.random() < JITTER, rng.uniform(-1, 1, 4) * STRENGTHS, rng.permutation(4)
    for number in order if jittered else ():
        amount = amounts[number] if changes[number] is functional.adjust_hue else 1 + amounts[number]
        colored = changes[number](colored, float(amount))
    if rng.random() < GRAY:
        colored = functional.rgb_to_grayscale(colored, num_output_channels=3)
    return np.array(colored)
