"""Where the number of a label is written on a map: inside each region, as far from its edge as possible."""

import cv2
import numpy as np
import numpy.typing as npt

LEAST = 0.004  # share of the map; a smaller region gets no number
MOST = 40  # numbers on a map; the largest regions get one


def label_anchors(labels_hw: npt.NDArray[np.integer]) -> list[tuple[int, float, float]]:
    """Label, x and y of each number; x and y as shares of the width and height. Larger regions come first.

    Labels of 0 and less, which are no classes, get no number.
    """
    h, w = labels_hw.shape
    found = []
    for label in np.unique(labels_hw[labels_hw > 0]).tolist():
        mask = np.pad((labels_hw == label).astype(np.uint8), 1)
        _, regions, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
        inside = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
        for region in range(1, len(facts)):
            x, y, width, height, area = facts[region].tolist()
            if area < max(LEAST * h * w, 1):
                continue
            box = (slice(y, y + height), slice(x, x + width))
            depth = np.where(regions[box] == region, inside[box], -1)
            row, column = np.unravel_index(int(depth.argmax()), depth.shape)
            found.append((area, label, round((x - 0.5 + int(column)) / w, 4), round((y - 0.5 + int(row)) / h, 4)))
    found.sort(key=lambda region: (-region[0], region[1:]))
    return [(label, x, y) for _, label, x, y in found[:MOST]]
