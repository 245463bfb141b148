"""MATLAB files: the array of a file, and its size from the headers."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.errors import ImageError, reason
from usseg.pipeline.files import check_regular


def read_matrix(path: Path) -> npt.NDArray[Any]:
    """The array of a MATLAB file that has exactly one.

    Raises:
        ImageError: the file is unreadable, or has no array or several.
    """
    from scipy.io import loadmat

    check_regular(path)
    try:
        with path.open("rb") as stream:
            arrays = {name: value for name, value in loadmat(stream).items() if not name.startswith("__")}
    except Exception as error:  # scipy raises many types for damaged files
        raise ImageError(f"{path}: {reason(error)}") from None
    if len(arrays) != 1:
        raise ImageError(f"{path}: found the arrays {sorted(arrays)}; a file with one is needed")
    return np.asarray(next(iter(arrays.values())))


def matrix_size(path: Path) -> tuple[int, int]:
    """Width and height of the largest array of a MATLAB file, from its headers. (0, 0) without arrays.

    Raises:
        ImageError: the file is unreadable.
    """
    from scipy.io import whosmat

    check_regular(path)
    try:
        with path.open("rb") as stream:
            shapes = [shape for _, shape, _ in whosmat(stream)]
    except Exception as error:  # scipy raises many types for damaged files
        raise ImageError(f"{path}: {reason(error)}") from None
    sizes = [(*shape, 1, 1)[:2] for shape in shapes]  # text has a single axis
    height, width = max(sizes, key=math.prod, default=(0, 0))
    return width, height
