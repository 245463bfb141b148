"""Output of commands that succeed."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from usseg.stages import STAGES

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    "torch",
    "torchvision",
    "timm",
    "faiss",
    "sklearn",
    "scipy",
    "cv2",
    "matplotlib",
    "dask",
    "distributed",
    "zarr",
}
SPY = """
import sys
from collections.abc import Callable
from typer.testing import CliRunner
from usseg import cli
result = CliRunner().invoke(cli.app, sys.argv[1:])
print(result.exit_code, *sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("args", ["--help", "init --help", "stage --help", "stage eigen --help", "recipe list"])
def test_help_imports_nothing_heavy(args: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SPY, *args.split()], capture_output=True, text=True, timeout=60, check=True
    )
    code, *modules = done.stdout.split()
    assert code == "0"
    assert "typer" in modules
    assert not set(modules) & HEAVY


def test_stages_are_listed_in_order(usseg, tmp_path: Path) -> None:
    text = usseg(tmp_path, "stage", "--help").stdout
    places = [re.search(rf"^\W*{name}\s", text, re.MULTILINE) for name in STAGES]
    assert all(places)
    assert [p.start() for p in places if p] == sorted(p.start() for p in places if p)
    for stage in STAGES.values():
        assert stage.summary.split(":")[0][:40] in text


def test_a_stage_runs_and_is_then_up_to_date(tiny_project, usseg) -> None:
    tiny_project.run("index")
    first = usseg(
        tiny_project.path.parent, "stage", "features", "--split", "train", "--project", str(tiny_project.path)
    )
    assert first.returncode == 0, first.stderr
    assert re.search(r"features@train: 4 images in .* -> artifacts/features/train\.zarr", first.stderr)
    second = usseg(tiny_project.path, "stage", "features", "--split", "train")
    assert second.stderr.splitlines() == ["features@train is up to date"]


def test_the_split_of_cluster_and_report_need_not_be_named(finished_project, usseg) -> None:
    assert "cluster@train is up to date" in usseg(finished_project.path, "stage", "cluster").stderr
    assert "report@all is up to date" in usseg(finished_project.path, "stage", "report").stderr


def test_options_come_from_the_environment_too(finished, usseg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USSEG_DEVICE", "tpu")
    done = usseg(finished, "stage", "cluster")
    assert done.returncode == 1
    assert done.stderr.startswith("usseg: --device: found 'tpu'")


def test_describe(finished, usseg) -> None:
    done = usseg(finished, "describe", "artifacts/eigen/train.zarr")
    assert done.returncode == 0
    assert re.search(r"eigen@train\s+4 images, schema version \d+, content [0-9a-f]{12}", done.stdout)
    for name, spec in STAGES["eigen"].arrays.items():
        row = next(line for line in done.stdout.splitlines() if re.search(rf"\W{name}\W", line))
        assert ", ".join(spec.axes) in row
        assert spec.dtype in row
    assert "4 x 5 x 48" in done.stdout
    assert '"k": 5' in done.stdout


def test_doctor(finished, usseg, tmp_path: Path) -> None:
    done = usseg(finished, "doctor")
    assert done.returncode == 0, done.stderr
    found = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert found["python"] == sys.version.split()[0]
    assert re.match(r"\d+\.\d+", found["torch"])
    assert {"cuda", "cores", "memory", "disk", "zarr", "timm", "dvc"} <= set(found)
    assert found["params.yaml"] == "every section is fine"
    assert done.stderr == ""


def test_scores(finished, usseg, read_scores, tmp_path: Path) -> None:
    done = usseg(finished, "scores")
    assert done.returncode == 0
    rows = [re.findall(r"[\w.-]+", line) for line in done.stdout.splitlines()]
    metrics = read_scores(finished, "val")
    assert ["train", "val"] in rows
    assert [f"{metrics['miou']:.3f}"] == [row[-1] for row in rows if row[:1] == ["miou"]]
    assert {"left", "right"} <= {row[1] for row in rows if row[:1] == ["IoU"]}
    (tmp_path / "params.yaml").write_text((finished / "params.yaml").read_text())
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/gone.json").write_text((finished / "metrics/val.json").read_text())  # no split of params.yaml
    nothing = usseg(tmp_path, "scores")
    assert nothing.returncode == 1
    assert re.fullmatch(r"usseg: .*metrics: no scores; run dvc repro on a split with labels\n", nothing.stderr)


def test_a_file_name_gives_no_orders_to_the_terminal(tiny_project, usseg) -> None:
    (tiny_project.path / "data/images/train/a\x1b[2J\nb.png").write_text("no image")
    tiny_project.set({"index.on_error": "skip"})
    done = usseg(tiny_project.path, "stage", "index", "--split", "train")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr
    assert all(line.startswith("index@train: ") for line in done.stderr.splitlines())
    assert "skipped: " in done.stderr
    assert "a\\x1b[2J\\nb.png" in done.stderr


SCORES, DETAILS = "metrics/val.json", "metrics/details/val.json"
EVALUATE = "run: usseg stage evaluate --split val"


@pytest.fixture
def with_scores(tmp_path: Path) -> Callable[..., Path]:
    """A project with scores of val in two files: with_scores("{}", "{}")."""

    def write(scores: str, details: str | None) -> Path:
        (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
        (tmp_path / "metrics/details").mkdir(parents=True)
        (tmp_path / SCORES).write_bytes(scores.encode("latin-1"))
        if details is not None:
            (tmp_path / DETAILS).write_bytes(details.encode("latin-1"))
        return tmp_path

    return write


@pytest.mark.parametrize("content", ["", "{", "[]", "5", '{"miou": "x"}', '{"num_images": 5}', "\xff"])
def test_damaged_scores_are_one_line(usseg, with_scores, content: str) -> None:
    project = with_scores(content, '{"labelled": true}')
    done = usseg(project, "scores")
    assert done.returncode == 1
    assert done.stderr == f"usseg: {project}/{SCORES} is damaged; {EVALUATE}\n"


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"labelled": true, "per_class": 5}', '{"labelled": true, "per_class": {"a": "x"}}', "\xff"],
)
def test_damaged_details_are_one_line(usseg, with_scores, content: str) -> None:
    project = with_scores('{"miou": 0.5}', content)
    done = usseg(project, "scores")
    assert done.returncode == 1
    assert done.stderr == f"usseg: {project}/{DETAILS} is damaged; {EVALUATE}\n"


def test_scores_of_an_earlier_version_are_one_line(usseg, with_scores) -> None:
    project = with_scores('{"labelled": true, "num_images": 2, "miou": 0.5, "per_class": {"sky": 0.5}}', None)
    done = usseg(project, "scores")
    assert done.returncode == 1
    said = f"{project}/{SCORES} is of an earlier version of usseg, which wrote one file of scores"
    assert done.stderr == f"usseg: {said}; {EVALUATE}\n"


def test_scores_without_their_details_are_one_line(usseg, with_scores) -> None:
    project = with_scores('{"miou": 0.5}', None)
    done = usseg(project, "scores")
    assert done.returncode == 1
    assert done.stderr == f"usseg: {project}/{DETAILS} is missing; {EVALUATE}\n"


def test_names_in_brackets_are_no_markup(usseg, with_scores) -> None:
    details = {"labelled": True, "per_class": {"[/b]": 0.25, "[red]": None}}
    tmp_path = with_scores('{"miou": 0.5}', json.dumps(details))
    done = usseg(tmp_path, "scores")
    assert done.returncode == 0, done.stderr
    assert "IoU [/b]" in done.stdout
    assert "IoU [red]" in done.stdout


@pytest.mark.parametrize("command", ["describe", "stage"])
@pytest.mark.parametrize("spoilt", [{"axes": 5}, {"axes": [5]}, {"axes": []}, {"dtype": 7}, {"doc": None}, 3])
def test_damaged_attributes_are_one_line(finished, usseg, tmp_path: Path, command: str, spoilt) -> None:
    project = tmp_path / "project"
    shutil.copytree(finished, project)
    group = project / "artifacts/features/val.zarr/zarr.json"
    content = json.loads(group.read_text())
    arrays = content["attributes"]["usseg"]["arrays"]
    arrays["cls"] = {**arrays["cls"], **spoilt} if isinstance(spoilt, dict) else spoilt
    group.write_text(json.dumps(content))
    given = ["stage", "eigen", "--split", "val"] if command == "stage" else ["describe", str(group.parent)]
    done = usseg(project, *given)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "features/val.zarr: its zarr.json is damaged; " in done.stderr


@pytest.mark.parametrize("content", [None, "{}", "{", "[1]", '{"shape": 3}'])
def test_a_damaged_array_is_one_line(finished, usseg, tmp_path: Path, content: str | None) -> None:
    artifact = tmp_path / "val.zarr"
    shutil.copytree(finished / "artifacts/features/val.zarr", artifact)
    array = artifact / "cls/zarr.json"
    array.unlink() if content is None else array.write_text(content)
    done = usseg(tmp_path, "describe", str(artifact))
    assert done.returncode == 1
    state = "missing" if content is None else "damaged"
    assert done.stderr == f"usseg: {artifact}/cls: array {state}; remove the artifact and run its stage again\n"


def test_brackets_in_an_artifact_are_no_markup(finished, usseg, tmp_path: Path) -> None:
    artifact = tmp_path / "val.zarr"
    shutil.copytree(finished / "artifacts/features/val.zarr", artifact)
    text = (artifact / "zarr.json").read_text()
    content = json.loads(text)
    content["attributes"]["usseg"]["stage"] = "[/b]"
    content["attributes"]["usseg"]["arrays"]["cls"]["doc"] = "[/x] one"
    (artifact / "zarr.json").write_text(json.dumps(content))
    done = usseg(tmp_path, "describe", str(artifact))
    assert done.returncode == 0, done.stderr
    assert "[/b]@val" in done.stdout
    assert "[/x] one" in done.stdout


def test_a_warning_of_python_is_one_line(tmp_path: Path) -> None:
    code = "import warnings; from usseg.cli import one_line_errors\nwith one_line_errors(False): warnings.warn('one\\n  line')"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stderr == "one line\n"


def test_version_is_the_installed_one(usseg, tmp_path: Path) -> None:
    done = usseg(tmp_path, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"usseg {version('usseg')}\n", "")
