"""Errors that a user can cause. The command prints each as one line."""


class UssegError(Exception):
    """Base class of the errors of usseg."""


class ParamsError(UssegError):
    """A value in params.yaml that cannot be used."""


class ArtifactError(UssegError):
    """A missing, foreign, stale or unwritable artifact."""


class ImageError(UssegError):
    """An image or label file that cannot be read or does not fit."""


class WorkersError(UssegError):
    """Workers that do not start, are killed again and again, or run other code than the command."""


class WeightsError(UssegError):
    """Weights of a backbone that cannot be downloaded, read or used."""


def reason(error: Exception) -> str:
    """The message of an error on one line, or its type if it has no message, such as MemoryError."""
    return " ".join(str(error).split()) or type(error).__name__
