"""Run every pair of a segments method and a cluster method over one feature dump.

Each pair is a small project of its own below one folder: its params.yaml, its artifacts, and links to what it shares
with others. So the runner's rules hold: what is current is not run again, and what was interrupted continues.
"""

import copy
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from usseg.pipeline.artifact import write_file
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.inputs import Table, fit_split, needed_stages
from usseg.pipeline.params import PARAMS_FILE
from usseg.pipeline.runner import run_stage
from usseg.pipeline.sections import check_sections, read_sections
from usseg.pipeline.stage import Execution


@dataclass(frozen=True)
class Pair:
    """One finished combination: its methods and its project."""

    segments: str
    cluster: str
    project: Path


def run_pairs(
    stages: Table, folder: Path, segments: Sequence[str], clusters: Sequence[str], execution: Execution
) -> Iterator[Pair]:
    """Bring every pair up to date, in order; yields each when it is done.

    Options of a method other than that of params.yaml are its defaults.

    Args:
        stages: the table of stages.
        folder: where the projects of the pairs stand.
        segments: values of `segments.method`.
        clusters: values of `cluster.method`.
        execution: its project has the params, and the features that all share.

    Raises:
        ParamsError, ArtifactError, ImageError: as `run_stage`.
    """
    source = execution.project
    content = read_sections(stages, source)
    for method in segments:
        for cluster in clusters:
            check_sections(stages, with_method(with_method(content, "segments", method), "cluster", cluster))
    splits = list(content["index"]["splits"])
    needed = {name for method in segments for name in needed_stages(stages, with_method(content, "segments", method))}
    run_all(stages, execution, [name for name in ("index", "features", "eigen") if name in needed], splits)
    run_all(stages, execution, [name for name in ("model",) if name in needed], [fit_split(content)])
    content["index"]["root"] = str((source / os.path.expanduser(content["index"]["root"])).resolve())
    weights = content["features"].get("weights")
    if weights and not Path(weights).is_absolute():
        raise ParamsError(
            f"params.yaml: features.weights: found {weights!r}; to compare methods, an absolute path is needed"
        )
    write_project(folder, content, {})
    run_all(stages, replace(execution, project=folder), ("index",), splits)
    shared = {"index": folder, "features": source, "eigen": source, "model": source}
    for method in segments:
        cut = with_method(content, "segments", method)
        cut_folder = folder / method
        write_project(cut_folder, cut, shared)
        read = needed_stages(stages, cut)
        run_all(stages, replace(execution, project=cut_folder), ("segments", *({"crops"} & read)), splits)
        for cluster in clusters:
            pair = Pair(method, cluster, cut_folder / cluster)
            write_project(
                pair.project,
                with_method(cut, "cluster", cluster),
                {**shared, "segments": cut_folder, "crops": cut_folder},
            )
            own = replace(execution, project=pair.project)
            run_all(stages, own, {"cluster"} & read, [fit_split(content)])
            run_all(stages, own, (*({"assign"} & read), "refine", "evaluate"), splits)
            yield pair


def run_all(stages: Table, execution: Execution, names: Collection[str], splits: Sequence[str]) -> None:
    """Run stages in order for every split."""
    for name in names:
        for split in splits:
            run_stage(stages, name, split, execution)


def with_method(content: Mapping[str, Any], section: str, method: str) -> dict[str, Any]:
    """The content of params.yaml with another method in one section."""
    changed: dict[str, Any] = copy.deepcopy(dict(content))
    if changed[section]["method"] != method:
        changed[section] |= {"method": method, "options": {}}
    return changed


def write_project(folder: Path, content: Mapping[str, Any], shared: Mapping[str, Path]) -> None:
    """Write params.yaml, and link the artifacts of some stages to those of other projects."""
    (folder / "artifacts").mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1)  # JSON is YAML
    write_file(folder / PARAMS_FILE, text.encode())
    for name, owner in shared.items():
        link = folder / "artifacts" / name
        target = (owner / "artifacts" / name).resolve()
        if link.is_symlink() and Path(os.readlink(link)) != target:
            link.unlink()
        if not link.is_symlink():
            link.symlink_to(target)
