"""Random views of the images of the fit split.

Letters: B images, N tokens, C channels, H x W pixels.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from usseg.stages.heads.multi_scale import Part, random_part
from usseg.stages.segmenter.method import F32, I64, U8, FitImages, FitTokens
from usseg.stages.segmenter.photometric import augmented


@dataclass(frozen=True)
class Views:
    """A view is a window of whole patches at a random place, with random flips and colours if `augment` is set.

    Attributes:
        tokens: the tokens of the fit split.
        images: its images.
        window: largest side of a window, pixels. An image with a shorter side is used in whole along that side.
        augment: flip and change colours. The backbone then describes each view anew; otherwise the view has the stored
            tokens of its window.
        part: ratio and place of the part of each view that is enlarged and described too; None: no part.
        seed: of all random numbers, with the epoch and the image.
    """

    tokens: FitTokens
    images: FitImages
    window: int
    augment: bool
    part: tuple[float, Literal["random", "fixed_center"]] | None
    seed: int

    def grid(self, image: int) -> tuple[int, int]:
        """Rows and columns of patches of the views of an image."""
        most = max(1, self.window // self.images.patch)
        rows, columns = (min(int(length), most) for length in self.images.grids[image])
        return rows, columns

    def of_equal_grid(self, images: I64) -> list[I64]:
        """Split image numbers into parts whose views have equal grids."""
        grids = [self.grid(image) for image in images.tolist()]
        return [images[[one == grid for one in grids]] for grid in sorted(set(grids))]

    def read(self, images: I64, epoch: int) -> tuple[Any, ...]:
        """The views of some images whose views have equal grids.

        Returns:
            pixels uint8 (B, H, W, 3) and tokens float32 (B, N, C). With `part`, also the pixels and the tokens of the
            enlarged parts, and the parts as int64 (B, 4). Without tokens (N = 0) where `images.in_step` is set and the
            view has to be described.
        """
        drawn = [self.draw(image, np.random.default_rng([self.seed, epoch, image])) for image in images.tolist()]
        pixels = np.stack([view for view, _, _ in drawn])
        windows = [stored for _, stored, _ in drawn]
        described = self.described(pixels) if self.augment else np.stack(windows)
        if self.part is None:
            return pixels, described
        enlarged = np.stack([enlarge(view, part) for view, _, part in drawn])
        places = np.array([[part.top, part.left, part.height, part.width] for _, _, part in drawn], np.int64)
        return pixels, described, enlarged, self.described(enlarged), places

    def described(self, pixels: U8) -> F32:
        """The tokens of views, or none where a step describes them."""
        if self.images.in_step:
            return np.zeros((len(pixels), 0, self.tokens.channels), np.float32)
        return self.images.describe(list(pixels))

    def draw(self, image: int, rng: np.random.Generator) -> tuple[U8, F32, Part]:
        """One view: its pixels, the stored tokens of its window (none with `augment`), its part."""
        patch, (rows, columns) = self.images.patch, self.images.grids[image].tolist()
        height, width = self.grid(image)
        top, left = int(rng.integers(rows - height + 1)), int(rng.integers(columns - width + 1))
        whole = self.images.read(image)
        view = whole[top * patch : (top + height) * patch, left * patch : (left + width) * patch]
        stored = np.zeros((0, self.tokens.channels), np.float32)
        if self.augment:
            view = augmented(view, rng)
        else:
            grid = self.tokens.read(np.array([image]))[0].reshape(rows, columns, -1)
            stored = grid[top : top + height, left : left + width].reshape(height * width, -1)
        size = (height * patch, width * patch)
        ratio, place = self.part or (1.0, "random")
        return view, stored, random_part(size, ratio=ratio, place=place, patch=patch, rng=rng)


def enlarge(view: U8, part: Part) -> U8:
    """The part of a view, enlarged bilinearly to the size of the view: uint8 (H, W, 3)."""
    from PIL import Image

    cut = view[part.top : part.top + part.height, part.left : part.left + part.width]
    size = (view.shape[1], view.shape[0])
    return np.asarray(Image.fromarray(np.ascontiguousarray(cut)).resize(size, Image.Resampling.BILINEAR))
