"""The declaration of a stage: its params, inputs, arrays and functions, and nothing else."""

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
        stage: the stage that makes it.
        split: of its own split ("same"), of the fit split ("fit"), or of every split ("all").
        when: "always"; "asked": where the chosen method or `Stage.reads` names it; "present": where another stage needs it.
        labels: of the index, labels and their meaning as well as ids and images.
        calls: the offers of that stage that this one may call. Their code belongs to this stage's cache key.
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
    """A stage whose params ask for no further input."""
    return ()


def no_gpu(params: Any, inputs: "Inputs") -> bool:
    """A stage that computes on the CPU, apart from its methods."""
    return False


def no_check(sections: Mapping[str, Any]) -> None:
    """A stage whose params fit those of every other stage."""


def no_files(params: Any) -> Sequence[str]:
    """A stage whose params name no file."""
    return ()


def same_values(values: dict[str, Any]) -> dict[str, Any]:
    """A stage whose section has always looked as it does now."""
    return values


@dataclass(frozen=True)
class Stage:
    """A step that turns artifacts into an artifact.

    A stage with `sizes` works image by image. `run` gets some images and returns every array for these, padded to the largest of
    them. `sizes` gives the length of every axis: an int, or int64 (image,) where images differ. A stage without `sizes` is called
    once and returns whole arrays.

    Attributes:
        name: of its folder, its section in params.yaml and its artifacts.
        summary: one sentence for the help.
        version: of the schema. Raise it when `arrays` change their meaning.
        params: the model of its section.
        inputs: every artifact that it may read.
        arrays: what its artifact holds.
        run: (params, inputs, images, execution) -> arrays by name. `files`, a key of its own in the result of a stage without
            `sizes`, maps paths in the project to the content of further files.
        sizes: see above.
        scope: run for "each" split, for the "fit" split only, or once for "all".
        methods: gives the table of its methods, imported when first asked for. None: the stage has no choice.
        choice: the key of its section that names the method, or a list of methods where its table has a `sequence`.
        reads: from the params of every stage by name, the inputs `when="asked"` that they ask for, besides those of the method.
        offers: the functions that later stages may call, by name. The first argument is the artifact.
        record: the params that its artifact records for a split.
        check: gets the params of every stage by name, and refuses values that do not go together with a ParamsError.
        files: the files that the params name, relative to the project. Their content counts, not their name.
        gpu: from params and inputs, whether `run` uses the execution's device, whatever the method says.
        moved: keys of earlier versions -> where they stand now: `options.KEY` or `SECTION.KEY`.
        former: turns the values of an earlier version's section into those of today.
        formerly: the name that the stage had.
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

    def method(self, params: Any) -> Method | None:
        """The entry of the method, or of the sequence of methods, that the params choose; None where the stage has no choice."""
        if self.methods is None:
            return None
        chosen: Method = self.methods().entry(getattr(params, self.choice))
        return chosen

    def uses_device(self, params: Any, inputs: "Inputs") -> bool:
        """Whether `run` computes on the execution's device."""
        method = self.method(params)
        return self.gpu(params, inputs) or (method is not None and method.gpu(params.options))

    def asked(self, sections: Mapping[str, Any]) -> set[str]:
        """The names of the inputs that are read under these params of every stage."""
        params = sections[self.name]
        method = self.method(params)
        named = {*self.reads(sections), *(method.reads(params.options) if method else ())}
        return {item.stage for item in self.inputs if item.when == "always" or item.stage in named}


def chosen_dtype(dtype: str, params: Params) -> str:
    """The array's dtype: the only one, or the one that the param `dtype` names."""
    options = dtype.split("|")
    return options[0] if len(options) == 1 else str(getattr(params, "dtype", options[0]))
