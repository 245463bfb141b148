"""Bounding boxes of segments, after erosion and dilation (DSM)."""

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def grown_mask(mask_hw: Mask, *, erode: int = 2, dilate: int = 5) -> Mask:
    """Erode, then dilate a mask in single steps with a 4-neighbour cross.

    An erosion step that would empty the mask is skipped. The area outside the image counts as foreground for erosion
    and as background for dilation.
    """
    from scipy.ndimage import binary_dilation, binary_erosion

    mask = mask_hw
    for _ in range(erode):
        smaller = binary_erosion(mask, border_value=1)
        mask = smaller if smaller.any() else mask
    if dilate:
        mask = binary_dilation(mask, iterations=dilate)
    return mask


def tight_box(mask_hw: Mask) -> tuple[int, int, int, int]:
    """The box (xmin, ymin, xmax, ymax) around all true tokens, half open, in tokens."""
    rows, cols = np.flatnonzero(mask_hw.any(axis=1)), np.flatnonzero(mask_hw.any(axis=0))
    return int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1


def segment_boxes(
    segments_hw: npt.NDArray[np.integer], *, erode: int = 2, dilate: int = 5
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], list[Mask]]:
    """The boxes of all foreground segments.

    Args:
        segments_hw: segment ids (row, column); 0 is background.
        erode, dilate: numbers of steps; 2 and 5 for patches of 16 (DSM).

    Returns:
        Segment ids, int64 (S,), ascending. Boxes, int32 (S, 4), in tokens, half open. The eroded and dilated mask
        inside each box.
    """
    ids = np.array([v for v in np.unique(segments_hw) if v > 0], np.int64)
    boxes = np.zeros((len(ids), 4), np.int32)
    masks = []
    for s, value in enumerate(ids):
        mask = grown_mask(segments_hw == value, erode=erode, dilate=dilate)
        boxes[s] = x0, y0, x1, y1 = tight_box(mask)
        masks.append(mask[y0:y1, x0:x1])
    return ids, boxes, masks
