"""Tables for the terminal: scores, artifacts, params and methods."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from usseg.pipeline.artifact import Artifact
from usseg.pipeline.errors import ArtifactError, ParamsError
from usseg.pipeline.params import nearest, read_params
from usseg.pipeline.project import Project, todays_sections
from usseg.pipeline.stage import Stage
from usseg.results.metrics import metrics_path, read_metrics, shown
from usseg.stages.evaluate.method import main_scores

if TYPE_CHECKING:
    from rich.table import Table


def scores_table(project: Path, splits: Sequence[str]) -> "Table":
    """Table of the scores of a project: one column for each split; first the main scores, then the IoU of each class.

    Raises:
        ArtifactError: no split has scores, or a file of scores is damaged.
    """
    from rich.table import Table
    from rich.text import Text

    evaluated = {split: read_metrics(project, split) for split in splits if metrics_path(project, split).exists()}
    scored = {split: metrics for split, metrics in evaluated.items() if metrics["labelled"]}
    if not scored:
        raise ArtifactError(f"{project / 'metrics'}: no scores; run dvc repro on a split with labels")
    table = Table("", *scored)
    whole = {split: main_scores(metrics) for split, metrics in scored.items()}
    classes = {split: metrics.get("per_class", {}) for split, metrics in scored.items()}
    for prefix, values in (("", whole), ("IoU ", classes)):
        for name in dict.fromkeys(name for scores in values.values() for name in scores):
            table.add_row(Text(f"{prefix}{name}"), *(shown(scores.get(name)) for scores in values.values()))
        table.add_section()
    return table


def show(tables: Iterable["Table"]) -> None:
    """Print tables on the terminal."""
    from rich.console import Console

    for table in tables:
        Console().print(table)


def print_artifact(artifact: Artifact) -> None:
    """Print the name of an artifact, its arrays, and the params that it was made with."""
    from rich.console import Console
    from rich.text import Text

    attrs, console = artifact.attrs, Console()
    title = Text(f"{attrs['stage']}@{attrs['split']}", style="bold")
    version = f"schema version {attrs['version']}, content {attrs['content'][:12]}"
    console.print(title + Text(f"  {attrs['num_images']} images, {version}", style="not bold"))
    console.print(arrays_table(artifact))
    console.print_json(json.dumps(attrs["params"]))


def arrays_table(artifact: Artifact) -> "Table":
    """Table of the arrays of an artifact, one row for each."""
    from rich.table import Table
    from rich.text import Text

    table = Table("array", "axes", "shape", "dtype", "what")
    for name, spec in artifact.attrs["arrays"].items():
        shape = " x ".join(map(str, stored_shape(artifact.path / name)))
        table.add_row(*map(Text, (name, ", ".join(spec["axes"]), shape, spec["dtype"], spec["doc"])))
    return table


def stored_shape(path: Path) -> list[int]:
    """The shape of an array, from its metadata.

    Raises:
        ArtifactError: the array is missing or damaged.
    """
    try:
        return list(json.loads((path / "zarr.json").read_text(encoding="utf-8"))["shape"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        state = "missing" if isinstance(error, OSError) else "damaged"
        raise ArtifactError(f"{path}: array {state}; remove the artifact and run its stage again") from None


def params_tables(project: Project, stage: str) -> Iterator["Table"]:
    """Yield one table for each section: every param with its value, the source of the value, and its meaning.

    Args:
        project: the project.
        stage: one section; empty: all sections.

    Raises:
        ParamsError: no stage has this name.
    """
    from rich.table import Table
    from rich.text import Text

    written = todays_sections(project.stages, read_params(project.root))
    for name in known(project.stages, stage):
        params: Any = project.params[name]
        table = Table(name, "value", "", "meaning", title_justify="left")
        section = written.get(name) or {}
        for key, field in type(params).model_fields.items():
            if key != "options" or project.stages[name].methods is None:
                source = "params.yaml" if key in section else "default"
                shown = json.dumps(params.model_dump(mode="json")[key], ensure_ascii=False)
                table.add_row(*map(Text, (key, shown, source, field.description or "")))
        options = getattr(params, "options", None)
        if project.stages[name].methods is not None and options is not None:
            for key, field in type(options).model_fields.items():
                source = "params.yaml" if key in section.get("options", {}) else "default"
                shown = json.dumps(options.model_dump(mode="json")[key], ensure_ascii=False)
                table.add_row(*map(Text, (f"options.{key}", shown, source, field.description or "")))
        yield table


def methods_tables(stages: Mapping[str, Stage], stage: str) -> Iterator["Table"]:
    """Yield one table for each stage with methods: every method with its summary, source and options.

    Args:
        stages: the table of stages.
        stage: one stage; empty: all stages.

    Raises:
        ParamsError: no stage has this name.
    """
    from rich.table import Table
    from rich.text import Text

    for name in known(stages, stage):
        methods = stages[name].methods
        if methods is not None:
            table = Table(f"{name}.{stages[name].choice}", "what", "source", "options")
            for method, entry in methods().items():
                table.add_row(*map(Text, (method, entry.summary, entry.source, ", ".join(entry.options.model_fields))))
            yield table


def known(stages: Mapping[str, Stage], name: str) -> list[str]:
    """[name], or the names of all stages if `name` is empty.

    Raises:
        ParamsError: no stage has this name.
    """
    if name and name not in stages:
        raise ParamsError(f"no stage {name!r}{nearest(name, stages)} (known: {', '.join(stages)})")
    return [name] if name else list(stages)
