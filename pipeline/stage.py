"""Declaration of a stage: its params, inputs, arrays and functions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from usseg.pipeline.artifact import ArraySpec
from usseg.pipeline.methods import Method, Methods
from usseg.pipeline.params import Params

if TYPE_CHECKING:
    from usseg.pipeline.execution import Execution
    from usseg.pipeline.inputs import Inputs

Scope = Literal["each", "fit", "all"]
When = Literal["always", "asked", "present"]
Sizes = Callable[[Any, "Inputs"], Mapping[str, int | npt.NDArray[np.int64]]]
Run = Callable[[Any, "Inputs", range, "Execution"], dict[str, Any]]


@dataclass(frozen=True)
class Input:
    """An artifact that a stage reads.

    Attributes:
        stage: the producing stage.
        split: the split of the artifact: the split of the run ("same"), the fit split ("fit"), or every split ("all").
        when: "always"; "asked": only if the chosen method or `Stage.reads` names it; "present": only if another stage
            needs it.
        labels: whether the stage reads the labels of an index too, and not only its ids and images.
        calls: the offers of the producing stage that the reading stage may call. Their code is a part of its cache key.
    """

    stage: str
    split: Literal["same", "fit", "all"] = "same"
    when: When = "always"
    labels: bool = False
    calls: tuple[str, ...] = ()


def record_all(params: Params, split: str) -> dict[str, Any]:
    """Record every param in the artifact."""
    return params.model_dump(mode="json")


def no_reads(sections: Mapping[str, Any]) -> tuple[str, ...]:
    """For a stage whose params request no further input."""
    return ()


def no_gpu(params: Any, inputs: "Inputs") -> bool:
    """For a stage that computes on the CPU, apart from its methods."""
    return False


def no_check(sections: Mapping[str, Any]) -> None:
    """For a stage whose params fit the params of every other stage."""


def no_files(params: Any) -> Sequence[str]:
    """For a stage whose params name no file."""
    return ()


def same_values(values: dict[str, Any]) -> dict[str, Any]:
    """For a stage whose section has the same form as in earlier versions."""
    return values


@dataclass(frozen=True)
class Parts:
    """The folder of files that a stage writes in parts, in several processes, besides its arrays.

    Attributes:
        folder: path of the folder in the project. It holds the files of the parts and nothing else.
        images: (params, inputs) -> name of a part -> its number of images, for the progress.
        write: (params, inputs, name of a part, execution) -> path below the folder -> content. The files of a part
            are in memory at once.
    """

    folder: str
    images: Callable[[Any, "Inputs"], Mapping[str, int]]
    write: Callable[[Any, "Inputs", str, "Execution"], Mapping[str, bytes]]


@dataclass(frozen=True)
class Stage:
    """A step that turns artifacts into an artifact.

    A stage with `sizes` works image by image: `run` gets a range of images and returns every array for these images,
    padded to the largest of them. A stage without `sizes` works on the whole split: `run` is called once and returns
    whole arrays.

    Attributes:
        name: the name of its folder, of its section in params.yaml and of its artifacts.
        summary: one sentence for the help.
        version: the schema version. Raise it when `arrays` change their meaning.
        params: the model of its section.
        inputs: every artifact that the stage may read.
        arrays: the arrays of its artifact.
        run: (params, inputs, images, execution) -> arrays by name. A stage without `sizes` may also return `files`: a
            dict from paths in the project to the content of further files.
        sizes: (params, inputs) -> axis -> its length: an int, or int64 (image,) if images differ.
        parts: the folder of files that it writes in parts; for a stage without `sizes`.
        scope: the stage runs for each split ("each"), for the fit split ("fit"), or once for all splits ("all").
        methods: returns the table of its methods. None: the stage has no methods.
        choice: the key of its section that names the method, or a list of methods if the table has a `sequence`.
        reads: maps the params of every stage to the inputs with `when="asked"` that they request, besides those of the
            method.
        offers: the functions that later stages may call, by name. The first argument is the artifact.
        record: (params, split) -> the params that the artifact records.
        check: gets the params of every stage by name. It raises ParamsError if values contradict each other.
        files: maps the params to the files that they name, relative to the project. The content of these files is a
            part of the cache key; their names are not.
        gpu: (params, inputs) -> whether `run` uses the device of the execution, even if the method does not.
        moved: maps keys of earlier versions to their current place: `options.KEY` or `SECTION.KEY`.
        former: turns the values of a section of an earlier version into current values.
        formerly: the former name of the stage.
        shares: packages in `stages/` that belong to no stage and whose modules the stage imports, such as `heads`.
            Their code is a part of the cache key.
    """

    name: str
    summary: str
    version: int
    params: type[Params]
    inputs: tuple[Input, ...]
    arrays: Mapping[str, ArraySpec]
    run: Run
    sizes: Sizes | None = None
    parts: Parts | None = None
    scope: Scope = "each"
    methods: Callable[[], Methods[Any]] | None = None
    choice: str = "method"
    reads: Callable[[Mapping[str, Any]], tuple[str, ...]] = no_reads
    offers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    record: Callable[[Any, str], dict[str, Any]] = record_all
    check: Callable[[Mapping[str, Any]], None] = no_check
    files: Callable[[Any], Sequence[str]] = no_files
    gpu: Callable[[Any, "Inputs"], bool] = no_gpu
    moved: Mapping[str, str] = field(default_factory=dict)
    former: Callable[[dict[str, Any]], dict[str, Any]] = same_values
    formerly: str = ""
    shares: tuple[str, ...] = ()

    def chosen(self, section: Mapping[str, Any]) -> Any:
        """The method that the values of a section name, or the default one. None if the stage has no choice."""
        if self.methods is None:
            return None
        return section.get(self.choice, self.params.model_fields[self.choice].get_default())

    def method(self, params: Any) -> Method | None:
        """The entry of the chosen method, or of the chosen sequence of methods; None if the stage has no methods."""
        if self.methods is None:
            return None
        chosen: Method = self.methods().entry(getattr(params, self.choice))
        return chosen

    def uses_device(self, params: Any, inputs: "Inputs") -> bool:
        """Whether `run` computes on the device of the execution."""
        method = self.method(params)
        return self.gpu(params, inputs) or (method is not None and method.gpu(params.options))

    def asked(self, sections: Mapping[str, Any]) -> set[str]:
        """The stages whose artifacts this stage reads, given the params of every stage."""
        params = sections[self.name]
        method = self.method(params)
        named = {*self.reads(sections), *(method.reads(params.options) if method else ())}
        return {item.stage for item in self.inputs if item.when == "always" or item.stage in named}


def chosen_dtype(dtype: str, params: Params) -> str:
    """The dtype of an array: the only alternative, or the one that the param `dtype` names."""
    options = dtype.split("|")
    return options[0] if len(options) == 1 else str(getattr(params, "dtype", options[0]))
