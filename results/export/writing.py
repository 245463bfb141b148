"""Write the maps of a project in several formats, image by image, and continue after a kill.

The files of a format and split are below `OUT/FORMAT/SPLIT`. Next to this folder, `SPLIT.export.json` holds a digest of
everything that decides them: the maps, the index, the classes and the options. If the digest is the same, files that
exist are kept, because every file appears complete, by rename. If it differs, the folder is removed and written anew.
"""

import hashlib
import importlib.util
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from usseg.pipeline.disk import remove, sync, write_file
from usseg.pipeline.errors import ArtifactError, ParamsError
from usseg.pipeline.inputs import Inputs
from usseg.pipeline.opening import open_checked, remedy_for
from usseg.pipeline.parallel import thread_map
from usseg.pipeline.params import nearest
from usseg.pipeline.project import Project
from usseg.pipeline.provenance import refuse_other_run
from usseg.pipeline.stage import Input
from usseg.results.export import FORMATS
from usseg.results.export.format import Format, Split
from usseg.results.export.manifest import write_manifest
from usseg.results.export.source import RESULT, Source
from usseg.results.names import Classes, classes_of, clustering_of, read_names_file

READER = "usseg export"
VERSION = 2  # raised when a format changes bytes: earlier exports are then written anew


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes:
        formats: names in FORMATS.
        split: a split, or `all`.
        out: the folder of the masks.
        min_area: components with fewer pixels become background.
        only: the names of the classes that are kept; empty: all.
        workers: number of threads; 0: one for each core.
    """

    formats: tuple[str, ...]
    split: str = "all"
    out: Path = Path("masks")
    min_area: int = 0
    only: tuple[str, ...] = ()
    workers: int = 0


def export_masks(project: Project, request: Request) -> Iterator[str]:
    """Write the maps of the result in every requested format, and a manifest for each split.

    Yields:
        One line for each split and format.

    Raises:
        ParamsError: a format, split or class is not known, or the folder cannot be used.
        ArtifactError: the result is missing, or not of the present params, code and inputs.
        ImageError: a photo is missing or has changed.
    """
    classes = check_request(project, request)
    splits = project.splits if request.split == "all" else [request.split]
    sources = [source_of(project, split, classes, request) for split in splits]
    with thread_map(threads(request.workers)) as map_in_order:
        for source in sources:
            yield from write_manifest(source, map_in_order)
            for name in dict.fromkeys(request.formats):
                yield write_format(name, FORMATS[name], source, request, project, map_in_order)


def check_request(project: Project, request: Request) -> Classes:
    """Refuse a request that the project cannot fulfil. No map is needed yet.

    Returns:
        The classes that are written.

    Raises:
        ParamsError: a format, split or class is not known, or a format cannot hold so many classes.
        ArtifactError: the clustering is missing or does not fit params.yaml.
    """
    formats = {name: chosen_format(name) for name in request.formats}
    if request.split not in ("all", *project.splits):
        known = ", ".join(["all", *project.splits])
        raise ParamsError(
            f"--split: no split {request.split!r}{nearest(request.split, project.splits)} (known: {known})"
        )
    clustering = clustering_of(project, READER)
    file = read_names_file(project.root, clustering)
    classes = classes_of(clustering, file.names, request.only, file.colors)
    for name, entry in formats.items():
        if len(classes.names) - 1 > entry.most_classes:
            raise ParamsError(
                f"{name}: found {len(classes.names) - 1} classes; at most {entry.most_classes} fit; "
                "give clusters equal names, or use --only"
            )
    return classes


def chosen_format(name: str) -> Format:
    """The format with this name.

    Raises:
        ParamsError: no format has this name, or the package that it needs is missing.
    """
    if name not in FORMATS:
        raise ParamsError(f"--format: no format {name!r}{nearest(name, FORMATS)} (known: {', '.join(FORMATS)})")
    entry = FORMATS[name]
    if entry.package and importlib.util.find_spec(entry.package) is None:
        raise ParamsError(f"--format {name}: {entry.package} is not installed; run: pip install 'usseg[{entry.extra}]'")
    return entry


def threads(workers: int) -> int:
    """The number of threads; 0 stands for one for each core."""
    from dask.system import CPU_COUNT

    return workers or int(CPU_COUNT)


def source_of(project: Project, split: str, classes: Classes, request: Request) -> Source:
    """Open the result of a split.

    Raises:
        ParamsError: the folder of the masks is inside the folder of the images.
        ArtifactError: the result is missing, or its sidecar says that it is not of the present params, code and inputs.
            An artifact without a sidecar, such as one that `dvc pull` brought, cannot be compared.
    """
    assign, artifact = (open_checked(project, READER, Input(stage), split) for stage in ("assign", RESULT))
    for stage in ("assign", RESULT):
        refuse_other_run(project, stage, split)
    index = open_checked(project, READER, Input("index"), split)
    inputs = Inputs(split, {"index": index}, project.index_params, project.root, compare=True)
    root, out = inputs.root.resolve(), request.out.resolve()
    if out.is_relative_to(root) and not project.root.is_relative_to(root):
        raise ParamsError(f"--out: {out} is inside index.root, where masks could be taken for images; choose another")
    for name in index["id"]:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise ArtifactError(
                f"index@{split}: the id {name!r} is no path below a folder; {remedy_for('index', split)}"
            )
    sizes = [(height, width) for height, width in index["size"][:].tolist()]
    facts = Split(split, root, out, list(index["id"]), list(index["path"]), sizes, classes.names, classes.colors)
    features = open_checked(project, READER, Input("features"), split)
    grids = {
        "assign": {"margin": assign["margin"], "grid": assign["grid"][:]},
        "features": {name: features[name][:] for name in ("extent", "offset")},
    }
    return Source(facts, artifact["maps"], inputs, classes, request.min_area, grids, upsampling(project))


def upsampling(project: Project) -> str:
    """`refine.upsampling` of a project."""
    refine: Any = project.params[RESULT]
    return str(refine.upsampling)


def write_format(
    name: str,
    entry: Format,
    source: Source,
    request: Request,
    project: Project,
    map_in_order: Callable[..., Iterator[Any]],
) -> str:
    """Write the files of one format and split. Returns a line with their number."""
    place = source.split.folder / name
    split = replace(source.split, folder=place / source.split.name)
    kept_key, key = place / f"{split.name}.export.json", digest(name, split, project, request)
    prepare(split.folder, kept_key, key)
    for path, text in entry.lists(split).items():
        write_file(split.folder / path, text.encode())

    remarks: Counter[str] = Counter()

    def encoded(i: int) -> tuple[Any, str]:
        masks = source.masks(i)[0]
        return entry.encode(masks, split), entry.remark(masks, split)

    def counted(parts: Iterator[tuple[Any, str]]) -> Iterator[Any]:
        for content, remark in parts:
            remarks[remark] += bool(remark)
            yield content

    def noted() -> str:
        return "".join(f"; {count} of {len(split.ids)} with {remark}" for remark, count in remarks.items() if count)

    if entry.collect is None:
        files = [split.folder / entry.file.replace("{id}", image) for image in split.ids]
        todo = [i for i, file in enumerate(files) if not file.exists()]

        def write(i: int) -> tuple[None, str]:
            content, remark = encoded(i)
            write_file(files[i], content)
            return None, remark

        for _ in counted(map_in_order(write, todo)):
            pass
        kept = f" ({len(files) - len(todo)} of them kept)" if len(todo) < len(files) else ""
        return f"{name}@{split.name}: {len(files)} files{kept} -> {split.folder}{noted()}"
    file = split.folder / entry.file
    if file.exists():
        return f"{name}@{split.name}: {len(split.ids)} images (kept) -> {file}"
    unfinished = file.with_name(f".{file.name}.new")
    entry.collect(unfinished, counted(map_in_order(encoded, range(len(split.ids)))), split)
    sync(unfinished)
    os.replace(unfinished, file)
    sync(file.parent, deep=False)
    return f"{name}@{split.name}: {len(split.ids)} images -> {file}{noted()}"


def prepare(folder: Path, kept_key: Path, key: str) -> None:
    """Make the folder of a format and split. Files of an earlier export with another key are removed.

    Raises:
        ParamsError: the folder has files that no export has written.
    """
    try:
        known = json.loads(kept_key.read_text(encoding="utf-8"))["export"]
    except FileNotFoundError:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ParamsError(
                f"{folder}: no export has written it ({kept_key.name} is missing); remove it, or choose another --out"
            ) from None
        known = None
    except (OSError, ValueError, TypeError, LookupError):
        known = None  # it is in the place of a key, so an export has written the folder
    if known != key:
        remove(folder)
        write_file(kept_key, json.dumps({"export": key}).encode())
    folder.mkdir(parents=True, exist_ok=True)
    for stray in folder.rglob(".*.new"):  # of an export that was killed
        stray.unlink()


def digest(name: str, split: Split, project: Project, request: Request) -> str:
    """SHA-256 over everything that decides the files of a format and split."""
    contents = {
        stage: open_checked(project, READER, Input(stage), split.name).attrs["content"] for stage in ("index", RESULT)
    }
    clustering = clustering_of(project, READER)
    names = read_names_file(project.root, clustering)
    parts = {
        **{"version": VERSION, "format": name, "contents": contents, "clustering": clustering.content},
        **{"names": names.names, "colors": names.colors, "only": sorted(request.only), "min_area": request.min_area},
        **{"root": str(split.root), "folder": str(split.folder)},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
