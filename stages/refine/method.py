"""What a filter gets, and what it returns: read this before you write one. H x W pixels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import Method
from usseg.pipeline.sequence import sequence_of
from usseg.stages.refine.upsampling import upsample_labels, upsample_shares

F32 = npt.NDArray[np.float32]
Window = tuple[slice, slice]


@dataclass(frozen=True)
class LabelMap:
    """One image and its labels so far: on a grid of tokens, or at full size where another filter has come before.

    Attributes:
        labels: int16 (row, column) of the grid.
        size: H, W.
        extent: the pixels that the grid covers, from `offset` on; None: it is stretched over the image.
        image: uint8 RGB (H, W, 3); None for a filter that reads no pixels.
        offset: the first pixel of the extent.
        masks: of the filter before, for each label a soft mask, float32 (H, W) in [0, 1]; None: it gave none, or there
            was none.
        masks_wanted: another filter follows, which can take soft masks.
    """

    labels: npt.NDArray[np.int16]
    size: tuple[int, int]
    extent: tuple[int, int] | None
    image: npt.NDArray[np.uint8] | None
    offset: tuple[int, int] = (0, 0)
    masks: Mapping[int, F32] | None = None
    masks_wanted: bool = False

    @cached_property
    def upsampled(self) -> npt.NDArray[np.int16]:
        """The label of every pixel, int16 (H, W): that of its token."""
        if self.labels.shape == self.size and self.extent is None:
            return self.labels
        return upsample_labels(self.labels, self.size, extent=self.extent, offset=self.offset)

    @cached_property
    def present(self) -> list[int]:
        """The labels that a pixel may take, ascending, at least one."""
        found: list[int] = np.unique(self.upsampled).tolist()
        return sorted(self.masks) if self.masks else found

    def mask(self, label: int) -> npt.NDArray[np.bool_] | F32:
        """The mask of a label to filter, (H, W): the soft one of the filter before, else the pixels that have the label."""
        return self.masks[label] if self.masks else self.upsampled == label

    def share(self, label: int) -> F32:
        """How near each pixel is to a label, float32 (H, W) in [0, 1]: the soft mask, else interpolated between centres of tokens."""
        if self.masks:
            return self.masks[label]
        return upsample_shares(self.labels == label, self.size, extent=self.extent, offset=self.offset)

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The image of a filter that reads pixels."""
        assert self.image is not None
        return self.image

    def window(self, seen: Window) -> "LabelMap":
        """A part of the image, at full size. Labels whose soft mask is zero in it are left out."""
        labels = self.upsampled[seen]
        masks = {label: mask[seen] for label, mask in (self.masks or {}).items() if mask[seen].any()}
        image = None if self.image is None else self.image[seen]
        height, width = labels.shape
        return replace(
            self, labels=labels, size=(height, width), extent=None, image=image, offset=(0, 0), masks=masks or None
        )


@dataclass(frozen=True)
class Refined:
    """What a filter makes of a map.

    Attributes:
        labels: int16 (H, W), each of them one of `LabelMap.present`.
        foreground: uint8 (H, W), 255 times the probability that a pixel is not label 0, rounded up.
        masks: for each label of `present` a soft mask, float32 (H, W) in [0, 1], where `masks_wanted`. None: the
            labels say all.
    """

    labels: npt.NDArray[np.int16]
    foreground: npt.NDArray[np.uint8]
    masks: Mapping[int, F32] | None = None


@dataclass(frozen=True)
class RefineMethod(Method):
    """The entry of a filter.

    `call(given, options)` returns a `Refined` of the image's size. What it returns depends on its arguments alone.
    Where no label can be decided the label that the pixel had is right. `given.mask(label)` is what a filter of masks
    takes, whether it comes first or after another one. Soft masks of many labels take much memory: make them only
    where `given.masks_wanted`.

    Attributes:
        pixels: the filter reads the image. Otherwise the image is not decoded, and `given.image` is None.
    """

    call: Callable[[LabelMap, Any], Refined]
    pixels: bool = True


def sequence(parts: Sequence[tuple[str, RefineMethod]]) -> RefineMethod:
    """The entry of filters one after another: each gets the labels and soft masks of the one before."""

    def call(given: LabelMap, options: Any) -> Refined:
        *others, (name, last) = parts
        for before, method in others:
            found = method.call(replace(given, masks_wanted=True), getattr(options, before))
            given = replace(given, labels=found.labels, extent=None, offset=(0, 0), masks=found.masks)
        return last.call(given, getattr(options, name))

    return sequence_of(RefineMethod, parts, call=call, pixels=any(method.pixels for _, method in parts))
