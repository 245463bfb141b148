"""Recipes: named sets of params that reproduce one published system.

A recipe is a file `<name>.toml` in this folder. Its first keys are `summary`, `source` (of the numbers) and `claims`
(the scores that the source states). Each table holds the params of one section. They are added to the params of the
recipe that `based_on` names.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.params import nearest, read_params, refused
from usseg.pipeline.project import todays_sections
from usseg.results.params_file import Check, Settings, write_settings

if TYPE_CHECKING:
    from usseg.pipeline.stage import Stage

FOLDER = Path(__file__).parent
USERS = ("seed",)  # keys, options and sections that belong to the user: no recipe changes them
USERS_OPTIONS = ("weights",)
USERS_SECTIONS = ("index", "report")


@dataclass(frozen=True)
class Recipe:
    """A published system. Params that its settings do not name have their defaults."""

    name: str
    summary: str
    source: str
    claims: str
    settings: Settings


@cache
def read_recipe(name: str) -> Recipe:
    """Read the file of a recipe, and the files of the recipes that it is based on."""
    content = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    own = {section: keys for section, keys in content.items() if isinstance(keys, dict)}
    base: Settings = read_recipe(content["based_on"]).settings if "based_on" in content else {}
    settings = {section: over(section, base.get(section, {}), own.get(section, {})) for section in {**base, **own}}
    return Recipe(name, content["summary"], content["source"], content["claims"], settings)


def over(section: str, base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the settings of a section with the settings that it is based on.

    Options are merged if the method is the same.
    """
    from usseg.stages import STAGES

    stage = STAGES[section]
    same = stage.chosen({**base, **own}) == stage.chosen(base)
    options = {**(base.get("options", {}) if same else {}), **own.get("options", {})}
    merged = {**base, **own, "options": options}
    return merged if options else {key: value for key, value in merged.items() if key != "options"}


RECIPES: dict[str, Recipe] = {name: read_recipe(name) for name in sorted(path.stem for path in FOLDER.glob("*.toml"))}


def apply_recipe(
    stages: "Mapping[str, Stage]", project: Path, name: str, *, root: str | None = None, check: Check | None = None
) -> Iterator[str]:
    """Write a recipe into params.yaml.

    Every section except `index` and `report` is replaced. Seeds and the paths of weights are kept.

    Args:
        stages: the table of stages.
        project: the project folder.
        name: the name of the recipe.
        root: the new value of `index.root`; None: unchanged.
        check: see `write_settings`.

    Yields:
        One line for each changed key.

    Raises:
        ParamsError: no recipe has this name, or params.yaml is missing or unusable.
    """
    if name not in RECIPES:
        raise ParamsError(f"no recipe {name!r}{nearest(name, RECIPES)} (known: {', '.join(RECIPES)})")
    before = todays_sections(stages, read_params(project))
    settings = {section: dict(keys) for section, keys in RECIPES[name].settings.items()}
    for section, stage in stages.items():
        if section in USERS_SECTIONS:
            continue
        keys, present = settings.setdefault(section, {}), before.get(section, {})
        if not isinstance(present, Mapping):
            raise refused(section, present, "a section with keys is needed")
        options = present.get("options", {})
        if not isinstance(options, Mapping):
            raise refused(f"{section}.options", options, "keys of the method and their values are needed")
        keys |= {key: present[key] for key in USERS if key in present}
        kept = {key: value for key, value in options.items() if key in USERS_OPTIONS}
        if stage.methods is not None and kept:
            method = stage.methods().entry(stage.chosen(keys))
            kept = {key: value for key, value in kept.items() if key in method.options.model_fields}
            keys |= {"options": {**kept, **keys.get("options", {})}} if kept else {}
    if root is not None:
        settings.setdefault("index", {})["root"] = root
    whole = [section for section in stages if section not in USERS_SECTIONS]
    changes = write_settings(project, settings, whole=whole, check=check)
    yield from changes or [f"params.yaml already holds recipe {name}"]
