"""Run a stage that writes a folder of files in parts. A finished part is never written again.

The files are below `files` in the partial folder until the artifact is published. `done/PART` is the marker of a
finished part: the SHA-256 of each of its files.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from usseg.pipeline.disk import write_file
from usseg.pipeline.execution import Execution, no_progress
from usseg.pipeline.files import file_checksum
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.opening import open_inputs
from usseg.pipeline.parallel import map_blocks
from usseg.pipeline.project import Project
from usseg.pipeline.provenance import refuse_other_software, software

log = logging.getLogger("usseg")


@dataclass(frozen=True)
class PartTask:
    """Task of a worker: one part. The worker opens the artifacts itself."""

    project: Project
    stage: str
    split: str
    part: str
    folder: Path
    execution: Execution
    software: Mapping[str, str]


def write_part(task: PartTask) -> str:
    """Write the files of a part, then its marker. Returns the name of the part."""
    refuse_other_software(task.software, software(task.project.stages))
    stage, params = task.project.stages[task.stage], task.project.params[task.stage]
    assert stage.parts is not None
    inputs = open_inputs(task.project, task.stage, task.split)
    digests = {}
    for name, content in stage.parts.write(params, inputs, task.part, task.execution).items():
        path = task.folder / "files" / stage.parts.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)  # not flushed: the next run compares it with the marker
        digests[name] = file_checksum(path)
    write_file(marker_path(task.folder, task.part), json.dumps(digests).encode())
    return task.part


def marker_path(folder: Path, part: str) -> Path:
    """Path of the marker of a finished part."""
    return folder / "done" / part


def is_finished(folder: Path, files: Path, part: str) -> bool:
    """Whether a part has its marker, and each of its files the recorded content."""
    try:
        digests = dict(json.loads(marker_path(folder, part).read_bytes()))
        return all(file_checksum(files / name) == digest for name, digest in digests.items())
    except (OSError, ValueError, TypeError):
        return False


def run_parts(project: Project, name: str, inputs: Inputs, folder: Path, execution: Execution) -> None:
    """Write the parts of a stage that are not finished yet below `folder`."""
    stage, params = project.stages[name], project.params[name]
    assert stage.parts is not None
    images = dict(stage.parts.images(params, inputs))
    files = folder / "files" / stage.parts.folder
    todo = [part for part in images if not is_finished(folder, files, part)]
    if len(todo) == len(images):
        shutil.rmtree(files, ignore_errors=True)
    total = sum(images.values())
    done = total - sum(images[part] for part in todo)
    if done:
        log.info("%s@%s: continuing, %d of %d images are done", name, inputs.split, done, total)
    execution.progress(done, total)
    code, quiet = software(project.stages), replace(execution, progress=no_progress)
    tasks = [PartTask(project, name, inputs.split, part, folder, quiet, code) for part in todo]
    for part in map_blocks(write_part, tasks, workers=execution.workers, scheduler=execution.scheduler):
        done += images[part]
        execution.progress(done, total)
