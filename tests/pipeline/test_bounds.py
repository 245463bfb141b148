"""Every number that params.yaml can hold has a lower and an upper bound, and all of them are finite."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any, get_origin

import pytest
from pydantic import ValidationError

from usseg import stages
from usseg.pipeline.params import Params


def models(base: type[Params] = Params) -> Iterator[type[Params]]:
    """Params and Options of every stage and method."""
    for module in pkgutil.walk_packages(stages.__path__, "usseg.stages."):
        importlib.import_module(module.name)
    for model in base.__subclasses__():
        if model.__module__.startswith("usseg.stages."):
            yield model
        yield from models(model)


MODELS = sorted(set(models()), key=lambda model: (model.__module__, model.__name__))


def numbers(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The nodes of a JSON schema that are numbers."""
    if isinstance(schema, dict):
        if schema.get("type") in ("integer", "number"):
            yield path, schema
        for key, value in schema.items():
            yield from numbers(value, f"{path}/{key}")
    elif isinstance(schema, list):
        for place, value in enumerate(schema):
            yield from numbers(value, f"{path}/{place}")


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.__module__}.{model.__name__}")
def test_every_number_is_bounded(model: type[Params]) -> None:
    for path, node in numbers(model.model_json_schema()):
        assert {"minimum", "exclusiveMinimum"} & set(node), f"{path} has no lower bound"
        assert {"maximum", "exclusiveMaximum"} & set(node), f"{path} has no upper bound"


def test_there_are_many_models() -> None:
    assert len(MODELS) > 20


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.__module__}.{model.__name__}")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400, 2**64, -(2**64), 1e308])
def test_absurd_numbers_are_refused(model: type[Params], value: float) -> None:
    for name, field in model.model_fields.items():
        if list(numbers(model.model_json_schema()["properties"][name])):
            with pytest.raises(ValidationError) as error:
                model.model_validate({name: [value, value] if get_origin(field.annotation) is list else value})
            assert any(finding["loc"][0] == name for finding in error.value.errors()), name
