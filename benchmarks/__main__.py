"""`python -m benchmarks`: time usseg and the reference in turn, and write the table to benchmarks/RESULTS.md.

Each side has its own process with one thread.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from benchmarks import machine, scenes
from benchmarks.cases import Case
from benchmarks.sides import both_sides, measured, prepared_cases
from benchmarks.storage import rows_of_storage

RESULTS = Path(__file__).with_name("RESULTS.md")
BEGIN, END = "<!-- measured -->", "<!-- end -->"


def row(case: Case, results: dict[str, float], rate: float, bandwidth: float) -> str:
    """A row of the table. `rate` is in FLOP/s and `bandwidth` in bytes/s: they give the floor of the time."""
    floor = case.flops / rate + case.bytes / bandwidth
    cells = [
        case.name,
        f"{1000 * results['theirs']:.4g}",
        f"{1000 * results['ours']:.4g}",
        f"{results['ratio']:.3g}",
        f"{1000 * floor:.3g}" if floor else "",
        f"{results['ours'] / floor:.2g}" if floor else "",
        f"{results['theirs MiB']:.0f}",
        f"{results['ours MiB']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name contains this; the table is only printed")
    only = parser.parse_args().only
    threadpool_limits(limits=1)
    torch.set_num_threads(1)
    lines: list[str] = []

    def say(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = scenes.photo_files(3, folder)[1]
        rate, bandwidth = machine.gemm_rate(), machine.bandwidth()
        say(f"Machine: {machine.description()}.")
        say(
            f"One thread: {rate / 1e9:.0f} GFLOP/s in a float32 GEMM, "
            f"{bandwidth / 1e9:.1f} GB/s reading a 23 MB matrix."
        )
        say(f"Photos: {source}, {scenes.WIDTH} x {scenes.HEIGHT}. ViT-S with random weights. K = 15.\n")
        say(
            "| step | reference, ms | usseg, ms | ratio | floor, ms | usseg / floor "
            "| peak MiB, reference | peak MiB, usseg |"
        )
        say("|---|---|---|---|---|---|---|---|")
        sides = both_sides(folder)
        for case in prepared_cases(sides):
            if only in case.name:
                say(row(case, measured(case, sides), rate, bandwidth))
        if only:
            return
        say("\n| on disk, an image | reference | usseg |\n|---|---|---|")
        grid = (20, 30)
        described = {"patches": scenes.features(0, grid), "eigenvectors": scenes.features(0, grid)[:, :15].T}
        for cells in rows_of_storage(folder, described):
            say(f"| {' | '.join(cells)} |")
    page = RESULTS.read_text()
    head, tail = page.partition(BEGIN)[0], page.partition(END)[2]
    RESULTS.write_text("\n".join([head + BEGIN, *lines, END + tail]))


if __name__ == "__main__":
    main()
