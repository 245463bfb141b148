"""Connected components of a segment map. Letters: h rows and w columns of tokens, in row-major order."""

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


def merge_small(labels_hw: npt.NDArray[np.integer], *, min_tokens: int) -> I64:
    """Merge 4-connected components of fewer than `min_tokens` tokens into the neighbour with the longest common border.

    The smallest component is merged first; of equals, the first in row-major order. If several neighbours have equally
    long borders, the component takes the label with the most tokens; of equals, the first label in row-major order.
    Renumbering the labels renumbers the result in the same way. A label may still have several components afterwards.
    """
    out = labels_hw.astype(np.int64)
    while True:
        component_hw = components(out)
        tokens = np.bincount(component_hw.reshape(-1))
        smallest = int(tokens.argmin())
        if tokens[smallest] >= min_tokens or len(tokens) == 1:
            return out
        mask = component_hw == smallest
        out[mask] = longest_border(out, mask)


def components(labels_hw: I64) -> I64:
    """The 4-connected component of every token, int64 (h, w), numbered from 0 by first tokens."""
    from scipy import sparse

    index = np.arange(labels_hw.size).reshape(labels_hw.shape)
    right, below = labels_hw[:, 1:] == labels_hw[:, :-1], labels_hw[1:] == labels_hw[:-1]
    first = np.concatenate([index[:, :-1][right], index[:-1][below]])
    second = np.concatenate([index[:, 1:][right], index[1:][below]])
    joined = sparse.csr_array((np.ones(len(first)), (first, second)), shape=(index.size, index.size))
    _, unordered = sparse.csgraph.connected_components(joined, directed=False)
    _, starts, number = np.unique(unordered, return_index=True, return_inverse=True)
    rank = np.empty(len(starts), np.int64)
    rank[np.argsort(starts)] = np.arange(len(starts))
    return rank[number.reshape(labels_hw.shape)]


def longest_border(labels_hw: I64, mask_hw: npt.NDArray[np.bool_]) -> int:
    """The label with the longest common border with a mask.

    Among equals the label with the most tokens is taken, then the first label in row-major order.
    """
    around = neighbours(labels_hw, mask_hw)
    values, starts, tokens = np.unique(labels_hw, return_index=True, return_counts=True)
    edges = (around == values[:, None]).sum(axis=1)
    return int(values[np.lexsort((starts, -tokens, -edges))[0]])


def neighbours(labels_hw: I64, mask_hw: npt.NDArray[np.bool_]) -> I64:
    """The label on the other side of every border edge of a mask, int64 (edge,)."""
    labels = []
    for axis in (0, 1):
        for inside, outside in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
            take = (inside, slice(None)) if axis == 0 else (slice(None), inside)
            across = (outside, slice(None)) if axis == 0 else (slice(None), outside)
            edge = mask_hw[take] & ~mask_hw[across]
            labels.append(labels_hw[across][edge])
    return np.concatenate(labels)
