"""The files that a folder, a glob, or a list of both selects."""

import os
import unicodedata
from pathlib import Path

import pytest

from usseg.pipeline.errors import ParamsError
from usseg.stages.index.listing import TRUTHS, counted, files_of


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    return root


def found(root: Path, spelling: str | list[str]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in files_of(root, spelling, "w").files.values()]


def ids(root: Path, spelling: str | list[str]) -> list[str]:
    return list(files_of(root, spelling, "w").files)


@pytest.mark.parametrize(
    ("spelling", "names"),
    [
        ("*.jpg", ["a.jpg", "b.JPG", "c.Jpg", "d.jpeg", "e.JPEG", "f.jpe"]),
        ("*.JPG", ["a.jpg", "b.JPG", "c.Jpg", "d.jpeg", "e.JPEG", "f.jpe"]),
        ("*.jpeg", ["a.jpg", "b.JPG", "c.Jpg", "d.jpeg", "e.JPEG", "f.jpe"]),
        ("*.tif", ["g.tif", "h.TIFF"]),
        ("*.Tiff", ["g.tif", "h.TIFF"]),
        ("*.png", ["i.png", "j.PNG"]),
        ("*.p[n]g", ["i.png", "j.PNG"]),
        ("[ab].jp*", ["a.jpg", "b.JPG"]),
        ("[!ab].jpg", ["c.Jpg", "d.jpeg", "e.JPEG", "f.jpe"]),
        ("?.{png,tif}", ["g.tif", "h.TIFF", "i.png", "j.PNG"]),
        ("{a,{i,j}}.*", ["a.jpg", "i.png", "j.PNG"]),
        ("a.JPEG", ["a.jpg"]),
        ("A.jpg", None),
        ("{id}.png", ["i.png", "j.PNG"]),
        ("{id}.{png,jpeg}", ["a.jpg", "b.JPG", "c.Jpg", "d.jpeg", "e.JPEG", "f.jpe", "i.png", "j.PNG"]),
    ],
)
def test_suffixes_in_any_case(tmp_path: Path, spelling: str, names: list[str] | None) -> None:
    touch(
        tmp_path, "a.jpg", "b.JPG", "c.Jpg", "d.jpeg", "e.JPEG", "f.jpe", "g.tif", "h.TIFF", "i.png", "j.PNG", "k.txt"
    )
    if names is None:
        with pytest.raises(ParamsError, match="no file matches"):
            found(tmp_path, spelling)
    else:
        assert found(tmp_path, spelling) == names


def test_labels_take_any_case_too(tmp_path: Path) -> None:
    touch(tmp_path, *(f"l/{name}" for name in ("a.XML", "b.PNG", "c.MAT", "d.txt", "e.Json")))
    listing = files_of(tmp_path, "l", "w", TRUTHS)
    assert list(listing.files) == ["a", "b", "c", "e"]
    assert counted(listing.left) == "1 other file (1 .txt)"


def test_two_cases_of_one_name_share_an_id(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "a.JPG")
    with pytest.raises(ParamsError, match=r"w: a\.JPG and a\.jpg share the id 'a'; rename one"):
        files_of(tmp_path, "*.jpg", "w")


@pytest.mark.parametrize("spelling", ["i", "i/", "./i", "i/**", "{i,o}"])
def test_a_folder_means_every_image_below_it(tmp_path: Path, spelling: str) -> None:
    touch(tmp_path, "i/a.JPG", "i/deep/er/b.webp", "i/c.txt", "i/d", "i/e.xml", "o/.x")
    listing = files_of(tmp_path, spelling, "w")
    assert [path.name for path in listing.files.values()] == ["a.JPG", "b.webp"]
    assert list(listing.files)[1] == ("i/deep/er/b" if "{" in spelling else "deep/er/b")
    assert "3 other files (1 .txt, 1 .xml, 1 without suffix)" in counted(listing.left)


def test_the_root_is_a_folder_like_others(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b/c.png")
    assert ids(tmp_path, ".") == ["a", "b/c"]
    assert ids(tmp_path, "**") == ["a", "b/c"]


def test_a_list_is_all_that_its_globs_mean(tmp_path: Path) -> None:
    touch(tmp_path, "i/a.png", "j/b.jpg", "j/c.gif")
    assert ids(tmp_path, ["i", "j/*.jpg"]) == ["a", "b"]
    assert ids(tmp_path, ["i/*.png", "i/*"]) == ["a"]
    listing = files_of(tmp_path, ["i/*", "*.bmp"], "w")
    assert list(listing.files) == ["a"]
    assert counted(listing.left) == "1 glob that matches nothing ('*.bmp')"
    with pytest.raises(ParamsError, match=r"w: no file matches '\*\.bmp', 'k' below .*; check index\.root"):
        files_of(tmp_path, ["*.bmp", "k"], "w")
    touch(tmp_path, "j/a.png")
    with pytest.raises(ParamsError, match=r"i/a\.png and .*j/a\.png share the id 'a'; rename one"):
        files_of(tmp_path, ["i", "j"], "w")


def test_homes_and_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    touch(tmp_path, "home/pictures/a.png", "root/b.png")
    assert found(tmp_path, "~/pictures/*") == ["home/pictures/a.png"]
    assert found(tmp_path, f"{tmp_path}/root") == ["root/b.png"]
    assert ids(tmp_path / "root", "../home/*/*.png") == ["pictures/a"]


@pytest.mark.parametrize(
    ("folder", "spelling", "name"),
    [
        ("trip [2024]", "trip [2024]/*.png", "a"),
        ("trip [2024]", "trip [2024]", "a"),
        ("trip [2024]", "trip [2024]/*.{png,jpg}", "a"),
        ("trip [2024]", "*/trip [2024]/*.png", None),
        ("trip [2024]", "trip [2024]*/*.png", "trip [2024]/a"),
        ("trip [9-0]", "trip [9-0]*/*.png", "trip [9-0]/a"),
        ("[a] {b,c} [d]", "[a] {b,c} [d]/*.png", "a"),
        ("{id}", "{id}/a.png", "a"),
        ("a[", "a[/*.png", "a"),
    ],
)
def test_a_name_that_is_there_wins_over_a_pattern(tmp_path: Path, folder: str, spelling: str, name: str | None) -> None:
    """`trip 2/b.png` is what the brackets would mean."""
    if name is None:
        touch(tmp_path, f"deep/{folder}/a.png")
        assert ids(tmp_path, spelling) == ["deep/trip [2024]/a"]
        return
    touch(tmp_path, f"{folder}/a.png")
    assert ids(tmp_path, spelling) == [name]
    if spelling == "trip [2024]/*.png":
        touch(tmp_path, "trip 2/b.png")
        assert ids(tmp_path, spelling) == [name]


def test_brackets_in_a_file_name(tmp_path: Path) -> None:
    touch(tmp_path, "photo[1].png", "photo1.png")
    assert found(tmp_path, "photo[1].png") == ["photo[1].png"]
    assert found(tmp_path, "photo[[]1].png") == ["photo[1].png"]


@pytest.mark.parametrize("spelling", ["i/**/*.png", "i", "i/*/*.png", "i/*.png", "**/*"])
def test_what_systems_write_is_no_candidate(tmp_path: Path, spelling: str) -> None:
    folders = [".Trash-1000", "@eaDir", "__MACOSX", ".ipynb_checkpoints", "$RECYCLE.BIN"]
    touch(tmp_path, "i/a.png", "i/sub/b.png", *(f"i/{folder}/a.png" for folder in folders))
    touch(tmp_path, "i/._a.png", "i/sub/._b.png", "i/.DS_Store", "i/Thumbs.db", "i/desktop.ini", "i/sub/THUMBS.DB")
    listing = files_of(tmp_path, spelling, "w")
    names = {path.name for path in listing.files.values()}
    assert names <= {"a.png", "b.png"}
    text = counted(listing.left)
    files, folders_out = {
        "i/**/*.png": (2, 5), "i": (6, 5), "i/*/*.png": (1, 5), "i/*.png": (1, 0), "**/*": (6, 5),
    }[spelling]  # fmt: skip
    assert f"{files} hidden file" in text
    assert (f"{folders_out} hidden folders" in text) == bool(folders_out)


def test_a_hidden_name_that_is_spelled_is_meant(tmp_path: Path) -> None:
    touch(tmp_path, ".cache/a.png", "@eaDir/b.png", ".c.png")
    assert ids(tmp_path, ".cache/*.png") == ["a"]
    assert ids(tmp_path, "@eaDir") == ["b"]
    assert ids(tmp_path, ".*.png") == [".c"]


def test_links_to_folders_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    touch(tmp_path, "root/i/a.png", "elsewhere/b.png", "elsewhere/deep/c.png")
    (tmp_path / "root/i/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/i/up").symlink_to("..")
    (tmp_path / "elsewhere/deep/again").symlink_to(tmp_path / "elsewhere")
    for spelling in ("i", "i/**/*.png", "i/**/**/*.png"):
        listing = files_of(tmp_path / "root", spelling, "w")
        assert list(listing.files) == ["a", "linked/b", "linked/deep/c"]
        assert "2 links back to a folder above" in counted(listing.left)


def test_what_is_no_file_stays_a_candidate(tmp_path: Path) -> None:
    touch(tmp_path, "i/a.png", "i/folder.png/x.txt", "i/plain/b.png")
    (tmp_path / "i/gone.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "i/pipe.PNG")
    assert ids(tmp_path, "i/*.png") == ["a", "folder", "gone", "pipe"]
    assert ids(tmp_path, "i/**/*.png") == ["a", "folder", "gone", "pipe", "plain/b"]
    assert ids(tmp_path, "i") == ["a", "folder", "gone", "pipe", "plain/b"]
    assert ids(tmp_path, "i/*") == ["a", "folder", "gone", "pipe", "plain"]
    assert ids(tmp_path, "i/gone.png") == ["gone"]


def test_names_are_equal_however_they_are_composed(tmp_path: Path) -> None:
    composed, split = (unicodedata.normalize(form, "été") for form in ("NFC", "NFD"))
    touch(tmp_path, f"{split}/{split}.png", f"labels/{composed}.png")
    for spelling in (
        f"{composed}/*.png",
        f"{split}/*.png",
        f"*/{composed}.png",
        f"{composed}/{composed}.png",
        composed,
    ):
        assert ids(tmp_path, spelling)[0].endswith(composed)
    touch(tmp_path, f"{split}/{composed}.png")
    with pytest.raises(
        ParamsError, match=r"'\\xe9t\\xe9\.png' and 'e\\u0301te\\u0301\.png'|'e.*' and '.*' share the id"
    ):
        files_of(tmp_path, f"{split}/*", "w")


def test_names_that_are_no_text(tmp_path: Path) -> None:
    touch(tmp_path, "i/a.png", "i/deep/b.png")
    try:
        touch(tmp_path, "i/caf\udce9.txt")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    for spelling in ("i/*.png", "i"):
        assert r"1 file whose name is not UTF-8 (" in counted(files_of(tmp_path, spelling, "w").left)
    (tmp_path / "i/deep").rename(tmp_path / "i/d\udcffp")
    for spelling in ("i", "i/**/*.png", "i/*/*.png", "i/*"):
        with pytest.raises(
            ParamsError, match=r"w: the file name '(d\\udcffp|caf\\udce9\.txt)' is not UTF-8; rename it"
        ):
            files_of(tmp_path, spelling, "w")


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("*/{id}_left.png", "bonn/bonn_1"),
        ("bonn/{id}_left.{png,jpg}", "bonn_1"),
        ("bonn/*_{id}_left.PNG", "1"),
        ("bonn/{id}_{id}_right.png", "x"),
    ],
)
def test_what_id_stands_for(tmp_path: Path, spelling: str, name: str) -> None:
    touch(tmp_path, "bonn/bonn_1_left.PNG", "bonn/x_x_right.png", "bonn/x_y_right.png")
    assert ids(tmp_path, spelling) == [name]


@pytest.mark.parametrize("spelling", ["", " ", [], ["i", ""], "\0"])
def test_no_glob(tmp_path: Path, spelling: str | list[str]) -> None:
    with pytest.raises(ParamsError, match=r"w: found .*; a glob below index\.root is needed, such as 'images/\*'"):
        files_of(tmp_path, spelling, "w")


def test_what_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"w: index\.root, .*/gone, is not a folder"):
        files_of(tmp_path / "gone", "*", "w")
    with pytest.raises(ParamsError, match=r"the braces of '.*' stand for more than 1000 globs; write fewer"):
        files_of(tmp_path, "{a,b}" * 40, "w")
