"""The top eigenpairs of many dense graphs of one size in float32, by torch: a block Lanczos iteration, made for a GPU.

B images, N nodes, J basis vectors, P vectors in a block. The float64 solvers of solvers.py are its plain twins.
"""

import math

import torch
from torch import Tensor

BLOCK = 8
MOST_BLOCKS = 40
RESIDUAL = 3e-7  # of an eigenpair of a matrix of norm 1: what float32 itself leaves
BREAKDOWN = 1e-6  # a new direction shorter than this is rounding
TRACE = 1e-7  # length of random directions in a new block, which replace those that have run out
DIGITS_DOUBLED = 6  # digits that the residuals lose while the basis doubles: when to look at them again


def top_of_graphs(weights_BNN: Tensor, degrees_BN: Tensor, *, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The k largest eigenpairs of S = D^-1/2 W D^-1/2 of every image; the images go on until the last has settled.

    Starts from the trivial eigenvector D^1/2 1, which is exact, then from a fixed random block. Each step is one product of S with
    a block, which is made orthogonal to all before it; the eigenpairs of S within the basis are computed on the host.

    Args:
        weights_BNN: float32 on any device, symmetric.
        degrees_BN: float32, its row sums, positive.
        k: at most N / 4.

    Returns:
        values float64 (B, k) descending, within about 3e-7 (5e-6 for 0-1 weights: float32 sums of equal terms are biased);
        vectors float32 (B, k, N) of S, orthonormal within about 1e-6; bool (B,): whether they have settled. All on the host.

    Source: Golub and Underwood, The block Lanczos method for computing eigenvalues (1977).
    """
    count, n = degrees_BN.shape
    blocks = min(MOST_BLOCKS, (n - 1) // BLOCK)
    inverse_root = degrees_BN.rsqrt()[:, :, None]
    random = torch.randn(n, BLOCK, generator=torch.Generator().manual_seed(0)).to(degrees_BN.device) / math.sqrt(n)
    basis = weights_BNN.new_empty(count, n, 1 + BLOCK * (blocks + 1))
    basis[:, :, 0] = (degrees_BN / degrees_BN.sum(dim=1, keepdim=True)).sqrt()
    basis[:, :, 1 : 1 + BLOCK] = orthonormal(without(random.expand(count, -1, -1), basis[:, :, :1]))[0]
    projected = basis.new_zeros(count, 1 + BLOCK * blocks, 1 + BLOCK * blocks)
    projected[:, 0, 0] = 1
    short = torch.zeros(count, dtype=torch.bool, device=basis.device)
    look = math.ceil(2 * k / BLOCK)
    for block in range(1, blocks + 1):
        size = 1 + BLOCK * block
        known, last = basis[:, :, :size], slice(size - BLOCK, size)
        image = torch.bmm(weights_BNN, known[:, :, last] * inverse_root) * inverse_root
        along = known.mT @ image
        projected[:, :size, last], projected[:, last, :size] = along, along.mT
        rest = without(image - known @ along, known)
        new, shortest = orthonormal(rest + TRACE * random.roll(block, dims=0))
        for _ in range(2):
            new, _ = orthonormal(without(new, known))
        basis[:, :, size : size + BLOCK] = new
        short_before, short = short, shortest < BREAKDOWN
        if block < min(look, blocks):
            continue
        values, turn = torch.linalg.eigh(projected[:, :size, :size].double().cpu())
        values, turn = values[:, -k:].flip(1), turn[:, :, -k:].flip(2).float().to(basis.device)
        residuals = (new.mT @ rest @ turn[:, last]).norm(dim=1).amax(dim=1)
        # After one short block the fresh directions may still hold an equal eigenvalue; after two in a row nothing is left.
        settled = (residuals < RESIDUAL) & (~short | short_before)
        if bool(settled.all()):
            break
        digits = math.log10(max(float(residuals.max()) / RESIDUAL, 1))
        look = block + max(1, math.ceil(digits * block / DIGITS_DOUBLED))
    return values, (known @ turn).mT.cpu(), settled.cpu()


def without(block_BNP: Tensor, known_BNJ: Tensor) -> Tensor:
    """A block less what it holds of known orthonormal directions."""
    return block_BNP - known_BNJ @ (known_BNJ.mT @ block_BNP)


def orthonormal(block_BNP: Tensor) -> tuple[Tensor, Tensor]:
    """An orthonormal basis of a block's columns, and the smallest singular value of each (B,); float64 inside.

    Source: Stathopoulos and Wu, A block orthogonalization procedure with constant synchronization requirements (2002).
    """
    columns = block_BNP.double()
    values, turn = torch.linalg.eigh(columns.mT @ columns)
    lengths = values.clamp(min=1e-30).sqrt()
    return (columns @ (turn / lengths[:, None])).float(), lengths[:, 0]
