"""The largest eigenpairs of many dense graphs of one size, in float32: a block Lanczos iteration in torch, for a GPU.

Letters: B images, N nodes, J basis vectors, P vectors in a block. The tests compare it with the float64 solvers of
solvers.py.
"""

import math

import torch
from torch import Tensor

BLOCK = 8
MOST_BLOCKS = 40
RESIDUAL = 3e-7  # largest residual of a converged eigenpair, for a matrix of norm 1: the rounding of float32
BREAKDOWN = 1e-6  # a new direction shorter than this consists of rounding errors
TRACE = 1e-7  # length of the random directions added to a new block; they replace exhausted directions
DIGITS_DOUBLED = 6  # decimal digits by which a residual falls while the basis doubles; it predicts the next check


def top_of_graphs(weights_BNN: Tensor, degrees_BN: Tensor, *, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The k largest eigenpairs of S = D^-1/2 W D^-1/2 of every image.

    All images iterate until the last one has converged. The first basis vector is the trivial eigenvector D^1/2 1,
    which is exact. A fixed random block follows. Each step multiplies S with the newest block and makes the product
    orthogonal to the whole basis. The eigenpairs of S within the basis are computed on the host.

    Args:
        weights_BNN: float32 (image, node, node) on any device, symmetric.
        degrees_BN: float32 (image, node) on the same device, the row sums of the weights, positive.
        k: number of eigenpairs, at most N / 4.

    Returns:
        Eigenvalues, float64 (B, k), descending, within about 3e-7 (within 5e-6 for weights 0 and 1, because float32
        sums of equal terms are biased). Eigenvectors of S, float32 (B, k, N), orthonormal within about 1e-6. Whether
        each image has converged, bool (B,). All three are on the host.

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
    next_check = math.ceil(2 * k / BLOCK)
    for block in range(1, blocks + 1):
        size = 1 + BLOCK * block
        known, last = basis[:, :, :size], slice(size - BLOCK, size)
        product = torch.bmm(weights_BNN, known[:, :, last] * inverse_root) * inverse_root
        coefficients = known.mT @ product
        projected[:, :size, last], projected[:, last, :size] = coefficients, coefficients.mT
        rest = without(product - known @ coefficients, known)
        new, shortest = orthonormal(rest + TRACE * random.roll(block, dims=0))
        for _ in range(2):
            new, _ = orthonormal(without(new, known))
        basis[:, :, size : size + BLOCK] = new
        short_before, short = short, shortest < BREAKDOWN
        if block < min(next_check, blocks):
            continue
        values, rotation = torch.linalg.eigh(projected[:, :size, :size].double().cpu())
        values, rotation = values[:, -k:].flip(1), rotation[:, :, -k:].flip(2).float().to(basis.device)
        residuals = (new.mT @ rest @ rotation[:, last]).norm(dim=1).amax(dim=1)
        # After one short block the random directions may still contain another eigenvector of an equal eigenvalue.
        # After two short blocks in a row no such eigenvector is left.
        converged = (residuals < RESIDUAL) & (~short | short_before)
        if bool(converged.all()):
            break
        digits = math.log10(max(float(residuals.max()) / RESIDUAL, 1))
        next_check = block + max(1, math.ceil(digits * block / DIGITS_DOUBLED))
    return values, (known @ rotation).mT.cpu(), converged.cpu()


def without(block_BNP: Tensor, known_BNJ: Tensor) -> Tensor:
    """Project a block (B, N, P) onto the complement of orthonormal directions (B, N, J)."""
    return block_BNP - known_BNJ @ (known_BNJ.mT @ block_BNP)


def orthonormal(block_BNP: Tensor) -> tuple[Tensor, Tensor]:
    """Orthonormal bases (B, N, P) of the columns of the blocks, and the smallest singular value of each block (B,).

    The computation is in float64, the basis is float32.

    Source: Stathopoulos and Wu, A block orthogonalization procedure with constant synchronization requirements (2002).
    """
    columns = block_BNP.double()
    values, rotation = torch.linalg.eigh(columns.mT @ columns)
    lengths = values.clamp(min=1e-30).sqrt()
    return (columns @ (rotation / lengths[:, None])).float(), lengths[:, 0]
