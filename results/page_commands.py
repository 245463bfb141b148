"""The command `usseg open`."""

import os
import sys
from typing import Annotated

import typer

from usseg.pipeline.terminal import one_line_errors, printable
from usseg.results.command_options import DebugOption, FolderOption, open_project

READ_ONLY = "the page is read-only"


def open_page(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port. 0: a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open a browser, where there is a display.")] = True,
    project: FolderOption = None,
    debug: DebugOption = False,
) -> None:
    """Show the page of the project, and save the names that you give to clusters. Ctrl-C ends it."""
    with one_line_errors(debug):
        import webbrowser

        from usseg.results.page_files import check_page
        from usseg.results.page_server import page_server
        from usseg.results.saved_names import names_or_none

        root = open_project(project).root
        check_page(root)
        refusal = names_or_none(root)[1]
        if refusal is not None:
            typer.echo(f"{READ_ONLY}: {printable(refusal)}")
        with page_server(root, port) as server:
            typer.echo(f"page: {server.address}")
            typer.echo("Ctrl-C ends it")
            sys.stdout.flush()  # a program that reads the address is not kept waiting
            try:
                if browser and has_display():
                    webbrowser.open(server.address)
                server.serve_forever()
            except KeyboardInterrupt:
                typer.echo(f"closed; names are in {root / 'names.yaml'}")


def has_display() -> bool:
    """Whether a window can be opened; a browser in the terminal would not show the page."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def add_page_commands(app: typer.Typer) -> None:
    """Add the command to the command usseg."""
    app.command("open")(open_page)
