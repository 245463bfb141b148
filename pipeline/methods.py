"""Methods: the interchangeable ways to do a stage, and the tables that list them.

A method is one file in the `methods/` folder of its stage and one line in the table there. Its entry says everything that the rest
of usseg has to know about it. An installed package adds methods by entry points of the group `usseg.<stage>`: the name is the
method's, the value is its entry, such as `my_package.linkage:METHOD`.
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
    """The options of a method that has none."""


def reads_nothing(options: Any) -> tuple[str, ...]:
    """A method that needs only what its stage always reads."""
    return ()


def on_cpu(options: Any) -> bool:
    """A method that never uses the execution's device."""
    return False


def on_device(options: Any) -> bool:
    """A method that computes on the execution's device."""
    return True


def fits_all(options: Any, sections: Mapping[str, Any]) -> None:
    """A method whose options fit the params of every stage."""


@dataclass(frozen=True)
class Method:
    """The entry of a method. Stages whose methods need more say it in a subclass.

    Attributes:
        summary: what the method does, one sentence, for `usseg methods` and the documentation.
        call: the function that the stage calls. The stage's `methods/__init__.py` states its arguments and what it returns.
        options: the model of the method's params. Every default of the method stands there.
        reads: from the options, the names of the stages whose artifacts the method needs besides those that its stage always reads.
        gpu: from the options, whether the method computes on the execution's device.
        check: gets the options and the params of every stage by name, and refuses values that do not go together with a ParamsError.
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
    """The table of a stage's methods: those of usseg, then those of installed packages. A method is imported when it is asked for.

    Attributes:
        stage: the name of the stage.
        kind: the type of its entries.
        package: that holds the modules of usseg's own methods.
        own: their names. Method `kmeans` is the entry `METHOD` of module `kmeans` in the package.
        hint: the end of the line about a name that no method has.
        sequence: from name and entry of each, the entry of methods one after another, where params may name a list of methods.
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
        """Entry points of other packages. A name of usseg's own stays usseg's."""
        found = entry_points(group=f"usseg.{self.stage}")
        return {point.name: point for point in found if point.name not in self.own}

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
        """The method of a name, or the sequence of a list of names."""
        if isinstance(choice, str):
            return self[choice]
        names = tuple(choice)
        if names not in self.loaded:
            assert self.sequence is not None, f"{self.stage}: its params name one method"
            self.loaded[names] = self.sequence([(name, self[name]) for name in names])
        return self.loaded[names]

    def load(self, point: EntryPoint) -> M:
        """The entry behind an entry point.

        Raises:
            ParamsError: it cannot be imported, or is no entry of this stage.
        """
        where = f"method {point.name!r} of {self.stage}, entry point {point.value}"
        try:
            found = point.load()
        except Exception as error:  # code of another package may raise anything
            raise ParamsError(f"{where}: {type(error).__name__}: {error}; repair or remove that package") from error
        if not isinstance(found, self.kind):
            raise ParamsError(f"{where}: found {type(found).__name__}; a {self.kind.__name__} is needed")
        return found

    def chosen(self, choice: str | Sequence[str], *, key: str) -> M:
        """The method, or the sequence of methods, that params name.

        Args:
            choice: what params.yaml says.
            key: where it says so, such as `segments.method`.

        Raises:
            ParamsError: there is no such method.
        """
        for name in names_of(choice):
            if name not in self:
                hint = f"; {self.hint}" if self.hint else ""
                raise ParamsError(
                    f"{PARAMS_FILE}: {key}: found {name!r}; no such method{nearest(str(name), self)} (known: {', '.join(self)}){hint}"
                )
        return self.entry(choice)


def names_of(choice: str | Sequence[str]) -> list[str]:
    """The names of the methods that params choose: one, or those of a sequence."""
    return [choice] if isinstance(choice, str) else list(choice)


def module_of(method: Method) -> str:
    """The module that a method's function stands in: its code belongs to the cache key."""
    return method.call.__module__


def file_of(method: Method) -> str:
    """The source file of a method's function; empty where there is none."""
    return str(getattr(sys.modules.get(module_of(method)), "__file__", None) or "")
