"""All sections of params.yaml: each by itself, the options of its method, and what sections ask of each other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.params import PARAMS_FILE, Params, nearest, parse_section, read_params
from usseg.pipeline.stage import Stage


def read_sections(stages: Mapping[str, Stage], project: Path) -> dict[str, Any]:
    """Read params.yaml of a project and check all of it, whatever the command makes use of.

    Raises:
        ParamsError: the first thing that is wrong, in one line.
    """
    content = read_params(project)
    check_sections(stages, content)
    return content


def check_sections(stages: Mapping[str, Stage], content: Mapping[str, Any]) -> dict[str, Params]:
    """The params of every stage. Refused are sections that no stage has, bad values, and values that do not go together.

    Raises:
        ParamsError: the first of them, in one line.
    """
    for section in content:
        if section not in stages:
            raise ParamsError(
                f"{PARAMS_FILE}: {section}: no such stage{nearest(section, stages)} (known: {', '.join(stages)})"
            )
    sections = {name: parse_section(content, name, stage.params) for name, stage in stages.items()}
    for name, stage in stages.items():
        stage.options(sections[name])
    for stage in stages.values():
        stage.check(sections)
    return sections
