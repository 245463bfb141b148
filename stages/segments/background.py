"""Which segment is the background, and dense ids."""

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]


def border_label(labels_hw: npt.NDArray[np.integer]) -> int:
    """The label that covers most of the image border, corners counted twice; the smallest of equals (DSM)."""
    border = np.concatenate([labels_hw[:, 0], labels_hw[:, -1], labels_hw[0], labels_hw[-1]])
    return int(np.bincount(border).argmax())


def background_first(labels_hw: npt.NDArray[np.integer]) -> Labels:
    """Swap the ids of the border label and 0; all other ids stay (DSM)."""
    chosen = border_label(labels_hw)
    out = labels_hw.astype(np.int64)
    out[labels_hw == chosen] = 0
    out[labels_hw == 0] = chosen if chosen else 0
    return out


def dense_ids(labels_hw: npt.NDArray[np.integer], *, keep_zero: bool) -> Labels:
    """Renumber to 1, 2, ... in the order of the old ids; 0 stays background where `keep_zero`."""
    out = np.zeros(labels_hw.shape, np.int64)
    for new, old in enumerate((v for v in np.unique(labels_hw) if not (keep_zero and v == 0)), start=1):
        out[labels_hw == old] = new
    return out
