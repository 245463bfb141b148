"""Make a project of a folder of images: `usseg init`."""

import json
import re
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import usseg
from usseg.pipeline.disk import write_file
from usseg.pipeline.errors import ParamsError
from usseg.pipeline.params import PARAMS_FILE, read_params
from usseg.pipeline.plan import link_code
from usseg.pipeline.project import INDEX, Project
from usseg.results.backbone_choice import AUTO, OFFLINE, backbone_lines, choose
from usseg.results.params_file import check_params, set_clusters, write_settings

PACKAGED = ("dvc.yaml", ".dvcignore")  # files of the package that a project has a copy of
OUTPUTS = ("artifacts", "metrics", "plots", "report", ".usseg", "comparison", "masks")  # not for git
PLAIN = re.compile(r"[\w/][\w./-]*")  # scalars that need no quotes, if YAML reads them as strings


@dataclass(frozen=True)
class Choices:
    """What a new project chooses.

    Attributes:
        labels: folder or file of the ground truth; None: no labels.
        classes: names of the label values 0, 1, ...
        backbone: `auto`, `lowlevel`, or the timm name of a network.
        recipe: name of a recipe whose settings are taken; "": those of `METHODS`.
        layout: name of the dataset that the folder of the images holds; "": a plain folder of images.
        clusters: `cluster.k`; None: the number of classes, or that of the recipe or layout, or the default.
    """

    labels: Path | None = None
    classes: list[str] = field(default_factory=list)
    backbone: str = AUTO
    recipe: str = ""
    layout: str = ""
    clusters: int | None = None


# The settings of a project without a recipe. They suit photos whose content nobody has described yet:
# - resize: the graph of an image grows with the square of its patches, so large photos would be slow.
# - fit pad: the patches cover the whole photo. `crop` would leave out the rest at the right and at the bottom.
# - background none: the border of a photo is sky, road or grass as often as a backdrop. `border` would call it
#   background, and it would never become a class.
# - masked_attention: a segment is described by its own tokens. `crop` would add the neighbours in its box, and
#   segments that touch would look alike.
# - guided_filter: the labels of the patches are brought to the pixels along the edges of the photo.
METHODS = """
features:
  {backbone}
  fit: pad                         # patches cover the whole image

segments:
  method: spectral
  background: none                 # every region can become a class; border: the one at the border cannot

crops:
  method: masked_attention         # a segment is described by its own tokens
  options: {{erode: 0, dilate: 0}}

cluster:
  k: {k:<30} # number of clusters; `usseg run --clusters K` changes it
{standardised}
refine:
  method: guided_filter            # labels follow the edges of the image
"""
# The channels of `lowlevel` have different units: colour, texture, position. Those of a network are alike.
STANDARDISED = """\
  norm_std: true                   # all channels count alike
"""
INDEX_SECTION = """\
# What this project chose. `usseg params` shows every param with its default and its meaning.
# `usseg run` runs again only the stages that an edit can change.

index:
  root: {root}  # the folder of the images
  splits:
    train: {{images: ".", labels: {labels}}}  # every image below root; val: {{...}} would be a second list
  fit_split: train  # the clusters are learned from these
"""


def init_project(folder: Path, images: Path, choices: Choices) -> list[str]:
    """Make a project folder: params.yaml, dvc.yaml, .dvcignore, .gitignore and the links to the code.

    Args:
        folder: the project folder; it is created if missing.
        images: the folder of the images, or of the dataset that `choices.layout` names. It is only read.
        choices: what params.yaml says.

    Returns:
        Lines for the user: what was written, the images of each split, and the next step.

    Raises:
        ParamsError: the folder is a project already or cannot be one, there are no images, or choices are unknown or
            contradict each other. Nothing is written then.
        ImageError: the file of labels cannot be read. Nothing is written then.
    """
    from usseg.stages import STAGES

    check_choices(choices)
    project, root = folder.resolve(), images.expanduser().resolve()
    files = {name: (Path(str(usseg.__file__)).parent / name).read_bytes() for name in PACKAGED}
    files[".gitignore"] = "".join(f"/{name}/\n" for name in OUTPUTS).encode()
    check_folders(project, root, files)
    choices, said = settled(choices)
    files[PARAMS_FILE] = (text := params_text(root, choices)).encode()
    opened = Project.of(STAGES, project, parsed(text))
    found = [line for split in opened.splits for line in account_of(opened, split)]
    for name, content in files.items():  # params.yaml is the last one: an init that was killed can be repeated
        write_file(project / name, content)
    link_code(project)
    into = "" if project == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    written = f"{project}: {', '.join(reversed(files))}"
    return [written, *found, *said, f"next: {into}usseg run"]


def settled(choices: Choices) -> tuple[Choices, list[str]]:
    """The choices with a backbone in place of `auto`, and a line on it for the user."""
    if choices.recipe:  # brings its backbone
        return choices, []
    if choices.backbone == AUTO:
        chosen = choose()
        return replace(choices, backbone=chosen.name), [chosen.line]
    if choices.backbone == OFFLINE:
        return choices, []
    return choices, [f"backbone: timm downloads {choices.backbone} at the first run"]


def check_choices(choices: Choices) -> None:
    """Refuse choices that contradict each other.

    Raises:
        ParamsError: names the options.
    """
    if choices.layout and (choices.labels or choices.classes):
        raise ParamsError(f"--layout {choices.layout} brings labels and classes; leave out --labels and --classes")
    if choices.recipe and choices.backbone != AUTO:
        raise ParamsError(f"--recipe {choices.recipe} brings its backbone; leave out one of --recipe and --backbone")
    if choices.classes and choices.labels is None:
        raise ParamsError("--classes names the values of labels; give --labels PATH too, or leave it out")
    if choices.labels and not choices.classes and not choices.recipe:
        raise ParamsError("--labels needs the names of the label values; give --classes, such as --classes sky,sea")
    if choices.labels and not choices.labels.expanduser().exists():
        raise ParamsError(f"--labels: no folder or file {choices.labels}")


def check_folders(project: Path, root: Path, files: dict[str, bytes]) -> None:
    """Refuse a folder that is a project or would lose a file, and a folder without images.

    Raises:
        ParamsError: says what was found, and what to do.
    """
    if not root.is_dir():
        raise ParamsError(f"no folder {root}; name the folder that holds the images")
    if (project / PARAMS_FILE).exists():
        raise ParamsError(f"{project} already holds a {PARAMS_FILE}; name a new folder, or edit that file")
    existing = next(above for above in (project, *project.parents) if above.exists())
    if not existing.is_dir():
        raise ParamsError(f"{existing} is a file; name a new folder for the project")
    if root in (project, *project.parents):
        raise ParamsError(f"{project} lies in the folder of the images, {root}; name a folder outside of it")
    for name, content in files.items():
        if (project / name).exists() and (project / name).read_bytes() != content:
            raise ParamsError(f"{project} already holds another {name}; name a new folder")


def params_text(root: Path, choices: Choices) -> str:
    """The text of params.yaml. A recipe and a layout are applied as `usseg recipe` and `usseg dataset` do.

    Raises:
        ParamsError: an unknown backbone, recipe or layout, or values that contradict each other.
    """
    from usseg.results.datasets import apply_dataset
    from usseg.results.recipes import apply_recipe
    from usseg.stages import STAGES

    labels = None if choices.labels is None else choices.labels.expanduser().resolve()
    text = INDEX_SECTION.format(root=scalar(str(root)), labels="null" if labels is None else scalar(str(labels)))
    if choices.classes:
        text += f"  classes: [{', '.join(map(scalar, choices.classes))}]  # position = label value\n"
    if not choices.recipe:
        k = len(choices.classes) or STAGES["cluster"].params.model_fields["k"].default
        standardised = STANDARDISED if choices.backbone == OFFLINE else ""
        text += METHODS.format(backbone=backbone_lines(choices.backbone), k=k, standardised=standardised)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / PARAMS_FILE).write_text(text, encoding="utf-8")
        if choices.recipe:
            index = read_params(folder)[INDEX]
            for _ in apply_recipe(STAGES, folder, choices.recipe):
                pass
            write_settings(folder, {INDEX: index}, whole=[INDEX])  # camvid brings an index: the images are the user's
        if choices.layout:
            apply_dataset(folder, root, choices.layout)
        if choices.clusters is not None:
            set_clusters(folder, choices.clusters)
        check_params(read_params(folder))
        return (folder / PARAMS_FILE).read_text(encoding="utf-8")


def scalar(text: str) -> str:
    """A string as YAML: plain where that is the same string, else in double quotes."""
    return text if PLAIN.fullmatch(text) and parsed(text) == text else json.dumps(text, ensure_ascii=False)


def parsed(text: str) -> Any:
    """The content of a YAML text."""
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(text)


def account_of(project: Project, split: str) -> Iterator[str]:
    """The line of stage index on the files of a split. No image is decoded here.

    Raises:
        ParamsError: there is no image, or a label would be taken for an image.
        ImageError: the file of labels cannot be read.
    """
    from usseg.stages.index.globs import IMAGES, candidates
    from usseg.stages.index.list_file import listed
    from usseg.stages.index.listing import Listing, account, counted, files_of, truth_files

    params = project.index_params
    root, own = Path(params["root"]), params["splits"][split]
    images, labels, ids = own["images"], own["labels"], own["ids"]
    left: dict[Path, str] = {}
    if images == "." and not any(True for _ in candidates(root, images, split, IMAGES, left)):
        raise ParamsError(f"no image below {root}{f': left out: {counted(left)}' if left else ''}; name another folder")
    found = files_of(root, images, f"{split}.images")
    truth = Listing()
    if labels is not None:
        truth = truth_files(root, labels, found.files, f"{split}.labels", outlines=bool(params["classes"]))
        both = sorted(set(found.files.values()) & set(truth.files.values()))
        if both:
            raise ParamsError(f"{both[0]} is an image and a label; name folders that do not hold each other")
    taken = listed(root, ids, f"{split}.ids", found.files).ids if ids is not None else list(found.files)
    omitted = {f"not in {ids}": len(found.files) - len(taken)}
    yield f"{split}: {account([found.files[name] for name in taken], found, omitted, truth)}"
