"""Open what a stage reads, and hold it against what its producer declares and params.yaml says."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usseg.pipeline.artifact import Artifact, artifact_path, open_artifact
from usseg.pipeline.errors import ArtifactError
from usseg.pipeline.params import parse_section, refused
from usseg.pipeline.stage import Input, Inputs, Stage

Table = Mapping[str, Stage]


def fit_split(content: Mapping[str, Any]) -> str:
    """The split that the clustering is fitted on."""
    name, splits = str(content["cluster"]["fit_split"]), content["index"]["splits"]
    if name not in splits:
        raise refused("cluster.fit_split", name, f"a split of index.splits is needed (known: {', '.join(splits)})")
    return name


def needed_stages(stages: Table, content: Mapping[str, Any]) -> set[str]:
    """The stages whose artifacts the chosen methods read, and those that nothing reads: the results."""
    read = {item.stage for stage in stages.values() for item in stage.inputs if not item.optional}
    found = set(stages) - read
    waiting = list(found)
    while waiting:
        stage = stages[waiting.pop()]
        params = parse_section(content, stage.name, stage.params)
        reads = {item.stage for item in stage.inputs if not item.optional and item.needed(params)}
        waiting += reads - found
        found |= reads
    return found


def open_inputs(stages: Table, stage: Stage, split: str, content: Mapping[str, Any], project: Path) -> Inputs:
    """Open and check every declared input that the stage's params ask for."""
    artifacts: dict[str, Any] = {}
    params = parse_section(content, stage.name, stage.params)
    needed = needed_stages(stages, content) if any(item.optional for item in stage.inputs) else set()
    for item in stage.inputs:
        if not (item.stage in needed if item.optional else item.needed(params)):
            continue
        producer = stages[item.stage]

        def opened(of: str, producer: Stage = producer, item: Input = item) -> Artifact:
            return open_checked(stage, item, producer, of, content, project)

        if item.split == "all":
            artifacts[item.stage] = {name: opened(name) for name in content["index"]["splits"]}
        else:
            artifacts[item.stage] = opened(split if item.split == "same" else fit_split(content))
    return Inputs(split, artifacts, content["index"], project, compare=True)


def open_checked(
    stage: Stage, item: Input, producer: Stage, split: str, content: Mapping[str, Any], project: Path
) -> Artifact:
    """Open one input and hold it against its producer's specification and the params of today."""
    path = artifact_path(project, producer.name, split)
    shown = path.relative_to(project)
    remedy = remedy_for(producer.name, split)
    functions = {name: producer.offers[name] for name in item.calls}
    if not path.exists():
        raise ArtifactError(f"{stage.name} needs {shown}; {remedy}")
    artifact = open_artifact(path, functions=functions, remedy=remedy)
    if artifact.attrs.get("empty"):
        raise ArtifactError(f"{stage.name} needs {shown}, left empty by --if-needed; {remedy}")
    if artifact.attrs["stage"] != producer.name or artifact.attrs["version"] != producer.version:
        raise ArtifactError(
            f"{shown}: found {artifact.attrs['stage']} schema version {artifact.attrs['version']}; "
            f"{producer.name} version {producer.version} is needed; {remedy}"
        )
    if artifact.attrs["split"] != split:
        raise ArtifactError(f"{shown}: found split {artifact.attrs['split']!r}; {split!r} is needed; {remedy}")
    recorded = json.loads(json.dumps(producer.record(parse_section(content, producer.name, producer.params), split)))
    for key in sorted(set(recorded) | set(artifact.params)):
        if recorded.get(key) != artifact.params.get(key):
            raise ArtifactError(
                f"{shown}: made with {producer.name}.{key}: {artifact.params.get(key)!r}, "
                f"params.yaml says {recorded.get(key)!r}; {remedy}"
            )
    for name, spec in producer.arrays.items():
        found = artifact.attrs["arrays"].get(name)
        if found is None or found["axes"] != list(spec.axes) or found["dtype"] not in spec.dtype.split("|"):
            raise ArtifactError(f"{shown}: array {name}: found {found}; {spec.axes} {spec.dtype} is needed; {remedy}")
    return artifact


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
