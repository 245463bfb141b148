"""Settings -> params.yaml, comments and other keys kept."""

import io
from collections.abc import Callable, Collection, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from usseg.pipeline.disk import write_file
from usseg.pipeline.params import PARAMS_FILE, read_params, refused

Settings = Mapping[str, Mapping[str, Any]]
Check = Callable[[Mapping[str, Any]], object]


def check_params(content: Mapping[str, Any]) -> None:
    """Refuse what does not go together, and say where there would be fewer labels than classes.

    Raises:
        ParamsError: names the key.
    """
    from usseg.pipeline.project import resolved_params
    from usseg.stages import STAGES
    from usseg.stages.evaluate.stage import warn_of_few_clusters

    warn_of_few_clusters(resolved_params(STAGES, content))


def laid_out(value: Any) -> Any:
    """Lists and mappings of scalars as YAML on one line."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if not isinstance(value, list | Mapping):
        return value
    items = value if isinstance(value, list) else list(value.values())
    seq_or_map: Any = (
        CommentedSeq(map(laid_out, value))
        if isinstance(value, list)
        else CommentedMap({key: laid_out(item) for key, item in value.items()})
    )
    if not any(isinstance(item, list | Mapping) for item in items):
        seq_or_map.fa.set_flow_style()
    return seq_or_map


def write_settings(
    project: Path, settings: Settings, *, whole: Collection[str] = (), check: Check | None = None
) -> list[str]:
    """Write settings by section into params.yaml, comments kept; returns a line per changed key.

    Keys that the settings do not name stay, but not in the sections of `whole`, and not the options of another method. A section
    without keys is left out.

    Raises:
        ParamsError: no usable params.yaml, or what `check` refuses of the new content; nothing is written.
    """
    from ruamel.yaml import YAML

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
        another = present.get("method") != keys.get("method", present.get("method"))
        if another and "options" not in keys and (left := present.pop("options", None)):
            changes.append(f"{section}.options: {dict(left)!r} -> those of {keys['method']}")
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
