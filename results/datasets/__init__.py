"""Datasets that usseg knows by name: those that are published, and the folders that annotation tools export."""

from pathlib import Path

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.params import nearest
from usseg.results.datasets.cvat import cvat_layout
from usseg.results.datasets.layouts import Layout
from usseg.results.datasets.published import LAYOUTS

CVAT = {"cvat": "segmentation masks as CVAT exports them, classes and colours from labelmap.txt"}
SUMMARIES = {**{layout.name: layout.summary for layout in LAYOUTS.values()}, **CVAT}


def find_layout(name: str, root: Path | None = None) -> Layout:
    """A layout by name; one whose classes the folder itself tells needs the folder.

    Raises:
        ParamsError: no such layout, or the folder does not tell.
    """
    if name in CVAT and root is not None:
        return cvat_layout(root)
    if name not in LAYOUTS:
        raise ParamsError(f"no dataset {name!r}{nearest(name, SUMMARIES)} (known: {', '.join(SUMMARIES)})")
    return LAYOUTS[name]
