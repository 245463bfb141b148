"""The background of a segment map, and segment ids without gaps. Letters: h rows and w columns of tokens."""

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]


def border_label(labels_hw: npt.NDArray[np.integer]) -> int:
    """The label with the most tokens on the image border (DSM). A corner counts twice.

    Among equals the smallest label is taken.
    """
    border = np.concatenate([labels_hw[:, 0], labels_hw[:, -1], labels_hw[0], labels_hw[-1]])
    return int(np.bincount(border).argmax())


def background_first(labels_hw: npt.NDArray[np.integer]) -> Labels:
    """Swap the labels 0 and `border_label`: int64 (h, w). All other labels stay (DSM)."""
    background = border_label(labels_hw)
    out = labels_hw.astype(np.int64)
    out[labels_hw == background] = 0
    out[labels_hw == 0] = background
    return out


def dense_ids(labels_hw: npt.NDArray[np.integer], *, keep_zero: bool) -> Labels:
    """Renumber the labels to 1, 2, ... in ascending order: int64 (h, w). With `keep_zero` label 0 stays 0."""
    out = np.zeros(labels_hw.shape, np.int64)
    for new, old in enumerate((v for v in np.unique(labels_hw) if not (keep_zero and v == 0)), start=1):
        out[labels_hw == old] = new
    return out
