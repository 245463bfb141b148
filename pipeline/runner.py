"""Run one stage for one split: the only place where params, artifacts and Stage.run meet."""

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

from usseg.pipeline.artifact import (
    artifact_path,
    check_block,
    create_arrays,
    drop,
    encode_strings,
    publish,
    recover,
    seal,
    write_file,
    write_rows,
)
from usseg.pipeline.blocks import run_blocks
from usseg.pipeline.errors import ArtifactError, ParamsError
from usseg.pipeline.images import file_checksum
from usseg.pipeline.inputs import (
    Table,
    fit_split,
    input_artifacts,
    needed_stages,
    open_inputs,
    remedy_for,
    split_images,
)
from usseg.pipeline.integrity import remember_written, verify_artifact
from usseg.pipeline.parallel import one_thread
from usseg.pipeline.params import Params, nearest, parse_section
from usseg.pipeline.provenance import NOTE, is_current, run_key, settle
from usseg.pipeline.sections import read_sections
from usseg.pipeline.stage import Checkpoint, Execution, Inputs, Stage, chosen_dtype

log = logging.getLogger("usseg")


def run_stage(stages: Table, name: str, split: str, execution: Execution, *, if_needed: bool = False) -> Path:
    """Bring the artifact of one stage and split up to date and return its path. An empty split is the fit split.

    Does nothing where it is complete and current. Continues an interrupted run from its finished blocks.
    With `if_needed`, an artifact that no chosen method reads is left empty.

    Raises:
        ParamsError, ArtifactError, ImageError: the user's mistakes, each one line.
    """
    try:
        return bring_up_to_date(stages, stages[name], split, execution, if_needed=if_needed)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = f"the disk of {execution.project} is full; free some space"
        else:
            reason = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}; mend that"
        raise ArtifactError(
            f"{name}@{split}: {reason} and run the same command again, it continues where it stopped"
        ) from error


def bring_up_to_date(stages: Table, stage: Stage, split: str, execution: Execution, *, if_needed: bool) -> Path:
    """The work of `run_stage`."""
    content = read_sections(stages, execution.project)
    params = parse_section(content, stage.name, stage.params)
    split = split or fit_split(content)
    check_split(stage, split, content)
    target = artifact_path(execution.project, stage.name, split)
    with locked(target):
        recover(target)
        if if_needed and stage.name not in needed_stages(stages, content):
            leave_empty(stage, split, target, execution.project)
            return target
        inputs = open_inputs(stages, stage, split, content, execution.project)
        for artifact in input_artifacts(inputs).values():
            made_by = remedy_for(artifact.attrs["stage"], artifact.attrs["split"])
            verify_artifact(artifact.path, remedy=made_by)
        key = run_key(stages, stage, split, inputs, content)
        folder = partial_folder(target, key)
        settle(folder, target, execution.project)
        if is_current(target, key, execution.project):
            if folder.exists():  # killed when all was done
                drop(folder)
            log.info("%s@%s is up to date", stage.name, split)
            return target
        started = time.perf_counter()
        execution = placed(execution, gpu=execution.device != "cpu" and stage.gpu(params, inputs))
        files: Mapping[str, str | bytes] = {}
        if stage.sizes is None:
            files = run_whole(stage, params, inputs, folder, execution)
        else:
            run_blocks(stages, stage, params, content, inputs, folder, execution)
        publish_run(stage, params, split, inputs, folder, target, key, files, started, execution)
    return target


def placed(execution: Execution, *, gpu: bool) -> Execution:
    """On the GPU or off it, and with a worker a core there, unless their number is given; of cores that this process may use."""
    from dask.system import CPU_COUNT

    return replace(
        execution,
        device=execution.device if gpu else "cpu",
        workers=execution.workers or (1 if gpu else CPU_COUNT),
    )


def leave_empty(stage: Stage, split: str, target: Path, project: Path) -> None:
    """Publish an artifact without arrays, and the stage's blank files, since DVC wants every output to exist.

    The sidecar stays, for the artifact that DVC may bring back from its cache. So does the partial folder of an interrupted run,
    which continues when a method reads the artifact again.
    """
    folder = target.parent / f".{target.stem}.empty.partial"
    attrs = {"stage": stage.name, "version": stage.version, "split": split, "empty": True}
    seal(folder, {**attrs, "params": {}, "num_images": 0, "arrays": {}})
    publish(folder, target)
    for path, text in stage.blanks.items():
        write_file(project / path, text.encode())
    log.info("%s@%s: no chosen method reads it, left empty", stage.name, split)


def check_split(stage: Stage, split: str, content: Mapping[str, Any]) -> None:
    """Refuse a split that the index does not list, or that the stage is not run for."""
    splits = list(content["index"]["splits"])
    if stage.scope == "all":
        allowed = ["all"]
    elif stage.scope == "fit":
        allowed = [fit_split(content)]
    else:
        allowed = splits
    if split not in allowed:
        raise ParamsError(
            f"{stage.name}: no split {split!r} here{nearest(split, allowed)} (known: {', '.join(allowed)})"
        )


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Let one process at a time write an artifact; the lock ends with the process."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.stem}.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArtifactError(f"another usseg is writing {target}; wait for it to end") from None
        yield


def partial_folder(target: Path, key: str) -> Path:
    """The folder of work in progress; those of other params, inputs or code are removed."""
    folder = target.parent / f".{target.stem}.{key[:16]}.partial"
    for other in target.parent.glob(f".{target.stem}.*.partial"):
        if other != folder:
            drop(other)
    return folder


def run_whole(
    stage: Stage, params: Params, inputs: Inputs, folder: Path, execution: Execution
) -> Mapping[str, str | bytes]:
    """Run a stage that works on the whole split at once; returns the files it wants beside the artifact.

    It continues an interrupted run from its checkpoint only; other leftovers are removed.
    """
    for name in ("data", "files"):
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
    count = 0 if stage.name == "index" or stage.scope == "all" else split_images(inputs)
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
    stage: Stage,
    params: Params,
    split: str,
    inputs: Inputs,
    folder: Path,
    target: Path,
    key: str,
    files: Mapping[str, str | bytes],
    started: float,
    execution: Execution,
) -> None:
    """Write the files, publish the artifact and note how it came about."""
    import zarr

    if stage.name == "index":
        count = int(zarr.open_array(str(folder / "data" / "size"), mode="r").shape[0])
    elif stage.scope == "all":
        count = sum(a.num_images for name, a in input_artifacts(inputs).items() if name.startswith("index@"))
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
    for path, text in files.items():
        write_file(folder / "files" / path, text.encode() if isinstance(text, str) else text)
    sidecar = {
        "key": key,
        "content": seal(folder / "data", attrs),
        "files": {path: file_checksum(folder / "files" / path) for path in sorted(files)},
        "seconds": round(time.perf_counter() - started, 3),
        "device": execution.device,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_file(folder / NOTE, json.dumps(sidecar, indent=1).encode())
    publish(folder / "data", target)
    remember_written(target)
    settle(folder, target, execution.project)
    log.info(
        "%s@%s: %d images in %.1f s -> %s",
        stage.name,
        split,
        count,
        sidecar["seconds"],
        os.path.relpath(target, execution.project),
    )
