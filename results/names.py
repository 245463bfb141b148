"""Names of clusters: the file names.yaml of a project, and the classes that the names make.

The labels are those of the maps of the stage refine: 0 is the background, clusters have labels from 1 on. Clusters with
equal names are one class. A cluster without a name is a class of its own. The name `background` puts a cluster to the
background. No stage reads names.yaml, so that a name never re-runs a stage.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from usseg.pipeline.artifact import Artifact
from usseg.pipeline.disk import write_file
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.opening import open_checked
from usseg.pipeline.params import nearest, short_repr
from usseg.pipeline.project import Project
from usseg.pipeline.stage import Input

if TYPE_CHECKING:
    from rich.table import Table

NAMES_FILE = "names.yaml"
BACKGROUND = "background"
FORBIDDEN = ":,"  # labelmap.txt separates by colons, --only by commas
LONGEST = 100  # characters of a name
ROWS = 256  # images whose token labels are read at a time


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
class Classes:
    """The classes of a project: clusters with equal names are one class.

    Attributes:
        names: the name of each class; class 0 is the background.
        of_label: the class of each label, uint16 (label,).
    """

    names: tuple[str, ...]
    of_label: npt.NDArray[np.uint16]


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
    """Read the names of clusters: label -> name, in the order of the labels. Without a names.yaml there are none.

    Raises:
        ParamsError: names.yaml is unreadable, has another form, or holds names of another clustering.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = project / NAMES_FILE
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, YAMLError, ValueError) as error:
        raise ParamsError(f"{path}: {' '.join(str(error).split())[:200]}; mend or remove it") from None
    form = f"{path}: `clustering` and `names` are needed, as `usseg name` writes them; mend or remove it"
    if not isinstance(content, dict) or set(content) != {"clustering", "names"}:
        raise ParamsError(form)
    names = content["names"]
    if not isinstance(names, dict) or not isinstance(content["clustering"], str):
        raise ParamsError(form)
    if content["clustering"] != clustering.content:
        raise ParamsError(
            f"{path}: names of another clustering (content {content['clustering'][:12]}, now "
            f"{clustering.content[:12]}): the clustering has changed since, and a label may mean something else; "
            "remove the file, look at the report, and name the clusters again"
        )
    return {checked_label(label, clustering, str(path)): checked_name(names[label], str(path)) for label in names}


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
    from ruamel.yaml import YAML

    clustering = clustering_of(project, "usseg name")
    given = parse_names(arguments, clustering)
    before = read_names(project.root, clustering)
    names = {label: name for label, name in sorted((before | given).items()) if name}
    text = io.StringIO()
    yaml = YAML()
    yaml.dump({"clustering": clustering.content, "names": names}, text)
    write_file(project.root / NAMES_FILE, text.getvalue().encode())
    lines = []
    for label, name in sorted(given.items()):
        old = before.get(label, "")
        if name != old:
            lines.append(f"label {label}: {name or 'no name'}" + (f" (was {old})" if old else ""))
    return lines or ["no name changes"]


def classes_of(clustering: Clustering, names: Mapping[int, str], only: Sequence[str] = ()) -> Classes:
    """The classes that names make. Classes are in the order of their lowest labels.

    Args:
        clustering: the clustering.
        names: label -> name. A cluster without one is called `cluster 7`.
        only: the names of the classes that are kept; the others become background. Empty: all.

    Raises:
        ParamsError: no class has a name in `only`.
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
    return Classes(kept, of_label)


def token_shares(assign: Artifact, count: int) -> npt.NDArray[np.float64]:
    """Share of the tokens of a split with each label, float64 (count,). All zero without tokens."""
    labels, tokens = assign["labels"], np.zeros(count, np.int64)
    for start in range(0, labels.shape[0], ROWS):
        block = np.asarray(labels[start : start + ROWS])
        tokens += np.bincount(block[block >= 0], minlength=count)[:count]
    return np.asarray(tokens / max(1, tokens.sum()))


def names_table(project: Project) -> Iterator["Table"]:
    """Yield the table of labels: the name of each, and its share of the patches of the fit split.

    Raises:
        ParamsError: names.yaml cannot be used.
        ArtifactError: an artifact is missing.
    """
    from rich.table import Table
    from rich.text import Text

    clustering = clustering_of(project, "usseg name")
    names = read_names(project.root, clustering)
    assign = open_checked(project, "usseg name", Input("assign"), project.fit_split)
    shares = token_shares(assign, clustering.labels.stop)
    table = Table("label", "name", f"share of {project.fit_split}")
    table.add_row("0", Text(BACKGROUND), f"{shares[0]:.1%}")
    for label in clustering.labels:
        table.add_row(str(label), Text(names.get(label, "")), f"{shares[label]:.1%}")
    yield table
