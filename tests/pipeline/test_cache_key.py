"""The cache key of a result holds everything that decides the result, and nothing else."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from usseg.pipeline import blocks, plan, runner
from usseg.pipeline.errors import ArtifactError
from usseg.stages import STAGES

PER_SPLIT = ("features", "eigen", "segments", "crops", "assign", "refine", "evaluate")
Notes = Callable[[], dict[str, bytes]]


@pytest.fixture
def notes(finished_project) -> Notes:
    """The provenance of every stage of val, and of the stages that have one split: it is written anew by every run."""

    def read() -> dict[str, bytes]:
        found = {name: finished_project.path / f"artifacts/{name}/val.run.json" for name in PER_SPLIT}
        found["cluster"] = finished_project.path / "artifacts/cluster/train.run.json"
        found["report"] = finished_project.path / "artifacts/report/all.run.json"
        return {name: path.read_bytes() for name, path in found.items()}

    return read


@pytest.fixture
def rerun(finished_project, notes: Notes) -> Callable[[], set[str]]:
    """Bring all stages of the split val up to date. Returns the names of the stages that ran."""

    def run() -> set[str]:
        before = notes()
        for name, stage in STAGES.items():
            if name != "index":
                finished_project.run(name, {"each": "val", "fit": "train", "all": "all"}[stage.scope])
        return {name for name, note in notes().items() if note != before[name]}

    return run


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources. Cache keys are computed from the copy."""
    root = Path(plan.__file__).parents[1]
    copy = tmp_path_factory.mktemp("sources")
    for folder in ("pipeline", "stages", "results"):
        shutil.copytree(root / folder, copy / folder)
    real = plan.code_digest.__wrapped__

    def digest(module: str) -> str:
        with monkeypatch.context() as patched:
            file = Path(str(__import__(module, fromlist=["__file__"]).__file__))
            patched.setattr(__import__(module, fromlist=["__file__"]), "__file__", str(copy / file.relative_to(root)))
            return real(module)

    monkeypatch.setattr(plan, "code_digest", digest)
    return copy


NOTHING = [
    *(f"pipeline/{name}.py" for name in ("blocks", "machine", "runner", "images")),
    *("results/tables.py", "results/comparison.html.j2", "results/datasets/published.py", "results/recipes/dsm.toml"),
    *("stages/features/descriptors.py~", "stages/features/.#descriptors.py", "stages/features/#descriptors.py#"),
    *("stages/features/notes.txt", "stages/features/.ipynb_checkpoints/descriptors.py"),
    *("stages/features/__pycache__/descriptors.cpython-311.pyc", "stages/crops/.DS_Store"),
]


@pytest.mark.parametrize(
    ("files", "ran"),
    [
        (["stages/features/descriptors.py"], {"features", "crops"}),
        (["stages/segmenter/concepts.py", "stages/refine/lattice.py"], {"refine"}),
        (["stages/cluster/methods/kmeans.py"], {"cluster", "assign"}),
        (["stages/evaluate/confusion_scores.py"], {"evaluate", "report"}),
        (["stages/report/template.html.j2"], {"report"}),
        (NOTHING, set()),
    ],
)
def test_an_edit_runs_the_stages_that_may_call_the_code(files: list[str], ran: set[str], tree: Path, rerun) -> None:
    for file in files:
        (tree / file).parent.mkdir(exist_ok=True)
        with (tree / file).open("a") as stream:
            stream.write("\n# a comment\n")
    assert rerun() == ran


def test_a_trained_segmenter_is_part_of_the_stage_that_calls_it(tree: Path, finished_project) -> None:
    finished_project.set({"segments.method": "acg"})
    ran = [("segmenter", "train"), ("segments", "val")]
    notes = [finished_project.path / f"artifacts/{name}/{split}.run.json" for name, split in ran]
    for name, split in ran:
        finished_project.run(name, split)
    before = [note.read_bytes() for note in notes]
    with (tree / "stages/segmenter/concepts.py").open("a") as stream:
        stream.write("\n# a comment\n")
    for name, split in ran:
        finished_project.run(name, split)
    assert all(note.read_bytes() != old for note, old in zip(notes, before, strict=True))


def test_a_raised_format_runs_everything(monkeypatch: pytest.MonkeyPatch, rerun, notes: Notes) -> None:
    monkeypatch.setattr(plan, "FORMAT", plan.FORMAT + 1)
    assert rerun() == set(notes())


def test_params_of_an_input_count_where_its_arrays_stay(finished_project, rerun) -> None:
    """The report shows the class names."""
    finished_project.set({"eigen.options.legacy_double_scale": True})  # of colours, which have no weight here
    finished_project.run("eigen", "train")
    assert {"eigen", "report"} <= rerun()


def test_a_function_that_is_not_declared_cannot_be_called(finished_project) -> None:
    features = finished_project.artifact("features")
    with pytest.raises(AssertionError, match="crop_channels of features: not in the calls of the input"):
        features.call("crop_channels", project=finished_project.path)


def test_an_edit_keeps_the_partial_folder_of_a_run_that_it_does_not_concern(
    tree: Path, finished_project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(finished_project.path / "artifacts/features")
    with monkeypatch.context() as patched:
        patched.setattr(runner, "publish", lambda folder, target: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            finished_project.run("features", "val")
    kept = set(finished_project.path.glob("artifacts/features/.val.*.partial/done/*"))
    assert kept
    for edited in ("pipeline/runner.py", "results/tables.py", "stages/report/stage.py", "stages/features/notes.txt"):
        with (tree / edited).open("a") as stream:
            stream.write("\n# a comment\n")
    computed = []
    monkeypatch.setattr(blocks, "compute_block", lambda task: computed.append(task) or len(task.images))
    finished_project.run("features", "val")
    assert computed == []


def test_an_artifact_of_another_split_is_refused(finished_project) -> None:
    folder = finished_project.path / "artifacts/refine"
    for old, new in (("train", "other"), ("val", "train"), ("other", "val")):
        (folder / f"{old}.zarr").rename(folder / f"{new}.zarr")
    with pytest.raises(
        ArtifactError,
        match=r"refine/val\.zarr: found split 'train'; 'val' is needed; run: usseg stage refine --split val",
    ):
        finished_project.run("evaluate", "val")
    for split in ("train", "val"):
        finished_project.run("refine", split)
        finished_project.run("evaluate", split)


def test_labels_and_class_names_concern_the_scoring_only(finished_project) -> None:
    def notes() -> dict[str, bytes]:
        found = (finished_project.path / "artifacts").rglob("*.run.json")
        return {path.parent.name: path.read_bytes() for path in found if path.name == "val.run.json"}

    before = notes()
    finished_project.set({"index.classes": ["port", "starboard"]})
    shutil.copy(
        finished_project.path / "data/labels/val/photo0.png", finished_project.path / "data/labels/val/photo1.png"
    )
    with Image.open(finished_project.path / "data/labels/val/photo1.png") as image:
        image.rotate(180).save(finished_project.path / "data/labels/val/photo1.png")
    for stage in ("index", "features", "eigen", "segments", "crops", "assign", "refine", "evaluate"):
        finished_project.run(stage, "val")
    changed = {stage for stage, note in notes().items() if note != before[stage]}
    assert changed == {"index", "evaluate"}
