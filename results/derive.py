"""A project that is made from another: params with edits, and artifacts that both share."""

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
    """Make a project in a folder, or bring one that was made there up to date.

    Args:
        source: the project whose params are edited. Its relative `index.root` becomes absolute.
        folder: of the new project; made where it is missing.
        edits: by section, the values that differ. A section whose method changes gets default options for what is not named.
        share: the stages whose artifacts are links, and the root of the project that each links to.

    Raises:
        ParamsError: the edited params are not valid; nothing is written.
    """
    content = edited_params(source, edits)
    params = Project.of(source.stages, folder, content)
    (folder / "artifacts").mkdir(parents=True, exist_ok=True)
    write_file(folder / PARAMS_FILE, json.dumps(content, indent=1).encode())  # JSON is YAML
    for name, owner in share.items():
        link, target = folder / "artifacts" / name, (owner / "artifacts" / name).resolve()
        if link.is_symlink() and Path(os.readlink(link)) != target:
            link.unlink()
        if not link.is_symlink():
            link.symlink_to(target)
    return params


def edited_params(source: Project, edits: Edits) -> dict[str, Any]:
    """The complete params of a project with edits, as the content of params.yaml."""
    content = {name: params.model_dump(mode="json") for name, params in source.params.items()}
    root = Path(os.path.expanduser(content[INDEX]["root"]))
    content[INDEX]["root"] = str((source.root / root).resolve())
    for name, values in edits.items():
        choice = source.stages[name].choice
        if values.get(choice, content[name].get(choice)) != content[name].get(choice):
            content[name]["options"] = {}
        content[name] |= values
    return content
