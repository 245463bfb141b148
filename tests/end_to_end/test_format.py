"""`FORMAT` stands for the plumbing in every cache key:

what the plumbing decodes and writes is held against a digest of it.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usseg.pipeline.artifact import START, ArraySpec, Artifact, artifact_path, open_artifact
from usseg.pipeline.format import FORMAT
from usseg.pipeline.params import Params
from usseg.pipeline.project import Project
from usseg.pipeline.runner import run_stage
from usseg.pipeline.stage import Input, Stage
from usseg.stages import STAGES

COUNT, SIZE = 40, (6, 5)
# Where the digest is another one, an edit of `pipeline` has changed bytes: raise FORMAT and write the new pair.
WRITTEN = {3: "1f0738983a2c092f"}


class NoParams(Params):
    pass


def run_pixels(params, inputs, images, execution):
    pixels = np.stack([inputs.image(i) for i in images])
    return {
        "pixels": pixels.astype(np.float32),
        "labels": np.stack([inputs.truth(i).labels for i in images]).astype(np.int16),
        "levels": pixels[..., 0].reshape(-1),
        "size": inputs["index"]["size"][images.start : images.stop],
    }


def run_names(params, inputs, images, execution):
    return {"name": [f"{name} é" for name in inputs["index"]["id"]], "size": inputs["index"]["size"][:]}


PIXELS = Stage(
    "pixels", "", 1, NoParams, (Input("index", labels=True),),
    {
        "pixels": ArraySpec(("image", "row", "column", "band"), "float32", ""),
        "labels": ArraySpec(("image", "row", "column"), "int16", "", fill=-1),
        "levels": ArraySpec(("pixel",), "uint8", ""), "start": START,
        "size": ArraySpec(("image", "side"), "int32", ""),
    },
    run_pixels,
    sizes=lambda params, inputs: {
        "row": SIZE[1], "column": SIZE[0], "band": 3, "side": 2, "pixel": inputs["index"]["size"][:].prod(axis=1)
    },
)  # fmt: skip
NAMES = Stage(
    "names", "", 1, NoParams, (Input("index"), Input("pixels")),
    {"name": ArraySpec(("image",), "str", ""), "size": ArraySpec(("image", "side"), "int32", "")}, run_names,
)  # fmt: skip
TABLE = {"index": STAGES["index"], "pixels": PIXELS, "names": NAMES}
MODES = ("RGB", "L", "RGBA", "LA", "P", "1", "I;16", "CMYK")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Images of several modes and their labels, drawn from whole numbers."""
    for i in range(COUNT):
        values = (np.arange(4 * SIZE[0] * SIZE[1]) * (i + 3) % 256).astype(np.uint8)
        mode = MODES[i % len(MODES)]
        raw = values.tobytes() if mode != "1" else np.packbits(values.reshape(-1, 8) > 99, axis=1).tobytes()
        for kind, image in (
            ("images", Image.frombytes(mode, SIZE, raw[: len(Image.new(mode, SIZE).tobytes())])),
            ("labels", Image.fromarray(values[: SIZE[0] * SIZE[1]].reshape(SIZE[::-1]) % 2)),
        ):
            path = tmp_path / kind / f"a{i:02d}{'.tif' if kind == 'images' else '.png'}"
            path.parent.mkdir(exist_ok=True)
            image.save(path)
    section = {
        **{"root": ".", "splits": {"val": {"images": "images/*", "labels": "labels/*", "ids": None}}},
        **{"classes": ["a", "b"], "label_values": [], "ignore": [255], "on_error": "fail"},
    }
    defaults = {
        name: f.get_default(call_default_factory=True) for name, f in STAGES["index"].params.model_fields.items()
    }
    content = {"index": {**defaults, **section}, "pixels": {}, "names": {}}
    (tmp_path / "params.yaml").write_text(json.dumps(content))  # JSON is YAML
    return tmp_path


def described(artifact: Artifact) -> str:
    """Attributes, layout on disk and values of an artifact, without what a compressor decides."""
    attrs = {
        name: value for name, value in artifact.attrs.items() if name in ("stage", "split", "num_images", "arrays")
    }
    digest = hashlib.sha256(json.dumps(attrs, sort_keys=True).encode())
    for name in sorted(artifact.attrs["arrays"]):
        meta = json.loads((artifact.path / name / "zarr.json").read_text())
        layout = {key: meta[key] for key in ("shape", "data_type", "chunk_grid", "fill_value", "dimension_names")}
        files = sorted(
            p.relative_to(artifact.path).as_posix() for p in (artifact.path / name).rglob("*") if p.is_file()
        )
        digest.update(json.dumps([layout, files], sort_keys=True).encode())
        values = artifact[name].pixels if meta["dimension_names"] == ["pixel"] else artifact[name]
        digest.update(json.dumps(values).encode() if isinstance(values, list) else np.asarray(values[:]).tobytes())
    return digest.hexdigest()


def test_the_plumbing_writes_what_its_number_stands_for(project: Path) -> None:
    for name in TABLE:
        run_stage(Project.open(TABLE, project), name, "val")
    found = "".join(described(open_artifact(artifact_path(project, name, "val"))) for name in ("pixels", "names"))
    assert {FORMAT: hashlib.sha256(found.encode()).hexdigest()[:16]} == WRITTEN
