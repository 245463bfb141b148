"""Open what a stage reads, and hold it against what its producer declares and params.yaml says."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from usseg.pipeline.artifact import Artifact, artifact_path, open_artifact
from usseg.pipeline.errors import ArtifactError
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.project import Project
from usseg.pipeline.stage import Input


def open_inputs(project: Project, name: str, split: str) -> Inputs:
    """Open and check every artifact that a stage reads for a split."""
    artifacts: dict[str, Any] = {}
    for item in project.reads(name):
        found = {of: open_checked(project, name, item, of) for of in project.split_of(item, split)}
        artifacts[item.stage] = found if item.split == "all" else next(iter(found.values()))
    return Inputs(split, artifacts, project.index_params, project.root, compare=True)


def open_checked(project: Project, reader: str, item: Input, split: str) -> Artifact:
    """Open one input and hold it against its producer's declaration and today's params."""
    producer = project.stages[item.stage]
    path = artifact_path(project.root, producer.name, split)
    shown = path.relative_to(project.root)
    remedy = remedy_for(producer.name, split)
    functions = {name: producer.offers[name] for name in item.calls}
    if not path.exists():
        raise ArtifactError(f"{reader} needs {shown}; {remedy}")
    artifact = open_artifact(path, functions=functions, remedy=remedy)
    if artifact.attrs.get("empty"):
        raise ArtifactError(f"{reader} needs {shown}, left empty because no chosen method read it; {remedy}")
    if artifact.attrs["stage"] != producer.name or artifact.attrs["version"] != producer.version:
        raise ArtifactError(
            f"{shown}: found {artifact.attrs['stage']} schema version {artifact.attrs['version']}; "
            f"{producer.name} version {producer.version} is needed; {remedy}"
        )
    if artifact.attrs["split"] != split:
        raise ArtifactError(f"{shown}: found split {artifact.attrs['split']!r}; {split!r} is needed; {remedy}")
    recorded = dict(knobs(json.loads(json.dumps(producer.record(project.params[producer.name], split)))))
    made_with = dict(knobs(artifact.params))
    for key in sorted(set(recorded) | set(made_with)):
        if recorded.get(key) != made_with.get(key):
            raise ArtifactError(
                f"{shown}: made with {producer.name}.{key}: {made_with.get(key)!r}, "
                f"params.yaml says {recorded.get(key)!r}; {remedy}"
            )
    for name, spec in producer.arrays.items():
        found = artifact.attrs["arrays"].get(name)
        if found is None or found["axes"] != list(spec.axes) or found["dtype"] not in spec.dtype.split("|"):
            raise ArtifactError(f"{shown}: array {name}: found {found}; {spec.axes} {spec.dtype} is needed; {remedy}")
    return artifact


def knobs(params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Recorded params by key; those of the method as `options.KEY`."""
    for key, value in params.items():
        if key == "options" and isinstance(value, dict):
            yield from ((f"options.{name}", inner) for name, inner in value.items())
        else:
            yield key, value


def remedy_for(stage: str, split: str) -> str:
    """What makes an artifact anew."""
    return f"run: usseg stage {stage}" if split == "all" else f"run: usseg stage {stage} --split {split}"


def input_artifacts(inputs: Inputs) -> dict[str, Artifact]:
    """All input artifacts by `stage@split`."""
    flat = {}
    for name, item in inputs.artifacts.items():
        for artifact in item.values() if isinstance(item, dict) else [item]:
            flat[f"{name}@{artifact.attrs['split']}"] = artifact
    return flat


def split_images(inputs: Inputs) -> int:
    """How many images the index of this split has."""
    return next(a.num_images for name, a in input_artifacts(inputs).items() if name == f"index@{inputs.split}")
