"""Open the inputs of a stage, and compare each with the declaration of its producer and with params.yaml."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from usseg.pipeline.artifact import Artifact, artifact_path, open_artifact
from usseg.pipeline.errors import ArtifactError
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.project import Project
from usseg.pipeline.stage import Input


def open_inputs(project: Project, name: str, split: str) -> Inputs:
    """Open and check every artifact that a stage reads for a split.

    Raises:
        ArtifactError: an artifact is missing, or does not fit the declaration of its producer or params.yaml.
    """
    artifacts: dict[str, Any] = {}
    for item in project.reads(name):
        by_split = {each: open_checked(project, name, item, each) for each in project.split_of(item, split)}
        artifacts[item.stage] = by_split if item.split == "all" else next(iter(by_split.values()))
    return Inputs(split, artifacts, project.index_params, project.root, compare=True)


def open_checked(project: Project, reader: str, item: Input, split: str) -> Artifact:
    """Open one input, and compare it with the declaration of its producer and with the current params.

    Raises:
        ArtifactError: the artifact is missing or does not fit. The message names the command that makes it.
    """
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
        stored = artifact.attrs["arrays"].get(name)
        if stored is None or stored["axes"] != list(spec.axes) or stored["dtype"] not in spec.dtype.split("|"):
            raise ArtifactError(f"{shown}: array {name}: found {stored}; {spec.axes} {spec.dtype} is needed; {remedy}")
    return artifact


def knobs(params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Recorded params by key. The options of the method have the keys `options.KEY`."""
    for key, value in params.items():
        if key == "options" and isinstance(value, dict):
            yield from ((f"options.{name}", inner) for name, inner in value.items())
        else:
            yield key, value


def remedy_for(stage: str, split: str) -> str:
    """The command that makes an artifact, as the end of an error message."""
    return f"run: usseg stage {stage}" if split == "all" else f"run: usseg stage {stage} --split {split}"


def input_artifacts(inputs: Inputs) -> dict[str, Artifact]:
    """All input artifacts, by `stage@split`."""
    flat = {}
    for name, item in inputs.artifacts.items():
        for artifact in item.values() if isinstance(item, dict) else [item]:
            flat[f"{name}@{artifact.attrs['split']}"] = artifact
    return flat


def split_images(inputs: Inputs) -> int:
    """Number of images in the index of the split."""
    return input_artifacts(inputs)[f"index@{inputs.split}"].num_images
