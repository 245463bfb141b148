"""The images that a list file selects."""

import os
import unicodedata
from pathlib import Path

import pytest

from usseg.pipeline.errors import ParamsError
from usseg.stages.index.list_file import Selection, listed


def chosen(root: Path, text: str | bytes, *names: str, given: str = "i") -> Selection:
    """The selection that a list makes among images `i/NAME.jpg`."""
    content = text if isinstance(text, bytes) else text.encode()
    (root / "ids.txt").write_bytes(content)
    return listed(root, "ids.txt", "w", {name: root / given / f"{name}.jpg" for name in names or ("p0", "p1", "p2")})


@pytest.mark.parametrize(
    "text",
    [
        "p1\np0\n",
        "p1\r\np0\r\n",
        "p1\rp0",
        "\ufeffp1\np0",
        b"\xff\xfep\x001\x00\n\x00p\x000\x00",
        "\ufeffp1\r\np0".encode("utf-16-be"),
        "\n# a comment\n  p1  \n\n#p2\n\tp0\n",
        "p1.jpg\np0.JPG\n",
        "p1.png\ni/p0\n",
        "./i/p1.jpg\ni\\p0.jpg\n",
        "/anywhere/else/p1.jpg\nmore/i/p0.jpeg\n",
        "p1 p2\np0 p2\n",
        "i/p1.jpg l/p2.png\ni/p0.jpg l/p2.png\n",
        "l/p2.png i/p1.jpg\nl/p2.png i/p0.jpg\n",
        "i/p1.jpg\tl/p2.png\ni/p0.jpg\tl/p2.png\n",
        "i/p1.jpg,l/p2.png,7\ni/p0.jpg; l/p2.png\n",
        "images/p1.jpg masks/p2.png\nimages/p0.jpg masks/p2.png",
    ],
)
def test_spellings_of_a_list(tmp_path: Path, text: str | bytes) -> None:
    selection = chosen(tmp_path, text)
    assert selection.ids == ["p1", "p0"]
    assert not selection.absent
    assert not selection.flagged


def test_columns_and_repeats_are_told(tmp_path: Path) -> None:
    assert chosen(tmp_path, "p1 x\np0 y\np1 z\n").notes == [
        "ids.txt: 3 lines have further columns; the one that names an image counts",
        "ids.txt: 1 line repeats an image",
    ]
    assert chosen(tmp_path, "p1\np0\n").notes == []


@pytest.mark.parametrize("gap", [" ", "  ", "\t", ","])
def test_the_flags_of_voc(tmp_path: Path, gap: str) -> None:
    selection = chosen(tmp_path, f"p0{gap}1\np1{gap}-1\np2{gap}0\nelsewhere{gap}-1\n")
    assert selection.ids == ["p0", "p2"]
    assert selection.flagged == {"p1"}
    assert selection.absent == []
    assert selection.notes == ["ids.txt: 4 lines have a flag: 1 and 0 keep an image, -1 leaves it out"]


def test_names_with_spaces_dots_and_signs(tmp_path: Path) -> None:
    names = ("my photo", "my", "p0 1", "p0", "#1", "a.b", "a,b")
    assert chosen(tmp_path, "\n".join(names), *names).ids == list(names)
    lines = "my photo.jpg l/my.png\n#1.jpg l/1.png\na.b.jpg l/ab.png\na,b.jpg l/x.png"
    assert chosen(tmp_path, lines, *names).ids == ["my photo", "#1", "a.b", "a,b"]


def test_a_name_with_a_space_that_is_absent_is_no_column(tmp_path: Path) -> None:
    selection = chosen(tmp_path, "p1.jpg\np0 (2).jpg\n")
    assert selection.ids == ["p1"]
    assert selection.absent == ["p0 (2).jpg"]


def test_composed_and_split_names_are_one(tmp_path: Path) -> None:
    composed, split = (unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))
    assert chosen(tmp_path, f"{split}\n", composed).ids == [composed]
    assert chosen(tmp_path, f"i/{split}.jpg x\n", composed).ids == [composed]


def test_the_longest_path_that_fits(tmp_path: Path) -> None:
    names = ("a/0001", "b/0001", "b/2")
    for line in ("b/0001", "b/0001.jpg", "i/b/0001.jpg", "/elsewhere/b/0001.png"):
        assert chosen(tmp_path, line, *names).ids == ["b/0001"]
    assert chosen(tmp_path, "2.jpg", *names).ids == ["b/2"]
    with pytest.raises(ParamsError, match=r"w: ids\.txt: '0001\.jpg' fits 2 images, such as 'a/0001'; write its id"):
        chosen(tmp_path, "0001.jpg", *names)
    assert chosen(tmp_path, "c/0001.jpg", *names).absent == ["c/0001.jpg"]


def test_an_id_that_is_not_the_file_name(tmp_path: Path) -> None:
    files = {
        "bonn/bonn_1": tmp_path / "left/bonn/bonn_1_left.png",
        "bonn/bonn_2": tmp_path / "left/bonn/bonn_2_left.png",
    }
    for line in ("bonn/bonn_2", "bonn_2", "bonn/bonn_2_left.png", "left/bonn/bonn_2_left.png labels/bonn/bonn_2.png"):
        (tmp_path / "ids.txt").write_text(line)
        assert listed(tmp_path, "ids.txt", "w", files).ids == ["bonn/bonn_2"]


def test_no_list(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"w: .*ids\.txt: neither UTF-8 nor UTF-16; a text file with an id a line"):
        chosen(tmp_path, b"caf\xe9")
    (tmp_path / "ids.txt").unlink()
    os.mkfifo(tmp_path / "ids.txt")
    with pytest.raises(ParamsError, match=r"w: .*ids\.txt: not a file; a text file with an id a line is needed"):
        listed(tmp_path, "ids.txt", "w", {})
    with pytest.raises(ParamsError, match=r"gone\.txt: No such file or directory; a text file with an id a line"):
        listed(tmp_path, "gone.txt", "w", {})
