"""Colour affinities between the pixels of an image at grid size (DSM, after KNN matting and random-walk matting).

Letters: H rows and W columns of the image, N = H x W pixels in row-major order, Q queries, C coordinates of a point.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import sparse

if TYPE_CHECKING:
    from torch import Tensor

F64 = npt.NDArray[np.float64]
NEIGHBOURS = ((20, 2.0), (10, 0.1))  # (k, weight of position)
CHUNK = 1024  # pixels compared with all others at a time
TIE = 1e-9  # two distances may be equal up to rounding where their relative difference is below this


def knn_affinity(image_HW3: npt.NDArray[np.floating]) -> sparse.csr_array:
    """Count the nearest-neighbour relations between pixels in colour and position.

    A pixel is the point [R, G, B, s x, s y], with x and y in [0, 1]. Each of the k nearest neighbours j of pixel i,
    pixel i itself included, adds 1 to the entries (i, j) and (j, i). This is done for (k, s) = (20, 2.0) and for (k,
    s) = (10, 0.1). Among pixels at equal distance the first in row-major order counts as nearer.

    Args:
        image_HW3: RGB in [0, 1] (row, column, 3). An image of fewer than k pixels has as many neighbours as pixels.

    Returns:
        sparse float32 (pixel, pixel), symmetric, entries 0 to 4.
    """
    count = image_HW3.shape[0] * image_HW3.shape[1]
    lists = [nearest_points(pixel_points(image_HW3, weight=weight), min(k, count)) for k, weight in NEIGHBOURS]
    neighbours = np.concatenate(lists, axis=1).astype(np.int32)
    row_starts = np.arange(0, neighbours.size + 1, neighbours.shape[1], dtype=np.int32)
    ones = np.ones(neighbours.size, np.float32)
    relations = sparse.csr_array((ones, neighbours.reshape(-1), row_starts), shape=(count, count))
    return relations + relations.T


def pixel_points(image_HW3: npt.NDArray[np.floating], *, weight: float) -> npt.NDArray[np.float32]:
    """[R, G, B, weight x, weight y] of every pixel, row-major, x and y in [0, 1]: float32 (pixel, 5)."""
    rows, cols = image_HW3.shape[:2]
    x = np.tile(np.linspace(0, 1, cols), rows)
    y = np.repeat(np.linspace(0, 1, rows), cols)
    return np.column_stack([image_HW3.reshape(-1, 3), weight * x, weight * y]).astype(np.float32)


def nearest_points(points_NC: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """The k nearest points of each point, itself included: int64 (N, k), in no order.

    Among equally near points the first are taken. A k-d tree finds them. Where the neighbours k and k + 1 of a point
    are equally far, the point is compared with all points.
    """
    from scipy.spatial import cKDTree

    if k >= len(points_NC):
        return compared_with_all(points_NC, points_NC, k)
    distances, indices = cKDTree(points_NC, balanced_tree=False).query(points_NC, k=k + 1)
    unsure = distances[:, k] - distances[:, k - 1] <= TIE * distances[:, k]
    neighbours: npt.NDArray[np.int64] = indices[:, :k].astype(np.int64)
    neighbours[unsure] = compared_with_all(points_NC[unsure], points_NC, k)
    return neighbours


def compared_with_all(
    queries_QC: npt.NDArray[np.float32], points_NC: npt.NDArray[np.float32], k: int
) -> npt.NDArray[np.int64]:
    """The k nearest points of each query by comparison with all points: int64 (Q, k), ascending indices.

    Among equally near points the first are taken. The tests compare `nearest_points` with this function.
    """
    from scipy.spatial.distance import cdist

    blocks = [np.zeros((0, k), np.int64)]
    for start in range(0, len(queries_QC), CHUNK):
        distances = cdist(queries_QC[start : start + CHUNK], points_NC, "sqeuclidean")
        limit = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
        taken, tied = distances < limit, distances == limit
        taken |= tied & (np.cumsum(tied, axis=1) <= k - taken.sum(axis=1, keepdims=True))
        blocks.append(np.nonzero(taken)[1].reshape(-1, k))
    return np.concatenate(blocks)


def with_color(
    weights_NN: npt.NDArray[np.float32], color: sparse.csr_array, *, weight: float
) -> npt.NDArray[np.float32]:
    """Add weight * W_color to the weights W in place, and return W: float32 (pixel, pixel)."""
    added = color.tocoo()
    weights_NN[added.row, added.col] += (weight * added.data).astype(np.float32)
    return weights_NN


def add_colors(
    graphs: "Sequence[npt.NDArray[np.float32]] | Tensor", images: list[F64], *, color: str, weight: float
) -> None:
    """Add weight * W_color of each image to its graph, in place, on the device of the graph.

    Args:
        graphs: float32 (pixel, pixel) of each image: NumPy arrays, or one tensor (image, pixel, pixel).
        images: RGB in [0, 1] (row, column, 3) of each image at grid size; an empty list adds nothing.
        color: `knn` or `rw` (random walk).
        weight: lambda, the factor of the colour affinity.
    """
    affinity, affinity_on = (
        (knn_affinity, knn_affinity_on) if color == "knn" else (random_walk_affinity, random_walk_affinity_on)
    )
    for row, image in enumerate(images):
        graph = graphs[row]
        if isinstance(graph, np.ndarray):
            with_color(graph, affinity(image), weight=weight)
        else:
            graph += weight * affinity_on(str(graph.device), image)


def knn_affinity_on(device: str, image_HW3: npt.NDArray[np.floating]) -> "Tensor":
    """`knn_affinity` by torch, for a GPU: dense float32 (pixel, pixel) on the device.

    All pixels are compared with all pixels.
    """
    import torch

    count = image_HW3.shape[0] * image_HW3.shape[1]
    relations = torch.zeros(count, count, device=device)
    for k, weight in NEIGHBOURS:
        points = torch.from_numpy(pixel_points(image_HW3, weight=weight)).to(device).double()
        used = min(k, count)
        distances = torch.zeros(count, count, dtype=torch.float64, device=device)
        for channel in points.T:
            distances += (channel[:, None] - channel).square()
        limit = distances.topk(used, dim=1, largest=False).values[:, -1:]
        taken, tied = distances < limit, distances == limit
        taken |= tied & (tied.cumsum(dim=1) <= used - taken.sum(dim=1, keepdim=True))
        relations += taken
    return relations + relations.T


def random_walk_affinity_on(device: str, image_HW3: npt.NDArray[np.floating], *, sharpness: float = 900.0) -> "Tensor":
    """`random_walk_affinity` as a dense tensor on a device: float32 (pixel, pixel)."""
    import torch

    added = random_walk_affinity(image_HW3, sharpness=sharpness).astype(np.float32)
    return torch.from_numpy(added.toarray()).to(device)


def random_walk_affinity(image_HW3: npt.NDArray[np.floating], *, sharpness: float = 900.0) -> sparse.csr_array:
    """The weight exp(-sharpness |I_i - I_j|^2) between each pixel i and the pixels j of the 3 x 3 window around it.

    A neighbour outside the image counts as the nearest border pixel. The weights of border pixels therefore add up.

    Args:
        image_HW3: RGB in [0, 1] (row, column, 3).
        sharpness: inverse variance of the colour difference.

    Returns:
        sparse float64 (pixel, pixel), symmetric, with the weight of each pixel to itself.
    """
    rows, cols = image_HW3.shape[:2]
    pixels = image_HW3.reshape(-1, 3).astype(np.float64)
    r, c = (grid.reshape(-1) for grid in np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"))
    sources, targets = [], []
    for dr in (-1, 0, 1):
        for dc in (-1, 0, 1):
            sources.append(np.arange(rows * cols))
            targets.append(np.clip(r + dr, 0, rows - 1) * cols + np.clip(c + dc, 0, cols - 1))
    i, j = np.concatenate(sources), np.concatenate(targets)
    weights = np.exp(-sharpness * ((pixels[i] - pixels[j]) ** 2).sum(axis=1))
    return sparse.csr_array((weights, (i, j)), shape=(rows * cols, rows * cols))


def grid_image(
    image: npt.NDArray[np.uint8],
    grid: tuple[int, int],
    *,
    extent: tuple[int, int] | None = None,
    offset: tuple[int, int] = (0, 0),
) -> F64:
    """Resize an image to grid size, bilinear with antialias: float64 RGB in [0, 1] (row, column, 3).

    Args:
        image: uint8 RGB (height, width, 3).
        grid: rows and columns.
        extent: height and width in pixels of the part that the grid covers. The image is cropped to this part first.
            Beyond the image its last row and column are repeated. None: the whole image (DSM; off by up to a patch).
        offset: row and column of the first pixel of this part.
    """
    from PIL import Image

    pixels = image
    if extent is not None:
        (top, left), (rows, columns) = offset, extent
        pixels = image[top : top + rows, left : left + columns]
        beyond = ((0, rows - pixels.shape[0]), (0, columns - pixels.shape[1]), (0, 0))
        pixels = np.pad(pixels, beyond, mode="edge")
    resized = Image.fromarray(np.ascontiguousarray(pixels)).resize((grid[1], grid[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.float64) / 255.0
