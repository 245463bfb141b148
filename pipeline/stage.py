"""What a stage is: its params, inputs, arrays and functions. The declaration, nothing else."""

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from usseg.pipeline.artifact import ArraySpec, Artifact, write_file
from usseg.pipeline.errors import ImageError
from usseg.pipeline.images import current_checksum, read_image
from usseg.pipeline.labels import LabelValues
from usseg.pipeline.params import Params, refused
from usseg.pipeline.truth import Truth, read_truth

Scope = Literal["each", "fit", "all"]


DIGEST_BYTES = hashlib.sha256().digest_size  # of a checkpoint, before its content


def always(params: Any) -> bool:
    """Whatever the params."""
    return True


@dataclass(frozen=True)
class Input:
    """An artifact a stage reads: of its own split ("same"), of the fit split, or of every split ("all").

    `needed` tells from the stage's params whether it is read at all; an `optional` one is read where another stage needs it.
    Most stages see only ids and images of the index; `labels` says that a stage also reads labels and what their values mean.
    `calls` names the functions of the producing stage that this one may call; their code belongs to its cache key.
    """

    stage: str
    split: Literal["same", "fit", "all"] = "same"
    needed: Callable[[Any], bool] = always
    optional: bool = False
    labels: bool = False
    calls: tuple[str, ...] = ()


Progress = Callable[[int, int], None]  # what is done, of how much


def no_progress(done: int, total: int) -> None:
    """Report nothing."""


class Checkpoint:
    """What a stage that works on the whole split goes on from when it was killed; without a path, nothing is kept.

    It belongs to the run's key: another run finds none.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path, self.due = path, 0.0

    def load(self) -> bytes | None:
        """What was saved last; None where nothing was, or where it is not what was written."""
        if self.path is None or not self.path.is_file():
            return None
        content = self.path.read_bytes()
        digest, state = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        return state if hashlib.sha256(state).digest() == digest else None

    def save(self, state: Callable[[], bytes]) -> None:
        """Keep `state()` in place of what was saved before, or do nothing where saving would take over a twentieth of the time."""
        started = time.monotonic()
        if self.path and started >= self.due:
            content = state()
            write_file(self.path, hashlib.sha256(content).digest() + content)
            self.due = time.monotonic() + 19 * (time.monotonic() - started)


NO_CHECKPOINT = Checkpoint()


@dataclass(frozen=True)
class Execution:
    """How to run, never what to compute: none of this changes a result.

    The device is that of the stages that compute on one; 0 workers are as many as there is use for, a core or the GPU each.
    `run` calls `progress` with how many of its images are done, and how many it has, after each image or batch.
    """

    project: Path
    device: str = "cpu"
    batch_size: int = 8
    workers: int = 1
    scheduler: str | None = None
    progress: Progress = no_progress
    checkpoint: Checkpoint = NO_CHECKPOINT

    @property
    def decoders(self) -> int:
        """Threads that read the next images while one is used: on a CPU the workers fill the cores, a GPU waits for none."""
        return 1 if self.device == "cpu" else 4


@dataclass(frozen=True)
class Inputs:
    """The artifacts that a stage declared, and the pixels behind the index."""

    split: str
    artifacts: Mapping[str, Any]
    index_params: Mapping[str, Any]
    project: Path
    compare: bool = False  # every file that is read with its checksum in the index

    def __getitem__(self, stage: str) -> Any:
        """The input artifact; a dict split -> artifact where it was declared with split="all"."""
        return self.artifacts[stage]

    def image(self, i: int, split: str | None = None) -> npt.NDArray[np.uint8]:
        """Image `i` of the split as uint8 RGB (height, width, 3), upright."""
        return read_image(self.unchanged(i, "path", "checksum", split))

    def truth(self, i: int, split: str | None = None) -> Truth | None:
        """What is known of image `i`: in a label image -1 where a pixel is never scored; None where nothing is known."""
        index = self.index(split)
        label = str(index["label_path"][i])
        if not label:
            return None
        self.unchanged(i, "label_path", "label_checksum", split)
        height, width = index["size"][i].tolist()
        return read_truth(self.root, label, str(index["path"][i]), (height, width), LabelValues.of(self.index_params))

    def labels(self, i: int, split: str | None = None) -> npt.NDArray[np.int64] | None:
        """Classes of image `i`, int64 (height, width), -1 where a pixel is never scored; None where it has no label image."""
        truth = self.truth(i, split)
        return None if truth is None else truth.labels

    @property
    def root(self) -> Path:
        """The folder that the index's paths are relative to.

        Raises:
            ParamsError: it is no folder.
        """
        root = self.project / os.path.expanduser(str(self.index_params["root"]))
        if not root.is_dir():
            raise refused(
                "index.root", self.index_params["root"], f"{root} is no folder; name the one that holds the images"
            )
        return root

    def file(self, i: int, array: str, split: str | None) -> Path:
        """The file that the index names for image `i`."""
        return self.root / str(self.index(split)[array][i])

    def index(self, split: str | None) -> Artifact:
        """The index of a split, or of the only one."""
        index: Artifact = self.artifacts["index"] if split is None else self.artifacts["index"][split]
        return index

    def unchanged(self, i: int, array: str, checksum: str, split: str | None) -> Path:
        """The file that the index names for image `i`.

        Raises:
            ImageError: it is gone, or it is not the file that the index has listed.
        """
        path = self.file(i, array, split)
        if self.compare:
            remedy = f"run: usseg stage index --split {split or self.split}"
            try:
                found = current_checksum(path)
            except FileNotFoundError:
                raise ImageError(f"{path}: no such file, but index has listed it; {remedy}") from None
            if found != self.index(split)[checksum][i]:
                raise ImageError(f"{path} has changed since index; {remedy}")
        return path


Sizes = Callable[[Any, Inputs], Mapping[str, int | npt.NDArray[np.int64]]]
Run = Callable[[Any, Inputs, range, Execution], dict[str, Any]]


def record_all(params: Params, split: str) -> dict[str, Any]:
    """Record every param in the artifact."""
    return params.model_dump(mode="json")


def no_gpu(params: Params, inputs: Inputs) -> bool:
    """Compute on the CPU, whatever the machine."""
    return False


def no_options(params: Params) -> Any:
    """A stage whose params have no options of a method."""
    return None


def no_check(sections: Mapping[str, Any]) -> None:
    """A stage whose params fit those of every other."""


def no_files(params: Params) -> Sequence[str]:
    """A stage whose params name no file."""
    return ()


@dataclass(frozen=True)
class Stage:
    """A step that turns artifacts into an artifact.

    A stage with `sizes` works image by image: `run` gets some images and returns every array for these, padded to the largest
    of them. `sizes` gives the length of every axis, an int, or int64 (image,) where it differs from image to image.
    Without, `run` is called once and returns whole arrays. `options` checks the options of the method that the params choose and
    returns them; `check` refuses values that do not go together, of its own section or with those of others: it gets the params
    of every stage by name, before anything runs, and raises ParamsError. `files` are those
    that the params name, relative to the project: their content counts, not their name. `gpu` tells from params and inputs
    whether `run` computes on the execution's device. `blanks` are what the files beside
    the artifact, by path, hold where it is left empty. `version` is the schema's: raise it when `arrays` change meaning.
    """

    name: str
    summary: str
    version: int
    params: type[Params]
    inputs: tuple[Input, ...]
    arrays: Mapping[str, ArraySpec]
    run: Run
    sizes: Sizes | None = None
    scope: Scope = "each"
    predict: Callable[[Artifact, npt.NDArray[np.float32]], npt.NDArray[np.int64]] | None = None
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    record: Callable[[Any, str], dict[str, Any]] = record_all
    options: Callable[[Any], Any] = no_options
    check: Callable[[Mapping[str, Any]], None] = no_check
    files: Callable[[Any], Sequence[str]] = no_files
    gpu: Callable[[Any, Inputs], bool] = no_gpu
    blanks: Mapping[str, str] = field(default_factory=dict)

    @property
    def offers(self) -> Mapping[str, Callable[..., Any]]:
        """The functions that later stages may call, by name; `predict` is one of them."""
        return {**self.functions, "predict": self.predict} if self.predict else self.functions


def chosen_dtype(dtype: str, params: Params) -> str:
    """The array's dtype: the only one, or the one that the param `dtype` names."""
    options = dtype.split("|")
    return options[0] if len(options) == 1 else str(getattr(params, "dtype", options[0]))
