"""What a method that reads proposals gets besides rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from usseg.stages.cluster.proposals import ImageProposals


def images_of(rows: np.ndarray, proposals: np.ndarray | None = None, *, most: int = 6) -> ImageProposals:
    """Images of at most `most` rows each. Without `proposals`, every row is a proposal of its own."""
    starts = np.arange(0, len(rows), most)
    counts = np.minimum(most, len(rows) - starts)

    def read(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at = starts[images][:, None] + np.arange(counts[images[0]])
        own = at - starts[images][:, None] + 1 if proposals is None else proposals[at]
        return np.asarray(rows[at], np.float32), own.astype(np.int64)

    return ImageProposals(counts, rows.shape[1], read)


@pytest.fixture(scope="session")
def images() -> Callable[..., ImageProposals]:
    return images_of


@pytest.fixture(scope="session")
def besides() -> Callable[[Any, np.ndarray], dict[str, Any]]:
    """(method, rows) -> the further arguments of the method."""

    def arguments(method: Any, rows: np.ndarray) -> dict[str, Any]:
        return {"images": images_of(rows)} if "segments" in method.reads(method.options()) else {}

    return arguments
