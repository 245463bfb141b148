"""What decides the result of a stage besides its inputs: params, code, the files that params name, the format.

The cache key is made of it. `usseg plan` writes it for DVC, one file for each stage and split, on which dvc.yaml depends in place of
the sources: a project needs no copy of them, and an edit re-runs exactly the stages whose plan it changes.
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
from usseg.pipeline.format import FORMAT
from usseg.pipeline.images import file_checksum
from usseg.pipeline.methods import file_of, names_of
from usseg.pipeline.project import INDEX, Project
from usseg.pipeline.stage import Stage

SOURCES = (".py", ".j2")  # suffixes of what a stage's folder may hold
FOLDER = "artifacts/plan"
LINKS = {"stages": "stages", "format.py": "pipeline/format.py"}  # below .usseg: what decides results, for DVC to watch


@functools.cache
def code_digest(module: str) -> str:
    """SHA-256 over the sources of the folder that a module stands in."""
    folder = Path(str(__import__(module, fromlist=["__file__"]).__file__)).parent
    digest = hashlib.sha256()
    for path in sources(folder):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def sources(folder: Path) -> list[Path]:
    """The files of a stage's folder that can change a result, sorted; no caches, and no backups of an editor."""
    found = (path for path in folder.rglob("*") if path.suffix in SOURCES and path.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def code_of(project: Project, name: str) -> dict[str, str]:
    """Digests of the code that a stage runs: its folder, the folders of the stages whose offers it may call, installed methods."""
    called = [item.stage for item in project.reads(name) if item.calls]
    found = {}
    for stage in (project.stages[one] for one in (name, *called)):
        found[stage.name] = code_digest(stage.run.__module__)
        found |= code_of_installed_methods(project, stage)
    return found


def code_of_installed_methods(project: Project, stage: Stage) -> dict[str, str]:
    """The digest of a chosen method's file where another package installed it; usseg's own are in the folder of their stage."""
    if stage.methods is None:
        return {}
    table, names = stage.methods(), names_of(getattr(project.params[stage.name], stage.choice))
    return {
        f"{stage.name} method {name}": file_checksum(Path(file_of(table[name])))
        for name in names
        if name not in table.own
    }


def plan_of(project: Project, name: str, split: str) -> dict[str, Any]:
    """What decides the result of a stage for a split besides its inputs; JSON values.

    That is: the params, the content of the files that they name, the names of the splits where it reads all of them, the schema and
    code of the stage, the code of the offers that it may call, what labels mean where it reads or checks labels, and `FORMAT` for
    the plumbing.
    """
    stage = project.stages[name]
    read = project.reads(name)
    asked = [stage, *(project.stages[item.stage] for item in read if item.calls)]
    named = [path for one in asked for path in one.files(project.params[one.name])]
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
    """Write the plan of every stage and split below `artifacts/plan`; of a stage that nothing reads only that it is not needed."""
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
    """The plans on disk."""
    yield from sorted((root / FOLDER).glob("*/*.json"))


def link_code(root: Path) -> None:
    """Link the code that decides results into `.usseg` of a project, where dvc.yaml watches it. Right links stay as they are."""
    folder = root / ".usseg"
    for name, path in LINKS.items():
        link, target = folder / name, (Path(str(usseg.__file__)).parent / path).resolve()
        if link.exists() and link.resolve() == target:
            continue
        with suppress(FileExistsError):
            folder.mkdir()
            (folder / ".gitignore").write_text("*\n")  # the links lead out of the project
        if link.is_dir() and not link.is_symlink():
            shutil.rmtree(link)  # a copy of the project has a copy of the code, where links were followed
        temporary = folder / f".{name}.{os.getpid()}"  # two commands may start at once
        os.symlink(target, temporary)
        os.replace(temporary, link)
