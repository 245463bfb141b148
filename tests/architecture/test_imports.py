"""The rules of CONTRIBUTING.md, read from the sources."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from usseg.pipeline.params import read_params
from usseg.pipeline.project import Project
from usseg.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "torchvision", "timm", "faiss", "sklearn", "cv2", "matplotlib", "distributed", "dask"}
SOURCES = sorted(p for folder in ("pipeline", "stages", "results") for p in (ROOT / folder).rglob("*.py"))
# What the code of each floor may import of usseg. A stage's own folder is the only one of `stages` that it may import.
FLOORS = {
    "pipeline": {"pipeline"},
    "stages": {"pipeline", "stages"},
    "results": {"pipeline", "stages", "results"},
    "cli.py": {"pipeline", "stages", "results"},
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(nodes: list[ast.stmt] | Iterator[ast.AST]) -> Iterator[str]:
    """Names such as `numpy` and, of usseg, `stages.eigen.stage.STAGE`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("usseg.") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            # `from usseg.stages import eigen` names a package as well.
            yield from (f"{node.module}.{alias.name}".removeprefix("usseg.") for alias in node.names)


def everywhere(path: Path) -> set[str]:
    return set(imported(ast.walk(ast.parse(path.read_text()))))


def at_the_top(path: Path) -> set[str]:
    return set(imported(ast.parse(path.read_text()).body))


def packages(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def file_of(name: str) -> Path | None:
    """The source of usseg that holds an imported name; None where the name is of another package."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        stem = ROOT.joinpath(*parts[:end])
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path in SOURCES:
                return path
    return None


@pytest.mark.parametrize("path", [*SOURCES, ROOT / "cli.py"], ids=name_of)
def test_a_floor_imports_itself_and_those_below(path: Path) -> None:
    floor = path.relative_to(ROOT).parts[0]
    assert not packages(everywhere(path)) & {"pipeline", "stages", "results", "cli"} - FLOORS[floor]


def test_there_is_no_circle_of_imports() -> None:
    """Nor one that an import inside a function would hide."""
    files = {path: {file_of(name) for name in everywhere(path)} - {None, path} for path in SOURCES}
    assert sum(map(len, files.values())) > 2 * len(files)
    try:
        TopologicalSorter(files).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(name_of(path) for path in reversed(error.args[1])))


NO_NUMERICS = {  # what a module of pipeline may import in its functions
    "matlab.py": {"scipy"},  # reads MATLAB files
    "machine.py": {"torch"},  # asks for GPUs
    # The training loop and its parts move tensors, seed torch and store its state; they compute no loss and no network.
    **{name: {"torch"} for name in ("feed.py", "seeding.py", "training.py", "weights.py")},
}


@pytest.mark.parametrize("path", [p for p in SOURCES if p.is_relative_to(ROOT / "pipeline")], ids=name_of)
def test_pipeline_holds_no_numerics(path: Path) -> None:
    allowed = NO_NUMERICS.get(path.name, set())
    assert not packages(everywhere(path)) & {"timm", "faiss", "sklearn", "cv2", "scipy", "torch"} - allowed


@pytest.mark.parametrize("path", [p for p in SOURCES if not p.is_relative_to(ROOT / "stages")], ids=name_of)
def test_pipeline_and_results_import_nothing_heavy_at_the_top(path: Path) -> None:
    assert not packages(at_the_top(path)) & HEAVY


@pytest.mark.parametrize(
    "path",
    [p for p in SOURCES if p.parent.is_relative_to(ROOT / "stages") and p.parent != ROOT / "stages"],
    ids=name_of,
)
def test_a_stage_imports_itself_pipeline_and_the_packages_that_it_shares(path: Path) -> None:
    """A package that stages share imports itself only."""
    package = path.relative_to(ROOT / "stages").parts[0]
    names = {name for name in everywhere(path) if name.partition(".")[0] == "stages"}
    shares = STAGES[package].shares if package in STAGES else ()
    assert {name.split(".")[1] for name in names} <= {package, *shares}


def test_a_shared_package_is_no_stage_and_is_used() -> None:
    folders = {path.parent.name for path in (ROOT / "stages").glob("*/__init__.py")}
    assert folders - set(STAGES) == {package for stage in STAGES.values() for package in stage.shares}


@pytest.mark.parametrize("path", sorted((ROOT / "stages").glob("*/stage.py")), ids=name_of)
def test_a_stage_module_imports_nothing_heavy_at_the_top(path: Path) -> None:
    assert not packages(at_the_top(path)) & HEAVY
    own = {name for name in at_the_top(path) if name.startswith("stages.")}
    assert not own, "its modules are imported when the stage runs"


@pytest.mark.parametrize("path", [*SOURCES, ROOT / "cli.py", *sorted((ROOT / "tests").rglob("*.py"))], ids=name_of)
def test_no_file_is_long_or_named_after_nothing(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
    assert path.stem not in ("utils", "helpers", "common", "base")


def test_stages_are_in_the_order_of_the_pipeline() -> None:
    assert list(STAGES) == [
        "index", "features", "eigen", "segmenter", "segments", "crops",
        "cluster", "assign", "refine", "evaluate", "report",
    ]  # fmt: skip
    done: set[str] = set()
    for name, stage in STAGES.items():
        assert {item.stage for item in stage.inputs} <= done
        done.add(name)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_says_what_it_holds(name: str) -> None:
    stage = STAGES[name]
    assert stage.summary.endswith(".")
    for array, spec in stage.arrays.items():
        assert spec.doc, array
        assert spec.axes, array
        assert spec.dtype, array


def test_the_demo_says_what_it_chose_and_no_default() -> None:
    content = read_params(ROOT)
    assert len((ROOT / "params.yaml").read_text().splitlines()) <= 40
    project = Project.open(STAGES, ROOT)
    assert [name for name in STAGES if name in content] == list(content)
    assert project.fit_split == "train"
