"""Golden vectors of the original implementations, and the page that says how close this one comes.

`pytest tests/parity --golden DIR` runs on another set of vectors with the same keys; `make parity` writes
docs/results/parity.md.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = Path(__file__).with_name("page.md")


@dataclass
class Computation:
    """One row of the page; several images add to the same measures."""

    topic: str
    name: str
    original: str
    call: str
    differs: str
    functions: tuple[Callable, ...]
    measures: dict[str, tuple[float, float]] = field(default_factory=dict)

    def check(self, measure: str, error: float, within: float) -> None:
        """Record the largest error and fail where it is above the tolerance."""
        worst = max(float(error), self.measures.get(measure, (0.0, 0.0))[0])
        self.measures[measure] = (worst, within)
        assert error <= within, f"{self.name}, {measure}: error {error:.2g}, {within:g} asked"

    def row(self) -> str:
        found = "<br>".join(f"{m}: {shown(e, t)}" for m, (e, t) in sorted(self.measures.items()))
        return f"| {self.name} | {self.original} | `{self.call}` | {found} | {self.differs} |"


def shown(error: float, tolerance: float) -> str:
    """`error (tolerance)` to a digit; what is far below the tolerance differs between machines and is not told."""
    if tolerance == 0:
        return "exact"
    return f"{'< ' * (error < tolerance / 1000)}{max(error, tolerance / 1000):.0e} ({tolerance:.0e})"


def signature(function: Callable) -> str:
    """`module.name(parameters) -> result` as the source has it."""
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(node, ast.FunctionDef)
    return f"{function.__module__}.{node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", type=Path, help="folder of golden vectors; ../shared/golden by default")
    parser.addoption("--parity-report", type=Path, help="write the page here")


def pytest_configure(config: pytest.Config) -> None:
    config.computations = {}
    config.missing_golden = set()


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Iterator[Callable[[str], np.lib.npyio.NpzFile]]:
    folder = request.config.getoption("golden", None) or ROOT.parent / "shared" / "golden"
    with ExitStack() as files:

        @cache
        def load(name: str) -> np.lib.npyio.NpzFile:
            if not (folder / f"{name}.npz").exists():
                request.config.missing_golden.add(name)
                pytest.skip(f"no golden vectors: {name}.npz is neither in ../shared/golden nor in --golden")
            return files.enter_context(np.load(folder / f"{name}.npz"))

        yield load


@pytest.fixture
def parity(request: pytest.FixtureRequest) -> Callable[..., Callable[[str, float, float], None]]:
    """Open a row of the page; what it returns takes a measure, the error and the tolerance asked."""
    topic = inspect.getdoc(request.module).splitlines()[0].rstrip(".")

    def computation(name: str, *functions: Callable, original: str, call: str, differs: str = "") -> Callable:
        new = Computation(topic, name, original, call, differs, functions)
        return request.config.computations.setdefault((topic, name), new).check

    return computation


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    config = session.config
    path, rows = config.getoption("parity_report", None), list(config.computations.values())
    if path is None:
        return
    if exitstatus or config.missing_golden:
        raise pytest.UsageError(f"{path} is left as it is: a test failed, or golden vectors are missing")
    tables = []
    for topic in dict.fromkeys(row.topic for row in rows):
        head = "| computation | original | here | error found (asked) | difference |\n|---|---|---|---|---|"
        tables.append("\n".join([f"## {topic}\n", head, *(row.row() for row in rows if row.topic == topic)]))
    functions = sorted({signature(function) for row in rows for function in row.functions})
    page = TEMPLATE.read_text().replace("{tables}", "\n\n".join(tables)).replace("{functions}", "\n".join(functions))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page)


@pytest.fixture(scope="session")
def signature_of() -> Callable[[Callable], str]:
    return signature
