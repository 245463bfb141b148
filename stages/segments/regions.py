"""Connected pieces of a segment map."""

import numpy as np
import numpy.typing as npt


def merge_small(labels_hw: npt.NDArray[np.integer], *, min_tokens: int) -> npt.NDArray[np.int64]:
    """Split labels into 4-connected pieces and merge those below `min_tokens` into the neighbour with the longest border.

    The pieces keep the label they came from, so that a label may still have several pieces.
    """
    from scipy.ndimage import label

    out = labels_hw.astype(np.int64)
    for value in np.unique(out):
        pieces, count = label(out == value)
        for piece in range(1, count + 1):
            mask = pieces == piece
            if mask.sum() >= min_tokens or mask.all():
                continue
            around = neighbours(out, mask)
            if len(around):
                out[mask] = np.bincount(around).argmax()
    return out


def neighbours(labels_hw: npt.NDArray[np.int64], mask_hw: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Labels across every border edge of a mask, one entry an edge."""
    found = []
    for axis in (0, 1):
        for inside, outside in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
            take = (inside, slice(None)) if axis == 0 else (slice(None), inside)
            across = (outside, slice(None)) if axis == 0 else (slice(None), outside)
            edge = mask_hw[take] & ~mask_hw[across]
            found.append(labels_hw[across][edge])
    return np.concatenate(found)
