"""Connected pieces of a segment map. N tokens, row-major."""

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


def merge_small(labels_hw: npt.NDArray[np.integer], *, min_tokens: int) -> I64:
    """Merge 4-connected pieces of a label below `min_tokens` into the neighbour with the longest border.

    The smallest piece goes first, among equals the first in row-major order. Where neighbours have equally long
    borders, the label with more tokens is taken, among equals the one that comes first in row-major order. Renumbering
    the labels renumbers the result. The pieces keep the label they came from, so that a label may still have several
    pieces.
    """
    out = labels_hw.astype(np.int64)
    while True:
        piece_hw = pieces(out)
        tokens = np.bincount(piece_hw.reshape(-1))
        smallest = int(tokens.argmin())
        if tokens[smallest] >= min_tokens or len(tokens) == 1:
            return out
        mask = piece_hw == smallest
        out[mask] = longest_border(out, mask)


def pieces(labels_hw: I64) -> I64:
    """The 4-connected piece of every token, (row, column), numbered from 0 in row-major order of their first tokens."""
    from scipy import sparse

    place = np.arange(labels_hw.size).reshape(labels_hw.shape)
    right, below = labels_hw[:, 1:] == labels_hw[:, :-1], labels_hw[1:] == labels_hw[:-1]
    first = np.concatenate([place[:, :-1][right], place[:-1][below]])
    second = np.concatenate([place[:, 1:][right], place[1:][below]])
    joined = sparse.csr_array((np.ones(len(first)), (first, second)), shape=(place.size, place.size))
    _, found = sparse.csgraph.connected_components(joined, directed=False)
    _, starts, number = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(starts), np.int64)
    rank[np.argsort(starts)] = np.arange(len(starts))
    return rank[number.reshape(labels_hw.shape)]


def longest_border(labels_hw: I64, mask_hw: npt.NDArray[np.bool_]) -> int:
    """The label across most border edges of a mask; of equals the one with most tokens, then the first in row-major order."""
    around = neighbours(labels_hw, mask_hw)
    values, starts, tokens = np.unique(labels_hw, return_index=True, return_counts=True)
    edges = (around == values[:, None]).sum(axis=1)
    return int(values[np.lexsort((starts, -tokens, -edges))[0]])


def neighbours(labels_hw: I64, mask_hw: npt.NDArray[np.bool_]) -> I64:
    """Labels across every border edge of a mask, one entry an edge."""
    found = []
    for axis in (0, 1):
        for inside, outside in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
            take = (inside, slice(None)) if axis == 0 else (slice(None), inside)
            across = (outside, slice(None)) if axis == 0 else (slice(None), outside)
            edge = mask_hw[take] & ~mask_hw[across]
            found.append(labels_hw[across][edge])
    return np.concatenate(found)
