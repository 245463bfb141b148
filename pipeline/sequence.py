"""Sequence of methods: the entry that a table returns if params name a list of methods."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import Field, create_model

from usseg.pipeline.methods import M, Method
from usseg.pipeline.params import Params


def options_of(methods: Mapping[str, Method]) -> type[Params]:
    """Build a model whose field NAME holds the options of method NAME."""
    fields: dict[str, Any] = {
        name: (method.options, Field({}, validate_default=True, description=method.summary))
        for name, method in methods.items()
    }
    model: type[Params] = create_model("SequenceOptions", __base__=Params, **fields)
    return model


def sequence_of(kind: type[M], parts: Sequence[tuple[str, M]], *, call: Callable[..., Any], **more: Any) -> M:
    """Build the entry of a sequence of methods.

    Args:
        kind: the type of the entry.
        parts: name and entry of each method, in order. A method may occur twice; both occurrences have the same
            options.
        call: calls the methods one after another. The attribute NAME of its options holds the options of method NAME.
        more: further fields of the entry.
    """
    methods = dict(parts)

    def reads(options: Any) -> tuple[str, ...]:
        return tuple(stage for name, method in methods.items() for stage in method.reads(getattr(options, name)))

    def gpu(options: Any) -> bool:
        return any(method.gpu(getattr(options, name)) for name, method in methods.items())

    def check(options: Any, sections: Mapping[str, Any]) -> None:
        for name, method in methods.items():
            method.check(getattr(options, name), sections)

    return kind(
        summary=" ".join(method.summary for _, method in parts),
        call=call,
        options=options_of(methods),
        reads=reads,
        gpu=gpu,
        check=check,
        source="; ".join(method.source for method in methods.values() if method.source),
        **more,
    )
