"""What a filter gets, and what it returns. Read this before you write one. Letters: an image has H x W pixels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.methods import Method
from usseg.pipeline.sequence import sequence_of
from usseg.stages.grids.upsampling import upsample_labels, upsample_shares

F32 = npt.NDArray[np.float32]
Window = tuple[slice, slice]


@dataclass(frozen=True)
class LabelMap:
    """One image and its labels: on the token grid, or at full size after another filter.

    Attributes:
        labels: int16 (row, column) on the grid.
        size: (H, W).
        extent: height and width in pixels of the part that the grid covers; None: the grid is stretched over the image.
        image: uint8 RGB (H, W, 3); None for a filter that reads no pixels.
        offset: row and column of the first pixel under the grid.
        masks: label -> soft mask, float32 (H, W) in [0, 1], from the filter before; None: no filter before, or one
            without masks.
        masks_wanted: another filter follows, which can use soft masks.
        fine: the foreground probability of each pixel by the fine branch of the trained segmenter, float32 (H, W);
            None for a filter that does not read `segmenter`.
        unseen: the label of an object where the map has none: 1 for segments; 0, no object, for labels of clusters.
    """

    labels: npt.NDArray[np.int16]
    size: tuple[int, int]
    extent: tuple[int, int] | None
    image: npt.NDArray[np.uint8] | None
    offset: tuple[int, int] = (0, 0)
    masks: Mapping[int, F32] | None = None
    masks_wanted: bool = False
    fine: F32 | None = None
    unseen: int = 0

    @cached_property
    def upsampled(self) -> npt.NDArray[np.int16]:
        """The label of every pixel, int16 (H, W): the label of its token."""
        if self.labels.shape == self.size and self.extent is None:
            return self.labels
        return upsample_labels(self.labels, self.size, extent=self.extent, offset=self.offset)

    @cached_property
    def present(self) -> list[int]:
        """The labels that a pixel may take, ascending, at least one."""
        if self.masks:
            return sorted(self.masks)
        labels: list[int] = np.unique(self.upsampled).tolist()
        return labels

    def mask(self, label: int) -> npt.NDArray[np.bool_] | F32:
        """The mask of a label, (H, W): the soft mask of the filter before, else the pixels that have the label."""
        return self.masks[label] if self.masks else self.upsampled == label

    def share(self, label: int) -> F32:
        """The share of a label in each pixel, float32 (H, W) in [0, 1].

        It is the soft mask of the filter before, else interpolated bilinearly between the centres of the tokens.
        """
        if self.masks:
            return self.masks[label]
        return upsample_shares(self.labels == label, self.size, extent=self.extent, offset=self.offset)

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """The image, uint8 RGB (H, W, 3), for a filter that reads pixels."""
        assert self.image is not None
        return self.image

    def cropped(self, window: Window) -> "LabelMap":
        """A part of the image with its labels, at full size.

        Labels whose soft mask is 0 in the whole part are left out.
        """
        labels = self.upsampled[window]
        masks = {label: mask[window] for label, mask in (self.masks or {}).items() if mask[window].any()}
        image = None if self.image is None else self.image[window]
        height, width = labels.shape
        return replace(
            self, labels=labels, size=(height, width), extent=None, image=image, offset=(0, 0), masks=masks or None
        )


@dataclass(frozen=True)
class Refined:
    """The output of a filter.

    Attributes:
        labels: int16 (H, W), each of them one of `LabelMap.present`.
        foreground: uint8 (H, W), 255 times the foreground probability (of all labels but 0), rounded up.
        masks: where `masks_wanted`, label -> soft mask, float32 (H, W) in [0, 1], for each label of `present`. None:
            no soft masks.
    """

    labels: npt.NDArray[np.int16]
    foreground: npt.NDArray[np.uint8]
    masks: Mapping[int, F32] | None = None


@dataclass(frozen=True)
class RefineMethod(Method):
    """The entry of a filter.

    `call(given, options)` returns a `Refined` of the image's size. The result depends on the arguments alone. A pixel
    for which the filter cannot decide keeps its label. A filter of masks reads `given.mask(label)`, as the first
    filter and after another one. Soft masks of many labels need much memory: return them only where
    `given.masks_wanted`.

    Attributes:
        pixels: the filter reads the image. Otherwise the image is not decoded, and `given.image` is None.
    """

    call: Callable[[LabelMap, Any], Refined]
    pixels: bool = True


def sequence(parts: Sequence[tuple[str, RefineMethod]]) -> RefineMethod:
    """The entry of several filters in sequence. Each filter gets the labels and soft masks of the filter before."""

    def call(given: LabelMap, options: Any) -> Refined:
        *others, (name, last) = parts
        for before, method in others:
            refined = method.call(replace(given, masks_wanted=True), getattr(options, before))
            given = replace(given, labels=refined.labels, extent=None, offset=(0, 0), masks=refined.masks)
        return last.call(given, getattr(options, name))

    return sequence_of(RefineMethod, parts, call=call, pixels=any(method.pixels for _, method in parts))
