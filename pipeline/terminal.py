"""What reaches the terminal: log lines, warnings and file names, one line each and printable."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from usseg.pipeline.errors import UssegError

INTERRUPTED = 130  # exit code
NOISY = ("distributed", "fontTools", "matplotlib", "PIL", "timm", "httpx", "httpx2", "huggingface_hub", "faiss")


def log_to_terminal() -> None:
    """Send log lines and Python's warnings to stderr; of other packages only their warnings."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(PrintableFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[lines], force=True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub").propagate = False  # it prints its lines itself
    logging.captureWarnings(True)
    warnings.formatwarning = lambda message, *_, **__: one_line(message)


class PrintableFormatter(logging.Formatter):
    """Messages as `printable` shows them: they hold file names, which come from elsewhere."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The text of a record, in one line."""
        return printable(super().formatMessage(record))


def one_line(message: object) -> str:
    """A message without line breaks."""
    return " ".join(str(message).split())


def printable(text: str) -> str:
    """Text without what a terminal obeys or cannot show: written as Python's escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def one_line_errors(debug: bool) -> Iterator[None]:
    """Print the user's mistakes as one line and exit with 1; `debug` shows the traceback."""
    log_to_terminal()
    try:
        yield
    except (UssegError, ValueError, OSError) as error:
        if debug:
            raise
        prefix = "" if isinstance(error, UssegError) else f"{type(error).__name__}: "
        print(f"usseg: {prefix}{printable(one_line(error))}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        if debug:
            raise
        print("usseg: interrupted; the same command continues where it stopped", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
