"""Names of clusters: the file names.yaml of a project, and the classes that the names make.

The labels are those of the maps of the stage refine: 0 is the background, clusters have labels from 1 on. Clusters with
equal names are one class. A cluster without a name is a class of its own. The name `background` puts a cluster to the
background. names.yaml may hold colours of clusters, too. No stage reads the file, so that a name never re-runs a stage.
The page reads a copy of it, report/names.js.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from usseg.pipeline.disk import write_file
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.opening import open_checked
from usseg.pipeline.params import nearest, short_repr
from usseg.pipeline.project import Project
from usseg.pipeline.stage import Input
from usseg.results.names_script import write_names_script

NAMES_FILE = "names.yaml"
BACKGROUND = "background"
FORBIDDEN = ":,"  # labelmap.txt separates by colons, --only by commas
LONGEST = 100  # characters of a name
COLOR = re.compile(r"#[0-9a-fA-F]{6}")
BLACK = "#000000"  # the colour of the background


@dataclass(frozen=True)
class Clustering:
    """The fitted clustering of a project.

    Attributes:
        content: the content digest of its artifact.
        labels: the labels of its clusters in the maps.
    """

    content: str
    labels: range


@dataclass(frozen=True)
class NamesFile:
    """What names.yaml says of the clusters of one clustering.

    Attributes:
        names: label -> name.
        colors: label -> colour, such as `#00a0ff`.
    """

    names: dict[int, str] = field(default_factory=dict)
    colors: dict[int, str] = field(default_factory=dict)

    def content(self, clustering: Clustering) -> dict[str, Any]:
        """The content of names.yaml; labels are in order."""
        by_key = {"names": dict(sorted(self.names.items())), "colors": dict(sorted(self.colors.items()))}
        return {"clustering": clustering.content, **by_key}


@dataclass(frozen=True)
class Classes:
    """The classes of a project: clusters with equal names are one class.

    Attributes:
        names: the name of each class; class 0 is the background.
        of_label: the class of each label, uint16 (label,).
        colors: class -> its colour in names.yaml, such as `#00a0ff`; only the classes that have one.
    """

    names: tuple[str, ...]
    of_label: npt.NDArray[np.uint16]
    colors: Mapping[int, str] = field(default_factory=dict)


def clustering_of(project: Project, reader: str) -> Clustering:
    """The fitted clustering of a project.

    Args:
        project: the project.
        reader: the command that needs it, for messages.

    Raises:
        ParamsError: the maps have no labels of clusters.
        ArtifactError: the clustering is missing or does not fit params.yaml.
    """
    refine: Any = project.params["refine"]
    if refine.source != "assign":
        raise ParamsError(
            f"{reader}: refine.source is {refine.source!r}: a label means another segment in each image, so it has no "
            "name; set refine.source: assign"
        )
    cluster = open_checked(project, reader, Input("cluster", "fit"), project.fit_split)
    assign: Any = project.params["assign"]
    shift = 0 if assign.background_collision else 1
    return Clustering(str(cluster.attrs["content"]), range(1, int(cluster["centers"].shape[0]) + shift))


def read_names(project: Path, clustering: Clustering) -> dict[int, str]:
    """Read the names of clusters: label -> name, in the order of the file; see `read_names_file`."""
    return read_names_file(project, clustering).names


def read_names_file(project: Path, clustering: Clustering) -> NamesFile:
    """Read names.yaml. Without the file there are no names and no colours.

    Raises:
        ParamsError: names.yaml is unreadable, has another form, or holds names of another clustering.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = project / NAMES_FILE
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return NamesFile()
    except (OSError, UnicodeDecodeError, YAMLError, ValueError) as error:
        raise ParamsError(f"{path}: {' '.join(str(error).split())[:200]}; mend or remove it") from None
    known = content.get("clustering") if isinstance(content, dict) else None
    if isinstance(known, str) and known != clustering.content:
        raise ParamsError(
            f"{path}: names of another clustering (content {known[:12]}, now "
            f"{clustering.content[:12]}): the clustering has changed since, and a label may mean something else; "
            "remove the file, look at the report, and name the clusters again"
        )
    return checked_names(content, clustering, str(path))


def checked_names(content: Any, clustering: Clustering, where: str) -> NamesFile:
    """The names and colours in the content of names.yaml.

    Raises:
        ParamsError: the content has another form, or a label, name or colour cannot be used.
    """
    if (
        not isinstance(content, dict)
        or set(content) - {"colors"} != {"clustering", "names"}
        or not isinstance(content["clustering"], str)
        or not isinstance(names := content["names"], dict)
        or not isinstance(colors := content.get("colors", {}), dict)
    ):
        raise ParamsError(
            f"{where}: `clustering` and `names` are needed, and perhaps `colors`, as `usseg name` writes them; "
            "mend or remove it"
        )
    return NamesFile(
        {checked_label(label, clustering, where): checked_name(name, where) for label, name in names.items()},
        {checked_label(label, clustering, where): checked_color(color, where) for label, color in colors.items()},
    )


def checked_label(label: Any, clustering: Clustering, where: str) -> int:
    """The label, if a cluster has it.

    Raises:
        ParamsError: no cluster has this label.
    """
    if type(label) is not int or label not in clustering.labels:
        known = f"{clustering.labels.start} to {clustering.labels.stop - 1}" if clustering.labels else "none"
        reason = "label 0 is the background" if label == 0 else f"no cluster has label {short_repr(label)}"
        raise ParamsError(f"{where}: {reason}; labels of clusters: {known}")
    return label


def checked_name(name: Any, where: str) -> str:
    """The name of a class in NFC, without spaces around it.

    Raises:
        ParamsError: the name is no text, is empty or too long, or has a character that a format cannot hold.
    """
    text = normalize("NFC", name).strip() if isinstance(name, str) else ""
    if not text or len(text) > LONGEST or not text.isprintable() or text[0] == "#" or set(text) & set(FORBIDDEN):
        raise ParamsError(
            f"{where}: found the name {short_repr(name)}; 1 to {LONGEST} printable characters without a colon or comma "
            "are needed, and # may not be the first"
        )
    return text


def checked_color(color: Any, where: str) -> str:
    """The colour in small letters, such as `#00a0ff`.

    Raises:
        ParamsError: the colour has another form, or is black, the colour of the background.
    """
    if not isinstance(color, str) or not COLOR.fullmatch(color) or color == BLACK:
        raise ParamsError(
            f'{where}: found the colour {short_repr(color)}; one such as "#00a0ff" is needed, in quotes; black is the '
            "background"
        )
    return color.lower()


def parse_names(arguments: Sequence[str], clustering: Clustering) -> dict[int, str]:
    """Parse arguments such as `3=grass`. `3=` gives an empty name, which removes the name of label 3.

    Raises:
        ParamsError: an argument has another form, no cluster has the label, or a label gets two names.
    """
    names: dict[int, str] = {}
    for argument in arguments:
        number, equals, name = argument.partition("=")
        if not equals or not (number.isascii() and number.isdigit()):
            raise ParamsError(f"found {argument!r}; LABEL=NAME is needed, such as 3=grass")
        label = checked_label(int(number), clustering, repr(argument))
        given = checked_name(name, f"label {label}") if name.strip() else ""
        if names.setdefault(label, given) != given:
            raise ParamsError(f"label {label} gets two names: {names[label]!r} and {given!r}; one is needed")
    return names


def write_names(project: Project, arguments: Sequence[str]) -> list[str]:
    """Add names to names.yaml. The names of other labels are kept.

    Args:
        project: the project.
        arguments: texts such as `3=grass`.

    Returns:
        One line for each changed name.

    Raises:
        ParamsError: an argument cannot be used, or names.yaml holds names of another clustering.
        ArtifactError: the clustering is missing.
    """
    clustering = clustering_of(project, "usseg name")
    given = parse_names(arguments, clustering)
    file = read_names_file(project.root, clustering)
    before = file.names
    names = {label: name for label, name in (before | given).items() if name}
    save_names(project.root, clustering, NamesFile(names, file.colors))
    lines = []
    for label, name in sorted(given.items()):
        old = before.get(label, "")
        if name != old:
            lines.append(f"label {label}: {name or 'no name'}" + (f" (was {old})" if old else ""))
    return lines or ["no name changes"]


def save_names(project: Path, clustering: Clustering, file: NamesFile) -> None:
    """Write names.yaml, and report/names.js if the project has a report. Without colours names.yaml has no `colors`."""
    from ruamel.yaml import YAML

    content = {key: value for key, value in file.content(clustering).items() if value or key != "colors"}
    text = io.StringIO()
    YAML().dump(content, text)
    write_file(project / NAMES_FILE, text.getvalue().encode())
    write_names_script(project, file.content(clustering))


def classes_of(
    clustering: Clustering, names: Mapping[int, str], only: Sequence[str] = (), colors: Mapping[int, str] | None = None
) -> Classes:
    """The classes that names make. Classes are in the order of their lowest labels.

    Args:
        clustering: the clustering.
        names: label -> name. A cluster without one is called `cluster 7`.
        only: the names of the classes that are kept; the others become background. Empty: all.
        colors: label -> colour. The colour of a class is that of its lowest label with one.

    Raises:
        ParamsError: no class has a name in `only`, or two classes have one colour.
    """
    every = {label: names.get(label, f"cluster {label}") for label in clustering.labels}
    known = [name for name in dict.fromkeys(every.values()) if name != BACKGROUND]
    for name in only:
        if name not in known:
            raise ParamsError(f"--only: no class {name!r}{nearest(name, known)} (known: {', '.join(known)})")
    kept = (BACKGROUND, *(name for name in known if not only or name in only))
    of_label = np.zeros(clustering.labels.stop, np.uint16)
    for label, name in every.items():
        of_label[label] = kept.index(name) if name in kept else 0
    own: dict[int, str] = {}
    for label, color in sorted((colors or {}).items()):
        if of_label[label]:
            own.setdefault(int(of_label[label]), color)
    for number, color in own.items():
        other = next((kept[first] for first in own if first < number and own[first] == color), None)
        if other is not None:
            raise ParamsError(
                f"{NAMES_FILE}: the classes {other!r} and {kept[number]!r} have one colour, {color}; change one of them"
            )
    return Classes(kept, of_label, own)
