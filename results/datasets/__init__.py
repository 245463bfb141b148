"""Datasets that usseg knows by name: published datasets, and the exports of annotation tools."""

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
    """The layout of a dataset.

    Args:
        name: a key of SUMMARIES.
        root: the folder of the dataset; needed for an export, whose classes are read from the folder.

    Raises:
        ParamsError: no dataset has this name, or the folder does not hold such an export.
    """
    if name in CVAT and root is not None:
        return cvat_layout(root)
    if name not in LAYOUTS:
        raise ParamsError(f"no dataset {name!r}{nearest(name, SUMMARIES)} (known: {', '.join(SUMMARIES)})")
    return LAYOUTS[name]


def apply_dataset(project: Path, folder: Path, layout: str) -> list[str]:
    """Write the settings of a dataset into params.yaml.

    Args:
        project: the project folder.
        folder: the folder of the dataset. A path that is relative to the project is written as it is.
        layout: a key of SUMMARIES.

    Returns:
        One line for each changed key.

    Raises:
        ParamsError: the folder, the dataset or params.yaml is missing, or settings contradict each other. Nothing is
            written then.
    """
    if not folder.is_dir():
        raise ParamsError(f"no folder {folder}; name the one that holds the dataset")
    # A path in params.yaml is relative to the project, not to the working directory.
    root = folder if (project / folder).resolve() == folder.resolve() else folder.resolve()
    settings = settings_of(find_layout(layout, root), root, read_params(project.resolve()))
    return write_settings(project.resolve(), settings, check=check_params)
