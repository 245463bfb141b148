"""docs/results/parity.md names functions that exist, with the signatures they have; `make parity` writes it anew."""

import importlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "results" / "parity.md"


def test_signatures_are_those_of_the_page(signature_of, pytestconfig) -> None:
    if pytestconfig.getoption("parity_report", None):
        pytest.skip("the page is being written")
    named = re.findall(r"^(usseg\.stages[\w.]+)\.(\w+)\(.*\) -> .*$", PAGE.read_text(), flags=re.MULTILINE)
    assert named
    for module, name in named:
        assert signature_of(getattr(importlib.import_module(module), name)) in PAGE.read_text()
