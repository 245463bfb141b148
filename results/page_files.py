"""The files of the page: which ones a browser may read, and their types."""

from pathlib import Path

from usseg.pipeline.errors import ParamsError

FOLDER = "report"  # of a project
PAGE = "index.html"
PARTS = "page"  # folder of thumbnails, maps and scripts
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
}


def content_type(suffix: str) -> str:
    """The type of files with this suffix. It does not depend on what is installed on the machine."""
    return TYPES.get(suffix.lower(), "application/octet-stream")


def file_of_page(project: Path, parts: list[str]) -> tuple[bytes, str] | None:
    """The content of a file of the page and a tag that changes with it; None where the browser may not read it.

    Readable are report/index.html and the files below report/page. Folders, hidden files, and links that lead out of
    the folder report are not.

    Args:
        project: the folder of the project.
        parts: the parts of the path below the folder report, percent-encoded.
    """
    from urllib.parse import unquote

    try:
        names = [unquote(part, errors="strict") for part in parts]
    except UnicodeDecodeError:
        return None
    if names != [PAGE] and (len(names) < 2 or names[0] != PARTS):
        return None
    if any(not name or name[0] == "." or set(name) & set("/\\\0") for name in names):
        return None
    folder = (project / FOLDER).resolve()
    try:
        path = folder.joinpath(*names).resolve(strict=True)
        if not path.is_relative_to(folder) or not path.is_file():
            return None
        content, state = path.read_bytes(), path.stat()
    except (OSError, RuntimeError):  # RuntimeError: links in a circle
        return None
    return content, f'"{state.st_mtime_ns:x}-{state.st_size:x}"'


def check_page(project: Path) -> None:
    """Refuse a project whose page cannot be served.

    Raises:
        ParamsError: there is no page, or it is a link out of the folder report.
    """
    path = project / FOLDER / PAGE
    if not path.is_file():
        raise ParamsError(f"{path} is missing; run: usseg run")
    if file_of_page(project, [PAGE]) is None:
        raise ParamsError(
            f"{path} cannot be read, or is a link out of {path.parent}; with DVC run: dvc unprotect {FOLDER}/{PAGE} "
            f"{FOLDER}/{PARTS}"
        )
