"""The rules of CONTRIBUTING.md, read from the sources."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from usseg.pipeline.params import read_params
from usseg.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "torchvision", "timm", "faiss", "sklearn", "cv2", "matplotlib", "distributed", "dask"}
SOURCES = sorted(p for folder in ("pipeline", "stages") for p in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(nodes: list[ast.stmt] | Iterator[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
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


NO_NUMERICS = {"images.py": {"scipy"}, "machine.py": {"torch", "faiss"}}  # reads MATLAB files; asks for GPUs


@pytest.mark.parametrize("path", [p for p in SOURCES if "pipeline" in p.parts], ids=name_of)
def test_pipeline_holds_no_numerics_and_knows_no_stage(path: Path) -> None:
    allowed = NO_NUMERICS.get(path.name, set())
    assert (
        not packages(everywhere(path))
        & {"stages", "cli", "timm", "faiss", "sklearn", "cv2", "scipy", "torch"} - allowed
    )
    assert not packages(at_the_top(path)) & HEAVY


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if p.parent.parent.name == "stages" or "methods" in p.parts], ids=name_of
)
def test_a_stage_imports_itself_and_pipeline(path: Path) -> None:
    stage = path.relative_to(ROOT / "stages").parts[0]
    others = {name.split(".")[1] for name in everywhere(path) if name.startswith("stages.")} - {stage}
    assert not others
    assert "cli" not in packages(everywhere(path))


@pytest.mark.parametrize("path", sorted((ROOT / "stages").glob("*/stage.py")), ids=name_of)
def test_a_stage_module_imports_nothing_heavy_at_the_top(path: Path) -> None:
    assert not packages(at_the_top(path)) & HEAVY
    own = {name for name in at_the_top(path) if name.startswith("stages.")}
    assert not own, "its modules are imported when the stage runs"


@pytest.mark.parametrize("path", [*SOURCES, ROOT / "cli.py", *sorted((ROOT / "tests").rglob("*.py"))], ids=name_of)
def test_no_file_is_long_or_named_after_nothing(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 350
    assert path.stem not in ("utils", "helpers", "common", "base")


def test_stages_are_in_the_order_of_the_pipeline() -> None:
    assert list(STAGES) == [
        "index", "features", "eigen", "model", "segments", "crops", "cluster", "assign", "refine", "evaluate", "report",
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


@pytest.mark.parametrize("name", STAGES)
def test_params_yaml_has_the_keys_of_the_stage(name: str) -> None:
    content = read_params(ROOT)
    assert list(content) == list(STAGES)
    assert set(content[name]) == set(STAGES[name].params.model_fields)
