"""Recipes: named sets of params that reproduce one published system, written into params.yaml.

A recipe is a file of this folder, `<name>.toml`. Its first lines say what it is (`summary`), where its numbers are from
(`source`) and which scores the source states (`claims`). One table for each section holds params, on top of those of
the recipe that `based_on` names.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from usseg.pipeline.errors import ParamsError
from usseg.pipeline.params import nearest
from usseg.results.params_file import Check, Settings, write_settings

if TYPE_CHECKING:
    from usseg.pipeline.stage import Stage

FOLDER = Path(__file__).parent
# Keys that no recipe sets to a default: they belong to the images and the machine.
USERS = ("seed", "weights", "fit_split")
USERS_SECTIONS = ("index", "report")


@dataclass(frozen=True)
class Recipe:
    """A published system: its settings by section; params that it does not name have their defaults."""

    name: str
    summary: str
    source: str
    claims: str
    settings: Settings

    def complete(self, stages: "Mapping[str, Stage]") -> dict[str, dict[str, Any]]:
        """Every param that decides a result, by section; seeds, weights, the images and the report stay the user's."""
        full = {section: dict(keys) for section, keys in self.settings.items() if section in USERS_SECTIONS}
        for section, stage in stages.items():
            if section not in USERS_SECTIONS:
                defaults = {
                    name: field.get_default(call_default_factory=True)
                    for name, field in stage.params.model_fields.items()
                    if name not in USERS
                }
                full[section] = {**defaults, **self.settings.get(section, {})}
        return full


@cache
def read_recipe(name: str) -> Recipe:
    """Read a recipe's file, and those it is based on."""
    content = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    own = {section: keys for section, keys in content.items() if isinstance(keys, dict)}
    base: Settings = read_recipe(content["based_on"]).settings if "based_on" in content else {}
    settings = {section: {**base.get(section, {}), **own.get(section, {})} for section in {**base, **own}}
    return Recipe(name, content["summary"], content["source"], content["claims"], settings)


RECIPES: dict[str, Recipe] = {name: read_recipe(name) for name in sorted(path.stem for path in FOLDER.glob("*.toml"))}


def apply_recipe(
    stages: "Mapping[str, Stage]", project: Path, name: str, *, root: str | None = None, check: Check | None = None
) -> Iterator[str]:
    """Write a recipe into params.yaml, and where the images are if `root` is given; yields a line per changed key.

    Whatever was there before, all sections but `index` and `report` are then those of the recipe. Seeds, weights and
    `fit_split` stay.

    Raises:
        ParamsError: no such recipe, or no usable params.yaml.
    """
    if name not in RECIPES:
        raise ParamsError(f"no recipe {name!r}{nearest(name, RECIPES)} (known: {', '.join(RECIPES)})")
    settings = RECIPES[name].complete(stages)
    if root is not None:
        settings.setdefault("index", {})["root"] = root
    yield from write_settings(project, settings, check=check) or [f"params.yaml already holds recipe {name}"]
