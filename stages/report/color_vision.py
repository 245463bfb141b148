"""How different colours look: CIELAB, colour-blind vision, the difference CIEDE2000 and the contrast of WCAG.

N colours; the last axis is red, green, blue, or L*, a*, b*.
"""

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

# Linear RGB -> linear RGB as seen without one kind of cone. Machado, Oliveira and Fernandes, A Physiologically-based
# Model for Simulation of Color Vision Deficiency (2009), severity 1.0.
VISIONS: dict[str, F64] = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = TO_XYZ.sum(axis=1)


def linear(rgb_N3: npt.NDArray[np.uint8]) -> F64:
    """The linear light of sRGB colours, float64 in [0, 1]. Source: IEC 61966-2-1."""
    value = np.asarray(rgb_N3, np.float64) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(linear_N3: F64) -> F64:
    """CIELAB of linear light: L* in [0, 100], a* and b*. White is D65."""
    xyz = linear_N3 @ TO_XYZ.T / WHITE
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def seen(rgb_N3: npt.NDArray[np.uint8], vision: str) -> F64:
    """CIELAB of colours as a person with this vision sees them, float64 (N, 3)."""
    return lab(np.clip(linear(rgb_N3) @ VISIONS[vision].T, 0, 1))


def difference(first: F64, second: F64) -> F64:
    """CIEDE2000 between CIELAB colours. Differences from about 10 on are seen at a glance.

    Source: Sharma, Wu and Dalal, The CIEDE2000 Color-Difference Formula (2005).

    Args:
        first: float64 (..., 3).
        second: float64 (..., 3), which broadcasts with `first`.
    """
    (l1, a1, b1), (l2, a2, b2) = np.moveaxis(first, -1, 0), np.moveaxis(second, -1, 0)
    chroma = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    grow = 1.5 - 0.5 * np.sqrt(chroma / (chroma + 25.0**7))
    a1, a2 = a1 * grow, a2 * grow
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, a1)) % 360, np.degrees(np.arctan2(b2, a2)) % 360
    grey = c1 * c2 == 0
    turn = np.where(grey, 0, (h2 - h1 + 180) % 360 - 180)
    turn = np.where((turn == -180) & (h2 > h1), 180, turn)
    hue = np.where(grey, h1 + h2, (h1 + turn / 2) % 360)
    light, c = (l1 + l2) / 2, (c1 + c2) / 2
    weight = (
        1
        - 0.17 * np.cos(np.radians(hue - 30))
        + 0.24 * np.cos(np.radians(2 * hue))
        + 0.32 * np.cos(np.radians(3 * hue + 6))
        - 0.20 * np.cos(np.radians(4 * hue - 63))
    )
    dl = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    dc = (c2 - c1) / (1 + 0.045 * c)
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * c * weight)
    rotation = np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))) * 2 * np.sqrt(c**7 / (c**7 + 25.0**7))
    return np.asarray(np.sqrt(np.maximum(dl**2 + dc**2 + dh**2 - rotation * dc * dh, 0)))


def contrast(first_N3: npt.NDArray[np.uint8], second_N3: npt.NDArray[np.uint8]) -> F64:
    """Contrast ratio of colours, 1 to 21. Text needs 4.5. Source: WCAG 2.2, relative luminance."""
    luminance = [linear(rgb) @ TO_XYZ[1] + 0.05 for rgb in (first_N3, second_N3)]
    return np.asarray(np.maximum(*luminance) / np.minimum(*luminance))
