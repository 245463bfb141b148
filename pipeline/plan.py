"""Plan of a run: everything besides its inputs that decides its result. That is params, code, named files and FORMAT.

The plan is a part of the cache key. `usseg plan` writes one file for each stage and split, and dvc.yaml depends on
these files instead of the sources. A project then needs no copy of the sources, and an edit re-runs exactly the stages
whose plan it changes.
"""

import functools
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import usseg
from usseg.pipeline.disk import write_file
from usseg.pipeline.files import file_checksum
from usseg.pipeline.format import FORMAT
from usseg.pipeline.methods import file_of, names_of
from usseg.pipeline.project import INDEX, Project
from usseg.pipeline.stage import Stage

SOURCES = (".py", ".j2", ".js", ".css", ".license")  # suffixes of the source files of a stage
FOLDER = "artifacts/plan"
LINKS = {"stages": "stages", "format.py": "pipeline/format.py"}  # links below .usseg that DVC watches -> their targets


@functools.cache
def code_digest(module: str) -> str:
    """SHA-256 over the sources in the folder of a module."""
    folder = Path(str(__import__(module, fromlist=["__file__"]).__file__)).parent
    digest = hashlib.sha256()
    for path in sources(folder):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def sources(folder: Path) -> list[Path]:
    """Source files in the folder of a stage, sorted. Hidden files, such as the backups of an editor, are left out."""
    paths = (path for path in folder.rglob("*") if path.suffix in SOURCES and path.is_file())
    return sorted(p for p in paths if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def code_of(project: Project, name: str) -> dict[str, str]:
    """Digests of the code that a stage runs, by name.

    That is the folder of the stage, the folders of the stages whose offers it may call, the packages that these stages
    share, and chosen methods of other packages.
    """
    called = [item.stage for item in project.reads(name) if item.calls]
    digests = {}
    for stage in (project.stages[used] for used in (name, *called)):
        digests[stage.name] = code_digest(stage.run.__module__)
        digests |= {package: code_digest(f"{usseg.__name__}.stages.{package}") for package in stage.shares}
        digests |= code_of_installed_methods(project, stage)
    return digests


def code_of_installed_methods(project: Project, stage: Stage) -> dict[str, str]:
    """Digests of the files of chosen methods of other packages.

    Methods of usseg belong to the folder of their stage.
    """
    if stage.methods is None:
        return {}
    table, names = stage.methods(), names_of(getattr(project.params[stage.name], stage.choice))
    return {
        f"{stage.name} method {name}": file_checksum(Path(file_of(table[name])))
        for name in names
        if name not in table.own
    }


def plan_of(project: Project, name: str, split: str) -> dict[str, Any]:
    """The plan of a stage for a split, as JSON values.

    It holds FORMAT, the schema version, the recorded params, the digests of the files that params name, and the digests
    of the code of the stage and of the offers that it may call. It also holds the names of the splits if the stage
    reads all of them, and the meaning of labels if the stage reads or checks labels.
    """
    stage = project.stages[name]
    read = project.reads(name)
    users = [stage, *(project.stages[item.stage] for item in read if item.calls)]
    named = [path for user in users for path in user.files(project.params[user.name])]
    labels = project.index_params if name == INDEX or any(item.labels for item in read) else {}
    plan = {
        "format": FORMAT,
        "stage": name,
        "version": stage.version,
        "split": split,
        "splits": project.splits if any(item.split == "all" for item in read) else [],
        "params": stage.record(project.params[name], split),
        "labels": {key: labels.get(key) for key in ("classes", "label_values", "ignore")} if labels else {},
        "files": [file_checksum(path) for file in named if (path := project.root / file).is_file()],
        "code": code_of(project, name),
    }
    return dict(json.loads(json.dumps(plan)))


def write_plans(project: Project) -> None:
    """Write the plan of every stage and split below `artifacts/plan`.

    A stage that is not needed has a plan that says so.
    """
    wanted = {}
    for name in project.stages:
        for split in project.splits_of(name):
            plan = plan_of(project, name, split) if name in project.needed else {"stage": name, "needed": False}
            wanted[project.root / FOLDER / name / f"{split}.json"] = json.dumps(plan, indent=1, sort_keys=True) + "\n"
    for path in written_plans(project.root):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_file(path, text.encode())


def written_plans(root: Path) -> Iterator[Path]:
    """Paths of the plans on disk, sorted."""
    yield from sorted((root / FOLDER).glob("*/*.json"))


def link_code(root: Path) -> None:
    """Create links in `.usseg` of a project to the code that decides results. dvc.yaml depends on them."""
    folder = root / ".usseg"
    for name, path in LINKS.items():
        link, target = folder / name, (Path(str(usseg.__file__)).parent / path).resolve()
        if link.exists() and link.resolve() == target:
            continue
        with suppress(FileExistsError):
            folder.mkdir()
            (folder / ".gitignore").write_text("*\n")  # Git must not track the links
        if link.is_dir() and not link.is_symlink():
            shutil.rmtree(link)  # a copy of the project that followed links has a copy of the code
        temporary = folder / f".{name}.{os.getpid()}"  # the process id: two commands may start at the same time
        os.symlink(target, temporary)
        os.replace(temporary, link)
