"""Output on the terminal: log lines, warnings and errors, each on one printable line."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from usseg.pipeline.errors import UssegError

INTERRUPTED = 130  # exit code
NOISY = ("distributed", "fontTools", "matplotlib", "PIL", "timm", "httpx", "httpx2", "huggingface_hub", "faiss")


def log_to_terminal() -> None:
    """Send log lines and Python warnings to stderr. Other packages log only warnings and errors."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(PrintableFormatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[lines], force=True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("huggingface_hub").propagate = False  # it prints its lines itself
    logging.captureWarnings(True)
    warnings.formatwarning = lambda message, *_, **__: one_line(message)


class PrintableFormatter(logging.Formatter):
    """Format messages with `printable`: they may hold file names with control characters."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The printable text of a record."""
        return printable(super().formatMessage(record))


def one_line(message: object) -> str:
    """Replace line breaks and repeated spaces by one space."""
    return " ".join(str(message).split())


def printable(text: str) -> str:
    """Replace control characters, and others that cannot be shown, by Python escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@contextmanager
def one_line_errors(debug: bool) -> Iterator[None]:
    """Print an error of the user as one line and exit with 1. With `debug` the error is raised with its traceback."""
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
