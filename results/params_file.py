"""Write settings into params.yaml. Comments and other keys are kept."""

import io
from collections.abc import Callable, Collection, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from usseg.pipeline.disk import write_file
from usseg.pipeline.params import PARAMS_FILE, read_params, refused

Settings = Mapping[str, Mapping[str, Any]]
Check = Callable[[Mapping[str, Any]], object]


def check_params(content: Mapping[str, Any]) -> None:
    """Check the content of params.yaml. A warning is logged if there would be fewer clusters than classes.

    Raises:
        ParamsError: values are invalid or contradict each other; names the key.
    """
    from usseg.pipeline.project import resolved_params
    from usseg.stages import STAGES
    from usseg.stages.evaluate.stage import warn_of_few_clusters

    warn_of_few_clusters(resolved_params(STAGES, content))


def laid_out(value: Any) -> Any:
    """Copy lists and mappings for ruamel.yaml. A list or mapping of scalars is written on one line."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if not isinstance(value, list | Mapping):
        return value
    node: Any
    if isinstance(value, list):
        items, node = value, CommentedSeq(map(laid_out, value))
    else:
        items, node = list(value.values()), CommentedMap({key: laid_out(item) for key, item in value.items()})
    if not any(isinstance(item, list | Mapping) for item in items):
        node.fa.set_flow_style()
    return node


def write_settings(
    project: Path, settings: Settings, *, whole: Collection[str] = (), check: Check | None = None
) -> list[str]:
    """Write settings into params.yaml. Comments are kept.

    Keys that the settings do not name are kept, with two exceptions: the sections in `whole` get exactly the keys of
    the settings, and the options of a replaced method are removed. An empty section is removed.

    Args:
        project: the project folder.
        settings: section -> keys and values.
        whole: the sections that get exactly the keys of the settings.
        check: gets the new content before it is written, and raises ParamsError to refuse it.

    Returns:
        One line for each changed key.

    Raises:
        ParamsError: params.yaml is missing or unusable, or `check` refuses the new content. Nothing is written then.
    """
    from ruamel.yaml import YAML

    from usseg.stages import STAGES

    read_params(project)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    path = project / PARAMS_FILE
    content = yaml.load(path.read_text(encoding="utf-8"))
    changes = []
    for section, keys in settings.items():
        present = content.setdefault(section, {})
        if not isinstance(present, MutableMapping):
            raise refused(section, present, "a section with keys is needed")
        for key in [key for key in present if section in whole and key not in keys]:
            changes.append(f"{section}.{key}: {present.pop(key)!r} -> its default")
        method = STAGES[section].chosen({**present, **keys})
        method_changes = method != STAGES[section].chosen(present)
        if method_changes and "options" not in keys and (options := present.pop("options", None)):
            changes.append(f"{section}.options: {dict(options)!r} -> those of {method}")
        for key, value in keys.items():
            before = present.get(key)
            if before != value or key not in present:
                present[key] = laid_out(value)
                changes.append(f"{section}.{key}: {before!r} -> {value!r}")
        if not present:
            del content[section]
    text = io.StringIO()
    yaml.dump(content, text)
    if check:
        check(YAML(typ="safe").load(text.getvalue()))
    write_file(path, text.getvalue().encode())
    return changes


def set_clusters(project: Path, k: int) -> str:
    """Write `cluster.k` into params.yaml. Returns one line that says so.

    Raises:
        ParamsError: params.yaml is missing or unusable, or other values contradict the number.
    """
    changed = write_settings(project, {"cluster": {"k": k}}, check=check_params)
    return f"{PARAMS_FILE}: cluster.k is {k} {'now' if changed else 'already'}"
