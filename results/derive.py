"""Derived projects: edited params of a source project, and artifacts that both projects share."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usseg.pipeline.disk import write_file
from usseg.pipeline.params import PARAMS_FILE
from usseg.pipeline.project import INDEX, Project

Edits = Mapping[str, Mapping[str, Any]]


def derive(source: Project, folder: Path, edits: Edits, *, share: Mapping[str, Path]) -> Project:
    """Create a derived project in a folder, or update the one that is already in it.

    Args:
        source: the project whose params are edited. A relative `index.root` becomes absolute.
        folder: the folder of the derived project; it is created if missing.
        edits: section -> changed values. If the method of a section changes, options that are not named have defaults.
        share: stages whose artifacts are links -> the root of the project that owns the artifacts. The links of all
            other stages are removed: an artifact would be written through them.

    Raises:
        ParamsError: the edited params are not valid. Nothing is written then.
    """
    content = edited_params(source, edits)
    project = Project.of(source.stages, folder, content)
    (folder / "artifacts").mkdir(parents=True, exist_ok=True)
    write_file(folder / PARAMS_FILE, json.dumps(content, indent=1).encode())  # JSON is YAML
    for name in source.stages:
        link = folder / "artifacts" / name
        if name not in share and link.is_symlink():
            link.unlink()
    for name, owner in share.items():
        link, target = folder / "artifacts" / name, (owner / "artifacts" / name).resolve()
        if link.is_symlink() and Path(os.readlink(link)) != target:
            link.unlink()
        if not link.is_symlink():
            link.symlink_to(target)
    return project


def edited_params(source: Project, edits: Edits) -> dict[str, Any]:
    """The complete params of a project with edits, in the form of params.yaml."""
    content = {name: params.model_dump(mode="json") for name, params in source.params.items()}
    root = Path(os.path.expanduser(content[INDEX]["root"]))
    content[INDEX]["root"] = str((source.root / root).resolve())
    for name, values in edits.items():
        choice = source.stages[name].choice
        if values.get(choice, content[name].get(choice)) != content[name].get(choice):
            content[name]["options"] = {}
        content[name] |= values
    return content
