"""The backbone that params name, loaded once a process and device."""

import json
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from usseg.stages.features.method import Backbone
from usseg.stages.features.methods import METHODS

LOADING = threading.Lock()  # two blocks at a time ask for the same backbone


@lru_cache(maxsize=1)
def loaded(project: Path, name: str, options: str, device: str) -> Backbone:
    """The backbone of these options, as JSON; the last one is kept."""
    method = METHODS[name]
    return method.call(method.options.model_validate_json(options), project, device)


def backbone_of(params: Mapping[str, Any], project: Path, device: str) -> Backbone:
    """The backbone of the recorded params of the features."""
    with LOADING:
        return loaded(project, params["backbone"], json.dumps(params["options"], sort_keys=True), device)


def shape_of(params: Mapping[str, Any], project: Path) -> tuple[int, int, int]:
    """Patch side in pixels, channels of a token, channels of a segment."""
    return shape(project, params["backbone"], json.dumps(params["options"], sort_keys=True))


@lru_cache(maxsize=8)
def shape(project: Path, name: str, options: str) -> tuple[int, int, int]:
    """The same by hashable arguments, kept apart from `loaded`, which has room for one device only."""
    with LOADING:
        found = loaded(project, name, options, "cpu")
    return found.patch, found.channels, found.crop_channels
