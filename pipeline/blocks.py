"""Run a stage that works image by image, in blocks of images. A finished block is never computed again."""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from usseg.pipeline.arrays import check_block, create_arrays, sync_rows, write_rows
from usseg.pipeline.artifact import START
from usseg.pipeline.disk import sync, write_file
from usseg.pipeline.execution import Execution, no_progress
from usseg.pipeline.files import file_checksum
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.layout import Layout, layout_of
from usseg.pipeline.opening import input_artifacts, open_inputs
from usseg.pipeline.parallel import in_this_process, map_blocks
from usseg.pipeline.progress import BlockCount
from usseg.pipeline.project import Project
from usseg.pipeline.provenance import refuse_other_software, software
from usseg.pipeline.stage import Stage, chosen_dtype

log = logging.getLogger("usseg")


@dataclass(frozen=True)
class BlockTask:
    """Task of a worker: one block. The worker opens the artifacts itself.

    The params are those from the start of the run. An edit of params.yaml during the run has an effect on the next run.
    """

    project: Project
    stage: str
    split: str
    layout: Layout
    folder: Path
    dtypes: Mapping[str, str]
    execution: Execution
    software: Mapping[str, str]
    counted: BlockCount | None  # None if the task runs in another process


def compute_block(task: BlockTask) -> range:
    """Compute one block of images, write its shards, then its marker file. Returns the images.

    A block of large images is computed in several parts to limit memory.
    """
    refuse_other_software(task.software, software(task.project.stages))
    stage, params = task.project.stages[task.stage], task.project.params[task.stage]
    inputs = open_inputs(task.project, task.stage, task.split)
    arrays = {name: spec for name, spec in stage.arrays.items() if spec != START}
    block = task.layout.images
    for part in task.layout.parts(arrays, task.dtypes):
        progress = partial(task.counted.count_part, block, part.images) if task.counted else no_progress
        values = stage.run(params, inputs, part.images, replace(task.execution, progress=progress))
        assert set(values) == set(arrays), f"{stage.name} returned {sorted(values)}, declared {sorted(arrays)}"
        for name, spec in arrays.items():
            array = check_block(name, spec, task.dtypes[name], part.shape(spec), values.pop(name))
            write_rows(task.folder / "data", name, part.place(spec), array)
    for name, spec in arrays.items():
        sync_rows(task.folder / "data", name, task.layout.shards(spec))
    digests = block_digests(task.folder / "data", stage, task.layout)
    write_file(marker_path(task.folder, task.layout), json.dumps(digests).encode())
    return block


def marker_path(folder: Path, block: Layout) -> Path:
    """Path of the marker of a finished block. The marker holds the digests of the block."""
    return folder / "done" / f"{block.images.start:09d}"


def block_digests(data: Path, stage: Stage, block: Layout) -> dict[str, str]:
    """SHA-256, by path, of the files of a block and of the metadata of the arrays.

    Shards that are not stored have none.
    """
    digests: dict[str, str] = {}
    for name, spec in stage.arrays.items():
        shards = [data / name / "c" / str(number) for number in block.shards(spec)]
        paths = [data / name / "zarr.json"]
        for shard in shards:  # a file, or a folder of an array with several axes
            paths += [shard] if shard.is_file() else sorted(shard.rglob("*"))
        for path in paths:
            if path.is_file():
                digests[path.relative_to(data).as_posix()] = file_checksum(path)
    return digests


def finished_blocks(folder: Path, stage: Stage, blocks: Sequence[Layout]) -> list[Layout] | None:
    """Blocks that an interrupted run has finished; None if one of them has been changed."""
    marked = [block for block in blocks if marker_path(folder, block).exists()]
    for block in marked:
        digests = json.dumps(block_digests(folder / "data", stage, block))
        if marker_path(folder, block).read_bytes() != digests.encode():
            return None
    return marked


def run_blocks(project: Project, name: str, inputs: Inputs, folder: Path, execution: Execution) -> None:
    """Run a stage over the blocks that are not finished yet, and write the arrays below `folder`."""
    stage, params = project.stages[name], project.params[name]
    assert stage.sizes is not None
    count = input_artifacts(inputs)[f"index@{inputs.split}"].num_images
    layout = layout_of(count, stage.sizes(params, inputs))
    dtypes = {name: chosen_dtype(spec.dtype, params) for name, spec in stage.arrays.items()}
    blocks = layout.blocks()
    finished = finished_blocks(folder, stage, blocks)
    if finished is None:
        log.warning("%s@%s: its unfinished run is damaged and is discarded; beginning anew", stage.name, inputs.split)
    if not finished:
        shutil.rmtree(folder, ignore_errors=True)
        shapes = {name: layout.stored_shape(spec) for name, spec in stage.arrays.items()}
        create_arrays(folder / "data", stage.arrays, dtypes, shapes)
        for array in (array for array, spec in stage.arrays.items() if spec == START):
            write_rows(folder / "data", array, slice(None), layout.starts)
        sync(folder)
        (folder / "done").mkdir()
    todo = [block for block in blocks if not marker_path(folder, block).exists()]
    done = count - sum(len(block.images) for block in todo)
    if done:
        log.info("%s@%s: continuing, %d of %d images are done", stage.name, inputs.split, done, count)
    code = software(project.stages)
    counted = BlockCount(done, count, execution.progress)
    workers, scheduler = execution.workers, execution.scheduler
    shared = counted if in_this_process(len(todo), workers=workers, scheduler=scheduler) else None
    quiet = replace(execution, progress=no_progress)
    tasks = [BlockTask(project, name, inputs.split, block, folder, dtypes, quiet, code, shared) for block in todo]
    for images in map_blocks(compute_block, tasks, workers=workers, scheduler=scheduler, device=execution.device):
        counted.count(images, len(images))
