"""Datasets that usseg knows by name: those that are published, and the folders that annotation tools export."""

from pathlib import Path

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.params import nearest, read_params
from usseg.results.datasets.cvat import cvat_layout
from usseg.results.datasets.layouts import Layout, settings_of
from usseg.results.datasets.published import LAYOUTS
from usseg.results.params_file import check_params, write_settings

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


def apply_dataset(project: Path, folder: Path, layout: str) -> list[str]:
    """Write what params.yaml says of the dataset in a folder; returns a line per changed key.

    Raises:
        ParamsError: no such folder or layout, no usable params.yaml, or settings that do not go together.
            Nothing is written then.
    """
    if not folder.is_dir():
        raise ParamsError(f"no folder {folder}; name the one that holds the dataset")
    # What params.yaml says is relative to the project, not to where the command is given.
    root = folder if (project / folder).resolve() == folder.resolve() else folder.resolve()
    settings = settings_of(find_layout(layout, root), root, read_params(project.resolve()))
    return write_settings(project.resolve(), settings, check=check_params)
