"""The memory of this machine, against what a stage is about to need."""

from usseg.pipeline.errors import ParamsError


def refuse_graph(where: str, tokens: int, *, pair_bytes: int) -> None:
    """Refuse a graph of all pairs of tokens that does not fit into the memory of this machine.

    Args:
        where: stage and split, such as `eigen@train`, for the message.
        tokens: tokens of the largest image.
        pair_bytes: memory for each pair of tokens, in bytes, with the copies that a solver makes.

    Raises:
        ParamsError: the graph needs more than all memory of the machine.
    """
    import psutil

    needed, present = pair_bytes * tokens**2, psutil.virtual_memory().total
    if needed > present:
        raise ParamsError(
            f"{where}: the largest image has {tokens} tokens, whose graph takes {needed / 2**30:.0f} GiB; "
            f"this machine has {present / 2**30:.0f} GiB; "
            "set features.resize (pixels of the longer side) or a larger patch"
        )
