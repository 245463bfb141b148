"""One image through the stages in memory. The arrays are those of a split that holds this image alone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usseg.pipeline.arrays import check_block
from usseg.pipeline.artifact import START, Artifact, PixelMaps
from usseg.pipeline.execution import Execution
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.layout import layout_of
from usseg.pipeline.parallel import one_thread
from usseg.pipeline.project import INDEX, Project
from usseg.pipeline.runner import placed
from usseg.pipeline.stage import Stage, chosen_dtype


@dataclass(frozen=True)
class HeldArtifact(Artifact):
    """An artifact whose arrays are in memory. `path` is where it would be published."""

    arrays: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        """The array `name`: a NumPy array, a list of strings, or `PixelMaps` where the array is ragged."""
        return self.arrays[name]


@dataclass(frozen=True)
class ImageInputs(Inputs):
    """Inputs with one image, whose pixels are in memory: uint8 RGB (height, width, 3)."""

    pixels: npt.NDArray[np.uint8] = field(default_factory=lambda: np.zeros((1, 1, 3), np.uint8))

    def image(self, i: int, split: str | None = None) -> npt.NDArray[np.uint8]:
        """The image."""
        return self.pixels


def run_on_image(
    project: Project,
    names: Sequence[str],
    split: str,
    pixels: npt.NDArray[np.uint8],
    *,
    name: str,
    fitted: Mapping[str, Artifact],
    execution: Execution,
) -> dict[str, HeldArtifact]:
    """Run stages on one image in memory.

    Args:
        project: the project.
        names: the stages, in order, without the stage index. Each works image by image.
        split: the split that the image stands for.
        pixels: uint8 RGB (height, width, 3), upright.
        name: the id of the image. It seeds the random numbers of methods that draw some for each image.
        fitted: stage -> the artifact of the fit split that later stages read.
        execution: how to run.

    Returns:
        Stage -> its artifact.

    Raises:
        ParamsError, ArtifactError, ImageError: as `run_stage`.
    """
    height, width = pixels.shape[:2]
    listed = {"id": [name], "size": np.array([[height, width]], np.int32)}
    texts = {array: [""] for array, spec in project.stages[INDEX].arrays.items() if array not in listed}
    held = {INDEX: artifact_in_memory(project, project.stages[INDEX], split, {**texts, **listed})}
    for stage in (project.stages[each] for each in names):
        artifacts = {}
        for item in project.reads(stage.name):
            source = fitted[item.stage] if item.split == "fit" else held[item.stage]
            offers = project.stages[item.stage].offers
            artifacts[item.stage] = replace(source, functions={each: offers[each] for each in item.calls})
        inputs = ImageInputs(split, artifacts, project.index_params, project.root, pixels=pixels)
        arrays = one_thread(lambda task: arrays_of(*task), (project, stage, inputs, execution))
        held[stage.name] = artifact_in_memory(project, stage, split, arrays)
    return held


def artifact_in_memory(project: Project, stage: Stage, split: str, arrays: Mapping[str, Any]) -> HeldArtifact:
    """An artifact of one image with these arrays."""
    recorded = json.loads(json.dumps(stage.record(project.params[stage.name], split)))
    described = {
        name: {"axes": list(spec.axes), "dtype": spec.dtype, "doc": spec.doc} for name, spec in stage.arrays.items()
    }
    attrs = {"stage": stage.name, "version": stage.version, "split": split, "params": recorded, "num_images": 1}
    return HeldArtifact(
        Path(project.root) / "artifacts" / stage.name, {**attrs, "arrays": described, "content": ""}, arrays=arrays
    )


def arrays_of(project: Project, stage: Stage, inputs: Inputs, execution: Execution) -> dict[str, Any]:
    """The arrays of a stage for one image, checked as the runner checks those of a block."""
    params: Any = project.params[stage.name]
    assert stage.sizes is not None, f"{stage.name} does not work image by image"
    layout = layout_of(1, stage.sizes(params, inputs))
    gpu = execution.device != "cpu" and stage.uses_device(params, inputs)
    values = stage.run(params, inputs, layout.images, placed(execution, gpu=gpu))
    arrays: dict[str, Any] = {}
    for name, spec in stage.arrays.items():
        if spec != START:
            arrays[name] = check_block(name, spec, chosen_dtype(spec.dtype, params), layout.shape(spec), values[name])
    for name, spec in stage.arrays.items():
        if spec.ragged:
            arrays[name] = PixelMaps(arrays[name], layout.starts, arrays["size"])
    return arrays
