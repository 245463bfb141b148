"""The 4-connected components of the classes of an image.

Horizontal runs of one class are joined where they touch from one row to the next. The time depends on the number of
runs, hardly on the number of classes. Letters: R runs, E pairs of runs that touch, K components.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

U16 = npt.NDArray[np.uint16]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Component:
    """A 4-connected component of one class. Its number in the map of components is its place in the list plus 1.

    Attributes:
        category: its class.
        area: its number of pixels.
        box: left, top, width and height in pixels.
    """

    category: int
    area: int
    box: tuple[int, int, int, int]


def connected_components(classes: U16, *, background: bool = False) -> tuple[I32, list[Component]]:
    """The 4-connected components of each class.

    Args:
        classes: class of each pixel, uint16 (height, width).
        background: whether class 0 has components, too.

    Returns:
        The number of the component of each pixel, int32 (height, width), 0 where there is none; and the components,
        ordered by class, then by their first pixels in the order of rows.
    """
    height, width = classes.shape
    starts, ends = runs_of(classes)
    values = classes.reshape(-1)[starts]
    labels = joined_runs(starts, ends, values, width)
    # The runs in the order of components: by class, then by the first run. The background comes first.
    first = np.unique(labels, return_index=True)[1]
    order_K = np.lexsort((first, values[first]))
    kept_K = order_K if background else order_K[values[first[order_K]] > 0]
    number_of_label = np.zeros(len(first), np.int32)
    number_of_label[kept_K] = np.arange(1, len(kept_K) + 1)
    numbers_R = number_of_label[labels]
    numbers = np.repeat(numbers_R, ends - starts).reshape(height, width)
    runs = np.argsort(numbers_R, kind="stable")
    runs = runs[np.searchsorted(numbers_R[runs], 1) :]
    if not len(runs):
        return numbers, []
    firsts = np.flatnonzero(np.diff(numbers_R[runs], prepend=0))
    lengths, rows = (ends - starts)[runs], starts[runs] // width
    lefts, rights = starts[runs] % width, (ends[runs] - 1) % width
    areas, left = np.add.reduceat(lengths, firsts), np.minimum.reduceat(lefts, firsts)
    top, bottom = np.minimum.reduceat(rows, firsts), np.maximum.reduceat(rows, firsts)
    columns = np.maximum.reduceat(rights, firsts) - left + 1
    boxes = np.column_stack([left, top, columns, bottom - top + 1]).tolist()
    categories = values[runs[firsts]].tolist()
    return numbers, [
        Component(category, area, (box[0], box[1], box[2], box[3]))
        for category, area, box in zip(categories, areas.tolist(), boxes, strict=True)
    ]


def runs_of(values: npt.NDArray[np.integer]) -> tuple[I64, I64]:
    """The runs of equal values in the rows of an array (row, column): their starts and ends, int64 (R,).

    They are places in the flat array; a run ends before its end, and at the latest with its row.
    """
    width, flat = values.shape[1], values.reshape(-1)
    change = np.empty(flat.size, bool)
    change[1:] = flat[1:] != flat[:-1]
    change[::width] = True
    starts = np.flatnonzero(change)
    return starts, np.append(starts[1:], flat.size)


def joined_runs(starts: I64, ends: I64, values: U16, width: int) -> I32:
    """The component of each run, int32 (R,). Runs of one class that touch from one row to the next are joined."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components as components_of_graph

    below = np.flatnonzero(starts >= width)
    lowest = np.searchsorted(starts, starts[below] - width, side="right") - 1
    highest = np.searchsorted(starts, ends[below] - 1 - width, side="right") - 1
    counts = highest - lowest + 1  # of the runs above that touch a run
    lower_E = np.repeat(below, counts)
    upper_E = np.arange(len(lower_E)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(lowest, counts)
    same = values[lower_E] == values[upper_E]
    pairs = (lower_E[same], upper_E[same])
    graph = coo_array((np.ones(len(pairs[0]), np.int8), pairs), shape=(len(starts), len(starts)))
    labels: I32 = components_of_graph(graph, directed=False)[1]
    return labels


def without_small(classes: U16, least: int) -> tuple[U16, int, int]:
    """Turn the components with fewer than `least` pixels into background.

    Returns:
        The classes, the number of these components, and their number of pixels.
    """
    numbers, components = connected_components(classes)
    small = np.array([False, *(component.area < least for component in components)])
    dropped = small[numbers]
    return np.where(dropped, np.uint16(0), classes), int(small.sum()), int(dropped.sum())
