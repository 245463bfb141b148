"""Methods: the interchangeable ways to do a stage, and the tables that list them.

A method is one file in the `methods/` folder of its stage, and one line in the table of that folder. Its entry holds
everything that the rest of usseg needs to know about the method. An installed package adds methods by entry points of
the group `usseg.<stage>`: the name of an entry point is the name of the method, and its value is the entry, such as
`my_package.linkage:METHOD`.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.params import PARAMS_FILE, Params, nearest


class NoOptions(Params):
    """Model of a method without options."""


def reads_nothing(options: Any) -> tuple[str, ...]:
    """For a method that needs only the inputs that its stage always reads."""
    return ()


def on_cpu(options: Any) -> bool:
    """For a method that computes on the CPU only."""
    return False


def on_device(options: Any) -> bool:
    """For a method that computes on the device of the execution."""
    return True


def fits_all(options: Any, sections: Mapping[str, Any]) -> None:
    """For a method whose options fit all params of every stage."""


@dataclass(frozen=True)
class Method:
    """The entry of a method. A stage adds fields in a subclass.

    Attributes:
        summary: what the method does, in one sentence, for `usseg methods` and the documentation.
        call: the function that the stage calls. The stage's `methods/__init__.py` documents its arguments and result.
        options: the model of the method's options, with their defaults.
        reads: maps the options to the names of the stages whose artifacts the method needs, besides the inputs that its
            stage always reads.
        gpu: maps the options to whether the method computes on the device of the execution.
        check: gets the options and the params of every stage by name. It raises ParamsError if values contradict each
            other.
        source: the paper or code that the method follows.
    """

    summary: str
    call: Callable[..., Any]
    options: type[Params] = NoOptions
    reads: Callable[[Any], tuple[str, ...]] = reads_nothing
    gpu: Callable[[Any], bool] = on_cpu
    check: Callable[[Any, Mapping[str, Any]], None] = fits_all
    source: str = ""


M = TypeVar("M", bound=Method)


@dataclass(frozen=True)
class Methods(Mapping[str, M], Generic[M]):
    """The table of the methods of a stage: methods of usseg, then methods of installed packages.

    The module of a method is imported when its entry is requested.

    Attributes:
        stage: the name of the stage.
        kind: the type of the entries.
        package: the package with the modules of usseg's own methods.
        own: the names of usseg's own methods. The entry of method `kmeans` is `METHOD` in module `kmeans` of the
            package.
        hint: the end of the message about an unknown method.
        sequence: maps names and entries to the entry that calls these methods one after the other; None if params name
            a single method.
        loaded: the entries that have been imported.
    """

    stage: str
    kind: type[M]
    package: str
    own: tuple[str, ...]
    hint: str = ""
    sequence: Callable[[Sequence[tuple[str, M]]], M] | None = None
    loaded: dict[str | tuple[str, ...], M] = field(default_factory=dict)

    @cached_property
    def installed(self) -> dict[str, EntryPoint]:
        """Entry points of other packages, by name. They cannot replace a method of usseg."""
        points = entry_points(group=f"usseg.{self.stage}")
        return {point.name: point for point in points if point.name not in self.own}

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from self.installed

    def __len__(self) -> int:
        return len(self.own) + len(self.installed)

    def __getitem__(self, name: str) -> M:
        if name not in self.loaded:
            if name in self.own:
                self.loaded[name] = import_module(f"{self.package}.{name}").METHOD
            else:
                self.loaded[name] = self.load(self.installed[name])
        return self.loaded[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self.own or name in self.installed)

    def entry(self, choice: str | Sequence[str]) -> M:
        """The entry of one method, or of a sequence of methods."""
        if isinstance(choice, str):
            return self[choice]
        names = tuple(choice)
        if names not in self.loaded:
            assert self.sequence is not None, f"{self.stage}: its params name one method"
            self.loaded[names] = self.sequence([(name, self[name]) for name in names])
        return self.loaded[names]

    def load(self, point: EntryPoint) -> M:
        """Load the entry of a method of another package.

        Raises:
            ParamsError: it cannot be imported, or it is not an entry of this stage.
        """
        where = f"method {point.name!r} of {self.stage}, entry point {point.value}"
        try:
            entry = point.load()
        except Exception as error:  # code of another package may raise anything
            raise ParamsError(f"{where}: {type(error).__name__}: {error}; repair or remove that package") from error
        if not isinstance(entry, self.kind):
            raise ParamsError(f"{where}: found {type(entry).__name__}; a {self.kind.__name__} is needed")
        return entry

    def chosen(self, choice: str | Sequence[str], *, key: str) -> M:
        """The entry of the method, or of the sequence of methods, that params name.

        Args:
            choice: the name or names in params.yaml.
            key: the key of the choice, such as `segments.method`.

        Raises:
            ParamsError: no method has this name.
        """
        for name in names_of(choice):
            if name not in self:
                hint = f"; {self.hint}" if self.hint else ""
                raise ParamsError(
                    f"{PARAMS_FILE}: {key}: found {name!r}; no such method{nearest(str(name), self)} "
                    f"(known: {', '.join(self)}){hint}"
                )
        return self.entry(choice)


def names_of(choice: str | Sequence[str]) -> list[str]:
    """The chosen methods as a list of names."""
    return [choice] if isinstance(choice, str) else list(choice)


def module_of(method: Method) -> str:
    """Name of the module of a method's function. The code of the module is a part of the cache key."""
    return method.call.__module__


def file_of(method: Method) -> str:
    """Path of the source file of a method's function; empty if there is none."""
    return str(getattr(sys.modules.get(module_of(method)), "__file__", None) or "")
