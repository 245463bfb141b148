"""The tokens of a split as rows: all of them, or a sample. I images, N tokens in all, C channels."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.arrays import BLOCK
from usseg.pipeline.seeding import image_seed
from usseg.stages.cluster.scaling import F32

I64 = npt.NDArray[np.int64]
READ = 16 << 20  # bytes of features, about, that are read at a time


def shares(counts_I: I64, most: int, *, seed: int) -> I64:
    """How many tokens of each image are taken: all, or `most` of them in total, int64 (I,).

    In a sample every token has the same chance, and every image gives its share of the sample, to less than one token.

    Args:
        counts_I: tokens of each image, int64 (I,).
        most: rows that are allowed in total, up to 1e9.
        seed: says where in the order of the images the parts of a token are rounded up.
    """
    total = int(counts_I.sum())
    if total <= most:
        return counts_I
    start = int(np.random.default_rng(seed).integers(total))
    ends = (np.cumsum(counts_I) * most + start) // total
    return np.diff(ends, prepend=0)


def chosen_tokens(count: int, share: int, *, seed: int) -> I64:
    """Which tokens of an image are taken, int64 (share,), ascending: `share` of `count`, each subset with the same chance."""
    if share == count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, share, replace=False, shuffle=False))


def token_rows(patches: Any, counts_I: I64, shares_I: I64, ids: Sequence[str], *, seed: int) -> Iterator[F32]:
    """The rows of the taken tokens, float32 (token, C), image after image and row by row; some images at a time.

    Args:
        patches: (image, token, channel), a stored array: padded, so that image i has counts_I[i] rows.
        counts_I, shares_I: as `shares` takes and gives them.
        ids: of the images; the choice in an image depends on its id and the seed alone.
    """
    _, longest, channels = patches.shape
    images = min(BLOCK, max(1, READ // max(1, longest * channels * patches.dtype.itemsize)))
    for start in range(0, len(counts_I), images):
        block = range(start, min(start + images, len(counts_I)))
        if not shares_I[block].any():
            continue
        stored = patches[block.start : block.stop, : int(counts_I[block].max())]
        yield np.concatenate(
            [
                stored[i - start, chosen_tokens(int(counts_I[i]), int(shares_I[i]), seed=image_seed(seed, ids[i]))]
                for i in block
            ]
        ).astype(np.float32)
