"""Files of usseg save with random damage and a right digest over it: one line, or the same project."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import usseg
from usseg.pipeline.project import Project
from usseg.results.project_file import read_project_file
from usseg.results.save import save_project
from usseg.stages import STAGES

DIGEST = 64


def signed(content: bytes) -> bytes:
    """The content with a right digest in the place of its last 64 bytes."""
    return content[:-DIGEST] + hashlib.sha256(content[:-DIGEST]).hexdigest().encode()


def with_manifest(file: Path, edit: Callable[[dict[str, Any]], None]) -> bytes:
    """The file with an edited manifest."""
    stream = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(stream, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "manifest.json":
                edit(manifest := json.loads(content))
                content = json.dumps(manifest).encode()
            new.writestr(name, content)
        new.comment = b"0" * DIGEST
    return signed(stream.getvalue())


@pytest.fixture(scope="session")
def meadow(class_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a finished project."""
    file = tmp_path_factory.mktemp("saved") / "meadow.usseg"
    assert list(save_project(Project.open(STAGES, class_project), file))
    return file


@pytest.mark.parametrize("seed", range(150))
def test_a_damaged_zip_with_a_right_digest_is_one_line_or_the_same_project(
    meadow: Path, tmp_path: Path, seed: int, attempt: Callable[..., str | None]
) -> None:
    rng, content = np.random.default_rng(seed), bytearray(meadow.read_bytes())
    directory = content.rindex(b"PK\x05\x06")
    for _ in range(int(rng.integers(1, 4))):  # the directory of the zip is at its end
        place = (
            int(rng.integers(4, len(content) - DIGEST))
            if seed % 2
            else int(rng.integers(directory - 900, directory + 22))
        )
        content[place] = int(rng.integers(256))
    file = tmp_path / "spoilt.usseg"
    file.write_bytes(signed(bytes(content)))
    if attempt(lambda: read_project_file(file, STAGES), str(file)) is None:
        assert read_project_file(file, STAGES).members == read_project_file(meadow, STAGES).members


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_manifest_with_right_digests_is_one_line(
    meadow: Path, tmp_path: Path, seed: int, attempt: Callable[..., str | None]
) -> None:
    """One value of the manifest is replaced by another kind, or removed."""
    rng = np.random.default_rng(seed)

    def spoil(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        while True:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            key = keys[int(rng.integers(len(keys)))]
            deeper = isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.8
            if not deeper:
                break
            place = place[key]
        if rng.random() < 0.3:
            del place[key]
        else:
            place[key] = [None, -1, 1e300, "nonsense/..", [], {}, [[1]], {"a": None}, True][int(rng.integers(9))]

    file = tmp_path / "spoilt.usseg"
    file.write_bytes(with_manifest(meadow, spoil))
    attempt(lambda: usseg.load(file).segment(np.zeros((32, 32, 3), np.uint8)), "")
