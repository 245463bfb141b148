"""Write the reference pages from the code: stages, params, methods, arrays, commands, recipes, datasets.

MkDocs calls the two `on_` functions (`hooks` in mkdocs.yml), so that the pages are never on disk.
Without MkDocs, `python docs/generate.py FOLDER` writes them.
"""

import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from param_tables import code, params_table, plain, prose, table

import usseg
from usseg.pipeline import methods as tables  # MkDocs takes every name that begins with on_ for an event of its own
from usseg.pipeline.artifact import START, ArraySpec
from usseg.pipeline.methods import Method
from usseg.pipeline.stage import Stage
from usseg.results.datasets import SUMMARIES
from usseg.results.recipes import RECIPES
from usseg.stages import STAGES

ROOT = Path(str(usseg.__file__)).resolve().parent
FOLDER, STAGE_FOLDER = "reference", "stages"
COPIED = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
COPIED |= {"benchmarks/RESULTS.md": "results/benchmarks.md"}
SCOPES = {"each": "for each split", "fit": "once, for the fit split", "all": "once, for all splits"}
PLACES = {tables.on_cpu: "It computes on the CPU.", tables.on_device: "It computes on a GPU if there is one."}
WHEN = {"always": "always", "asked": "if the chosen method needs it", "present": "if another stage needs it"}


def arrays_table(arrays: Mapping[str, ArraySpec]) -> str:
    """The arrays of an artifact. A stage of ragged arrays has `start`, which the runner writes."""
    every = {**arrays, **({"start": START} if any(spec.ragged for spec in arrays.values()) else {})}
    rows = (
        [f"`{name}`", ", ".join(spec.axes), spec.dtype.replace("|", " or "), plain(spec.doc)]
        for name, spec in every.items()
    )
    return table(("array", "axes", "type", "meaning"), rows)


def first_line(subject: Any) -> str:
    """The first line of a docstring."""
    return plain((inspect.getdoc(subject) or "").partition("\n")[0])


def place_of(module: Any) -> str:
    """The path of a module's file in the tree."""
    return Path(str(module.__file__)).resolve().relative_to(ROOT).as_posix()


def methods_of(stage: Stage) -> Mapping[str, Method]:
    """The methods that usseg itself has for a stage, by name; those of installed packages are left out."""
    found = stage.methods() if stage.methods else None
    return {name: found[name] for name in found.own} if found is not None else {}


def choices_of(stage: Stage) -> dict[str, list[str]]:
    """The key that names a method -> the methods."""
    return {stage.choice: list(methods_of(stage))} if stage.methods else {}


def stage_page(stage: Stage) -> str:
    """What a stage reads, which params it has, which methods, and what it writes."""
    package = sys.modules[stage.run.__module__.rpartition(".")[0]]
    parts = [f"# {stage.name}", plain(stage.summary), prose(package.__doc__ or "")]
    parts.append(f"Runs {SCOPES[stage.scope]}: `usseg stage {stage.name}`. Schema version {stage.version}.")
    if stage.formerly:
        parts.append(f"Earlier versions called it `{stage.formerly}`.")
    if stage.inputs:
        rows = (
            [f"[{item.stage}]({item.stage}.md)", {"same": "its own", "fit": "the fit split", "all": "all"}[item.split]]
            + [WHEN[item.when], ", ".join(f"`{call}`" for call in item.calls)]
            for item in stage.inputs
        )
        parts += ["## Reads", table(("artifact", "split", "when", "calls"), rows)]
    parts += ["## Params", params_table(stage.params, f"{stage.name}.", choices_of(stage))]
    methods = methods_of(stage)
    if methods:
        rows = ([f"[`{name}`]({stage.name}/{name}.md)", plain(entry.summary)] for name, entry in methods.items())
        parts += ["## Methods", f"`{stage.name}.{stage.choice}` names one.", table(("method", "what it does"), rows)]
    if stage.moved:
        rows = ([f"`{old}`", f"`{new if '.' in new else ''}`"] for old, new in stage.moved.items())
        parts += ["## Keys of earlier versions", "They still work, with a line.", table(("key", "now"), rows)]
    parts += ["## Writes", f"`artifacts/{stage.name}/<split>.zarr`", arrays_table(stage.arrays)]
    if stage.offers:
        rows = ([f"`{name}`", first_line(offer)] for name, offer in stage.offers.items())
        parts += ["## Offers", "Functions that later stages may call on the artifact.", table(("offer", "what"), rows)]
    if stage.methods:
        parts += contract(stage.methods().kind)
    return "\n\n".join(parts) + "\n"


def contract(kind: type[Method]) -> Iterator[str]:
    """What an author of a method has to know: the classes of the module of its entry, the entry first."""
    module = sys.modules[kind.__module__]
    yield "## Write a method"
    yield (
        f"A method is an entry of type `{kind.__name__}` of `{place_of(module)}`. "
        "[Add a method](../../how-to/add-a-method.md) has an example."
    )
    others = [one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == module.__name__]
    for one in (kind, *(other for other in others if other is not kind)):
        yield f"### {one.__name__}"
        yield prose(one.__doc__ or "")
        yield prose(getattr(vars(one).get("__call__"), "__doc__", None) or "")


def method_page(stage: Stage, name: str, entry: Method) -> str:
    """What a method does, where it is from, and its options."""
    assert stage.methods
    own = sys.modules[f"{stage.methods().package}.{name}"]
    parts = [f"# {name}", plain(entry.summary), f"A method of [{stage.name}](../{stage.name}.md):"]
    parts += [f"```yaml\n{stage.name}:\n  {stage.choice}: {name}\n```"]
    parts.append(prose((own.__doc__ or "").partition("\n")[2]))
    parts.append(f"`{entry.call.__name__}`: {first_line(entry.call)}")
    parts.append(f"Source: {plain(entry.source)}." if entry.source else "Source: usseg.")
    parts += ["## Options", params_table(entry.options, f"{stage.name}.options.")]
    facts = []
    if not any(field.is_required() for field in entry.options.model_fields.values()):
        options = entry.options()
        reads = [f"[{other}](../{other}.md)" for other in entry.reads(options)]
        facts.append(f"- With the default options it reads {', '.join(reads) or 'only what its stage always reads'}.")
        facts.append(f"- {PLACES.get(entry.gpu) or f'It uses a GPU: {first_line(entry.gpu)}'}")
    named = [recipe for recipe in RECIPES if RECIPES[recipe].settings.get(stage.name, {}).get(stage.choice) == name]
    if named:
        facts.append(f"- Recipes that name it: {', '.join(f'[`{one}`](../../recipes.md#{one})' for one in named)}.")
    facts.append(f"- Code: `{place_of(own)}`.")
    return "\n\n".join([*parts, "## Facts", "\n".join(facts)]) + "\n"


def index_page() -> str:
    """The stages in order."""
    rows = (
        [f"[{name}]({STAGE_FOLDER}/{name}.md)", plain(stage.summary), SCOPES[stage.scope]]
        + [", ".join(f"[`{one}`]({STAGE_FOLDER}/{name}/{one}.md)" for one in methods_of(stage))]
        for name, stage in STAGES.items()
    )
    words = "These pages are generated from the code (`docs/generate.py`). The stages, in the order of the pipeline:"
    return f"# Reference\n\n{words}\n\n{table(('stage', 'what it does', 'runs', 'methods'), rows)}\n"


def all_params_page() -> str:
    """Every key of params.yaml with its default."""
    parts = ["# All params", "Every key of `params.yaml`: what it may be, its default, its meaning."]
    for name, stage in STAGES.items():
        parts += [f"## {name}", params_table(stage.params, f"{name}.", choices_of(stage))]
        for method, entry in methods_of(stage).items():
            if entry.options.model_fields:
                parts.append(
                    f"### {name}.options of [{method}]({STAGE_FOLDER}/{name}/{method}.md) {{#{name}-{method}}}"
                )
                parts.append(params_table(entry.options, f"{name}.options."))
    return "\n\n".join(parts) + "\n"


def artifacts_page() -> str:
    """Every array of every stage."""
    words = "Every array of every artifact. [Artifacts](../explanation/artifacts.md) says how rows are padded."
    parts = ["# Artifacts", words]
    for name, stage in STAGES.items():
        parts += [
            f"## {name}",
            f"Schema version {stage.version}, written {SCOPES[stage.scope]}.",
            arrays_table(stage.arrays),
        ]
    return "\n\n".join(parts) + "\n"


def commands_page() -> str:
    """Every command with its arguments and options."""
    import typer

    from usseg.cli import app

    parts = ["# Commands", "Every command of `usseg`. Add `--help` to any of them."]
    parts += command_parts(typer.main.get_command(app), "usseg", 2)
    return "\n\n".join(parts) + "\n"


def command_parts(command: Any, path: str, level: int) -> Iterator[str]:
    """The help of a command, then the help of its own commands. The stages share their options: they stand once."""
    yield f"{'#' * level} {path}"
    yield plain(command.help or "")
    if hasattr(command, "list_commands"):
        inner = [one for one in (command.commands[name] for name in command.list_commands(None)) if not one.hidden]
        if path == "usseg stage":
            rows = ([f"[{one.name}]({STAGE_FOLDER}/{one.name}.md)", plain(one.help or "")] for one in inner)
            yield table(("stage", "what it does"), rows)
            yield from command_parts(inner[0], "usseg stage STAGE", level + 1)
            return
        for one in inner:
            yield from command_parts(one, f"{path} {one.name}", level + (path != "usseg"))
        return
    places = [one for one in command.params if one.param_type_name == "argument"]
    arguments = [one.name.upper() if one.required else f"[{one.name.upper()}]" for one in places]
    yield f"    {' '.join([path, *arguments])} [OPTIONS]"
    rows = [option_row(one) for one in command.params if not one.hidden]
    yield table(("option", "default", "environment", "meaning"), rows)


def option_row(param: Any) -> list[str]:
    """An option or argument of a command."""
    name = ", ".join(param.opts) if param.param_type_name == "option" else param.name.upper()
    default = (
        "needed"
        if param.required
        else ""
        if param.default is None or param.default is False or param.default == ""
        else f"`{param.default}`"
    )
    return [f"`{name}`", default, f"`{param.envvar}`" if param.envvar else "", plain(param.help or "")]


def recipes_page() -> str:
    """Every recipe with its source and settings."""
    parts = [
        "# Recipes",
        "`usseg recipe apply NAME` writes one into `params.yaml`. What a recipe does not name has its default.",
    ]
    for name, recipe in RECIPES.items():
        rows = (
            [f"`{section}.{key}`", code(value)]
            for section, keys in recipe.settings.items()
            for key, value in keys.items()
        )
        said = [plain(f"{recipe.summary}."), plain(f"Source: {recipe.source}"), plain(f"Stated there: {recipe.claims}")]
        parts += [f"## {name} {{#{name}}}", *said, table(("param", "value"), rows)]
    return "\n\n".join(parts) + "\n"


def datasets_page() -> str:
    """Every known dataset."""
    words = (
        "`usseg dataset apply DIR --layout NAME` writes one into `params.yaml`: "
        "see [public datasets](../how-to/datasets.md)."
    )
    rows = ([f"`{name}`", plain(summary)] for name, summary in SUMMARIES.items())
    return f"# Datasets\n\n{words}\n\n{table(('layout', 'what'), rows)}\n"


def pages() -> dict[str, str]:
    """The reference: path below docs -> Markdown, in the order of the navigation."""
    found = {"index": index_page(), "params": all_params_page(), "artifacts": artifacts_page()}
    found |= {"commands": commands_page(), "recipes": recipes_page(), "datasets": datasets_page()}
    for name, stage in STAGES.items():
        found[f"{STAGE_FOLDER}/{name}"] = stage_page(stage)
        found |= {
            f"{STAGE_FOLDER}/{name}/{method}": method_page(stage, method, entry)
            for method, entry in methods_of(stage).items()
        }
    return {f"{FOLDER}/{path}.md": text for path, text in found.items()}


def copies() -> dict[str, str]:
    """Pages that stand elsewhere in the tree, with their links as they are below docs."""
    found = {}
    for source, target in COPIED.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        for name, place in COPIED.items():
            text = text.replace(f"]({name})", f"]({place})")
        found[target] = text
    return found


def navigation() -> list[Any]:
    """The reference in MkDocs' own layout: pages, and a folded part for each stage that has methods."""
    whole = [{title: f"{FOLDER}/{path}.md"} for title, path in (("Overview", "index"), ("All params", "params"))]
    whole += [{path.capitalize(): f"{FOLDER}/{path}.md"} for path in ("artifacts", "commands", "recipes", "datasets")]
    for name, stage in STAGES.items():
        place = f"{FOLDER}/{STAGE_FOLDER}/{name}"
        methods = [{method: f"{place}/{method}.md"} for method in methods_of(stage)]
        whole.append({name: [{f"Stage {name}": f"{place}.md"}, *methods] if methods else f"{place}.md"})
    return whole


def on_config(config: Any) -> Any:
    """Put the pages of the reference into the navigation, in place of the word `reference`."""
    config.nav = [
        {key: navigation() if value == FOLDER else value for key, value in part.items()} for part in config.nav
    ]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are not below docs."""
    from mkdocs.structure.files import File

    for path, text in {**pages(), **copies()}.items():
        files.append(File.generated(config, path, content=text))
    return files


if __name__ == "__main__":
    for place, text in pages().items():
        path = Path(sys.argv[1]) / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
