"""The tokens of a split as rows: all of them, or a random sample.

Letters: I images, N tokens of all images, C channels.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.arrays import BLOCK
from usseg.pipeline.seeding import image_seed
from usseg.stages.cluster.scaling import F32

I64 = npt.NDArray[np.int64]
READ = 16 << 20  # bytes of features that are read at a time, about


def shares(counts_I: I64, most: int, *, seed: int) -> I64:
    """The number of sampled tokens of each image, int64 (I,): all tokens, or `most` tokens in total.

    Every token has the same probability to be sampled. The share of an image differs from its exact share of the
    sample by less than one token.

    Args:
        counts_I: int64 (I,), the number of tokens of each image.
        most: largest number of tokens in total, up to 1e9.
        seed: decides which images have their exact share rounded up.
    """
    total = int(counts_I.sum())
    if total <= most:
        return counts_I
    start = int(np.random.default_rng(seed).integers(total))
    ends = (np.cumsum(counts_I) * most + start) // total
    return np.diff(ends, prepend=0)


def chosen_tokens(count: int, share: int, *, seed: int) -> I64:
    """The numbers of the sampled tokens of an image: int64 (share,), ascending.

    Every subset of `share` of the `count` tokens has the same probability.
    """
    if share == count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, share, replace=False, shuffle=False))


def token_rows(patches: Any, counts_I: I64, shares_I: I64, ids: Sequence[str], *, seed: int) -> Iterator[F32]:
    """The features of the sampled tokens, float32 (token, C), in the order of images and tokens.

    Each piece holds some images.

    Args:
        patches: stored array (image, token, channel), padded: only the first counts_I[i] tokens of image i are valid.
        counts_I, shares_I: the argument and the result of `shares`.
        ids: ids of the images. The sample of an image depends on its id and the seed alone.
        seed: seed of the sample.
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
