"""Values and label maps as text of scripts: a page from file:// can load scripts, but no JSON and no pixels."""

import base64
import json
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt


def call(function: str, *values: Any) -> bytes:
    """A script that calls a function of the page with JSON values. It is ASCII and cannot end a script element."""
    text = ", ".join(json.dumps(value, separators=(",", ":"), sort_keys=True, allow_nan=False) for value in values)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"USSEG.{function}({text});\n".encode("ascii")


def packed(labels_hw: npt.NDArray[np.integer]) -> dict[str, Any]:
    """Labels (h, w) from -1 on, exactly: {"h", "w", "bytes", "data"}.

    `data` is the base64 of a zlib stream of label + 1, row by row, in 1 byte or in 2 with the lower one first.
    """
    shifted = np.asarray(labels_hw, np.int64) + 1
    size = 1 if shifted.max(initial=0) < 256 else 2
    h, w = labels_hw.shape
    stream = zlib.compress(shifted.astype("<u1" if size == 1 else "<u2").tobytes(), 6)
    return {"h": h, "w": w, "bytes": size, "data": base64.b64encode(stream).decode()}
