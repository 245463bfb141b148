"""The file report/names.js: names and colours of clusters for the page, which cannot read names.yaml from file://.

It is no output of a stage, and DVC does not track it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usseg.pipeline.disk import write_file

NAMES_SCRIPT = "report/names.js"


def write_names_script(project: Path, content: Mapping[str, Any]) -> None:
    """Write report/names.js with the content of names.yaml. A project without a report gets none."""
    path = project / NAMES_SCRIPT
    if path.parent.is_dir():
        write_file(path, names_script(content))


def names_script(content: Mapping[str, Any]) -> bytes:
    """The text of report/names.js."""
    return script("USSEG_NAMES", content)


def script(variable: str, value: Any) -> bytes:
    """JavaScript that sets a variable of the window. It is ASCII, and no text in it can end a script element."""
    text = json.dumps(value)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"window.{variable} = {text};\n".encode("ascii")
