"""Run one stage for one split: open its inputs, call `Stage.run`, and publish its artifact."""

import errno
import fcntl
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from usseg.pipeline.arrays import check_block, create_arrays, encode_strings, write_rows
from usseg.pipeline.artifact import artifact_path
from usseg.pipeline.blocks import run_blocks
from usseg.pipeline.checkpoint import Checkpoint
from usseg.pipeline.disk import drop, write_file
from usseg.pipeline.errors import ArtifactError, ParamsError
from usseg.pipeline.execution import Execution
from usseg.pipeline.files import file_checksum
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.integrity import remember_written, verify_artifact
from usseg.pipeline.opening import input_artifacts, open_inputs, remedy_for, split_images
from usseg.pipeline.parallel import one_thread
from usseg.pipeline.params import Params, nearest
from usseg.pipeline.parts import run_parts
from usseg.pipeline.project import INDEX, Project
from usseg.pipeline.provenance import NOTE, folder_digest, is_current, run_key, settle
from usseg.pipeline.publication import publish, recover, seal
from usseg.pipeline.stage import Stage, chosen_dtype

log = logging.getLogger("usseg")
ALONE = Execution()


def run_stage(project: Project, name: str, split: str = "", execution: Execution = ALONE) -> Path:
    """Bring the artifact of one stage and split up to date and return its path.

    A complete and current artifact is not computed again. An interrupted run resumes from its finished blocks. If no
    chosen method reads the artifact, an empty one is published.

    Args:
        project: the project.
        name: the name of the stage.
        split: a split of the stage; empty: the first one, which is the fit split for a stage with scope "fit".
        execution: how to run.

    Raises:
        ParamsError, ArtifactError, ImageError: a mistake of the user, on one line.
    """
    try:
        return bring_up_to_date(project, project.stages[name], split, execution)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = f"the disk of {project.root} is full; free some space"
        else:
            reason = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}; mend that"
        raise ArtifactError(
            f"{name}@{split}: {reason} and run the same command again, it continues where it stopped"
        ) from error


def bring_up_to_date(project: Project, stage: Stage, split: str, execution: Execution) -> Path:
    """Do the work of `run_stage`."""
    params: Any = project.params[stage.name]
    split = split or project.splits_of(stage.name)[0]
    check_split(project, stage, split)
    target = artifact_path(project.root, stage.name, split)
    with locked(target):
        recover(target)
        if stage.name not in project.needed:
            leave_empty(stage, split, target)
            return target
        inputs = open_inputs(project, stage.name, split)
        for artifact in input_artifacts(inputs).values():
            made_by = remedy_for(artifact.attrs["stage"], artifact.attrs["split"])
            verify_artifact(artifact.path, remedy=made_by)
        key = run_key(project, stage.name, split, inputs)
        folder = partial_folder(target, key)
        settle(folder, target, project.root)
        if is_current(target, key, project.root):
            if folder.exists():  # the run was killed after the publication
                drop(folder)
            log.info("%s@%s is up to date", stage.name, split)
            return target
        started = time.perf_counter()
        execution = placed(execution, gpu=execution.device != "cpu" and stage.uses_device(params, inputs))
        files: Mapping[str, str | bytes] = {}
        if stage.sizes is None:
            files = run_whole(stage, params, inputs, folder, execution)
            if stage.parts is not None:
                run_parts(project, stage.name, inputs, folder, execution)
        else:
            run_blocks(project, stage.name, inputs, folder, execution)
        publish_run(project, stage, split, inputs, folder, target, key, files, started, execution)
    return target


def placed(execution: Execution, *, gpu: bool) -> Execution:
    """Resolve device and workers. Without a given number: one worker on a GPU, otherwise one for each usable core."""
    from dask.system import CPU_COUNT

    return replace(
        execution,
        device=execution.device if gpu else "cpu",
        workers=execution.workers or (1 if gpu else CPU_COUNT),
    )


def leave_empty(stage: Stage, split: str, target: Path) -> None:
    """Publish an artifact without arrays: DVC requires every output to exist.

    The sidecar is kept, because DVC may restore the former artifact from its cache. The partial folder of an
    interrupted run is kept too: the run resumes when a method reads the artifact again.
    """
    folder = target.parent / f".{target.stem}.empty.partial"
    attrs = {"stage": stage.name, "version": stage.version, "split": split, "empty": True}
    seal(folder, {**attrs, "params": {}, "num_images": 0, "arrays": {}})
    publish(folder, target)
    log.info("%s@%s: no chosen method reads it, left empty", stage.name, split)


def check_split(project: Project, stage: Stage, split: str) -> None:
    """Refuse a split that the stage does not run for.

    Raises:
        ParamsError: names the allowed splits.
    """
    allowed = project.splits_of(stage.name)
    if split not in allowed:
        raise ParamsError(
            f"{stage.name}: no split {split!r} here{nearest(split, allowed)} (known: {', '.join(allowed)})"
        )


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Lock an artifact for writing. The lock ends with the process.

    Raises:
        ArtifactError: another process holds the lock.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.stem}.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArtifactError(f"another usseg is writing {target}; wait for it to end") from None
        yield


def partial_folder(target: Path, key: str) -> Path:
    """Path of the partial folder of a run. Partial folders with other cache keys are removed."""
    folder = target.parent / f".{target.stem}.{key[:16]}.partial"
    for other in target.parent.glob(f".{target.stem}.*.partial"):
        if other != folder:
            drop(other)
    return folder


def run_whole(
    stage: Stage, params: Params, inputs: Inputs, folder: Path, execution: Execution
) -> Mapping[str, str | bytes]:
    """Run a stage that works on the whole split, and write its arrays below `folder`.

    An interrupted run resumes from its checkpoint. Everything else in the partial folder is removed, except finished
    parts.

    Returns:
        Path in the project -> content of the further files that the stage writes.
    """
    for name in ("data",) if stage.parts else ("data", "files"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / NOTE).unlink(missing_ok=True)
    saved = folder / "checkpoint"
    checkpoint = Checkpoint(saved)
    if checkpoint.load() is not None:
        log.info("%s@%s: continuing from its checkpoint", stage.name, inputs.split)
    elif saved.exists():
        log.warning("%s@%s: its checkpoint is damaged and is discarded; beginning anew", stage.name, inputs.split)
        saved.unlink()
    execution = replace(execution, checkpoint=checkpoint)
    count = 0 if stage.name == INDEX or stage.scope == "all" else split_images(inputs)
    values = dict(one_thread(partial(stage.run, params, inputs, range(count)), execution))
    files: Mapping[str, str | bytes] = values.pop("files", {})
    assert set(values) == set(stage.arrays), f"{stage.name} returned {sorted(values)}, declared {sorted(stage.arrays)}"
    arrays = {}
    for name, spec in stage.arrays.items():
        if spec.dtype == "str":
            arrays[name] = encode_strings(values[name])
        else:
            dtype = chosen_dtype(spec.dtype, params)
            arrays[name] = check_block(name, spec, dtype, getattr(values[name], "shape", ()), values[name])
    create_arrays(
        folder / "data",
        stage.arrays,
        {name: array.dtype.name for name, array in arrays.items()},
        {name: array.shape for name, array in arrays.items()},
    )
    for name, array in arrays.items():
        write_rows(folder / "data", name, slice(None), array)
    return files


def publish_run(
    project: Project,
    stage: Stage,
    split: str,
    inputs: Inputs,
    folder: Path,
    target: Path,
    key: str,
    files: Mapping[str, str | bytes],
    started: float,
    execution: Execution,
) -> None:
    """Write the further files of a run, publish its artifact and write its sidecar."""
    import zarr

    params = project.params[stage.name]
    if stage.name == INDEX:
        count = int(zarr.open_array(str(folder / "data" / "size"), mode="r").shape[0])
    elif stage.scope == "all":
        count = sum(a.num_images for name, a in input_artifacts(inputs).items() if name.startswith(f"{INDEX}@"))
    else:
        count = split_images(inputs)
    arrays = {}
    for name, spec in stage.arrays.items():
        dtype = spec.dtype if spec.dtype == "str" else chosen_dtype(spec.dtype, params)
        arrays[name] = {"axes": list(spec.axes), "dtype": dtype, "doc": spec.doc}
    attrs = {
        "stage": stage.name,
        "version": stage.version,
        "split": split,
        "params": stage.record(params, split),
        "num_images": count,
        "arrays": arrays,
    }
    folders = [stage.parts.folder] if stage.parts else []
    for path, text in files.items():
        write_file(folder / "files" / path, text.encode() if isinstance(text, str) else text)
    sidecar = {
        "key": key,
        "content": seal(folder / "data", attrs),
        "files": {path: file_checksum(folder / "files" / path) for path in sorted(files)},
        "folders": {path: folder_digest(folder / "files" / path) for path in folders},
        "seconds": round(time.perf_counter() - started, 3),
        "device": execution.device,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_file(folder / NOTE, json.dumps(sidecar, indent=1).encode())
    publish(folder / "data", target)
    remember_written(target)
    settle(folder, target, project.root)
    log.info(
        "%s@%s: %d images in %.1f s -> %s",
        stage.name,
        split,
        count,
        sidecar["seconds"],
        os.path.relpath(target, project.root),
    )
