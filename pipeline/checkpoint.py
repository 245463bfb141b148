"""Saved state of a stage that works on a whole split."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from usseg.pipeline.disk import write_file

DIGEST_BYTES = hashlib.sha256().digest_size  # the digest is the first part of the file


class Checkpoint:
    """Saved state from which an interrupted whole-split stage resumes. Without a path, nothing is saved.

    The state belongs to one cache key: a run with another key does not see it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path, self.due = path, 0.0

    def load(self) -> bytes | None:
        """The state that was saved last; None if there is none or the file is damaged."""
        if self.path is None or not self.path.is_file():
            return None
        content = self.path.read_bytes()
        digest, state = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        return state if hashlib.sha256(state).digest() == digest else None

    def save(self, state: Callable[[], bytes]) -> None:
        """Save `state()`. The call is skipped if saving would take more than a twentieth of the run time."""
        started = time.monotonic()
        if self.path and started >= self.due:
            content = state()
            write_file(self.path, hashlib.sha256(content).digest() + content)
            self.due = time.monotonic() + 19 * (time.monotonic() - started)


NO_CHECKPOINT = Checkpoint()
