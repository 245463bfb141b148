import psutil
import pytest

from pipeline.errors import ParamsError


def test_a_graph_that_does_not_fit_is_one_line(finished_project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": 16 * 47**2}))
    finished_project.set({"eigen.k": 4})
    with pytest.raises(ParamsError, match=r"eigen: the largest image has 48 tokens, .* set features\.resize"):
        finished_project.run("eigen")
    assert finished_project.artifact("eigen").params["k"] == 5
