"""The manifest of a split: a table of the classes in each image."""

from collections import Counter
from collections.abc import Callable, Iterator
from csv import writer
from io import StringIO
from typing import Any

import numpy as np

from usseg.pipeline.disk import write_file
from usseg.pipeline.orientation import orientation_of
from usseg.results.export.source import Source


def write_manifest(source: Source, map_in_order: Callable[..., Iterator[Any]]) -> Iterator[str]:
    """Write `manifest-SPLIT.csv`. Yield lines about small components and rotation.

    A row has an image, a class, its share of the pixels, and its uncertainty: 1 minus the mean margin of the patches
    under its pixels. The margin is that between clusters, also where several clusters are one class.
    """

    def shares(i: int) -> tuple[list[list[object]], int, int, bool]:
        masks, components, pixels = source.masks(i)
        counts, doubts = source.shares(i, masks)
        turned = (orientation_of(source.split.root / masks.path) or 1) != 1
        rows: list[list[object]] = [
            [
                *(masks.path, source.classes.names[category]),
                *(f"{counts[category] / masks.classes.size:.6f}", f"{doubts[category] / counts[category]:.4f}"),
            ]
            for category in np.flatnonzero(counts).tolist()
        ]
        return rows, components, pixels, turned

    text = StringIO()
    table = writer(text, lineterminator="\n")
    table.writerow(["image", "class", "share", "uncertainty"])
    count: Counter[str] = Counter()
    for rows, components, pixels, turned in map_in_order(shares, range(len(source.split.ids))):
        table.writerows(rows)
        count.update(components=components, pixels=pixels, turned=int(turned))
    split, total = source.split, sum(height * width for height, width in source.split.sizes)
    write_file(split.folder / f"manifest-{split.name}.csv", text.getvalue().encode())
    if source.min_area:
        yield (
            f"{split.name}: {count['components']} components below {source.min_area} pixels became background "
            f"({count['pixels'] / total:.2%} of the pixels)"
        )
    if count["turned"]:
        yield (
            f"{split.name}: EXIF turns {count['turned']} of {len(split.ids)} photos; their masks are upright, "
            "so the annotation tool must apply EXIF, too"
        )
