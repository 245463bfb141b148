"""Position embeddings, interpolated to another grid by the rule of the project that trained them.

Source: interpolate_pos_encoding of DINO and of DINOv2. On small grids both rules differ from timm's rule by several
percent.
"""

import torch
from torch.nn import functional


def split(embedding: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, int]:
    """(1, 1 + side * side, channel) -> class row (1, 1, channel), grid (1, channel, side, side), and side.

    Raises:
        ValueError: the number of rows is not 1 plus a square number.
    """
    side = round((embedding.shape[1] - 1) ** 0.5)
    if side * side + 1 != embedding.shape[1]:
        raise ValueError(f"position embedding: found {embedding.shape[1]} rows; 1 + a square number is needed")
    grid = embedding[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    return embedding[:, :1], grid, side


def join(class_row: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """The inverse of `split`, as (1 + rows * cols, channel)."""
    return torch.cat([class_row, grid.flatten(2).transpose(1, 2)], dim=1)[0]


def by_factor(embedding: torch.Tensor, rows: int, cols: int, *, offset: float = 0.1) -> torch.Tensor:
    """The rule of DINO, and of DINOv2 without registers: bicubic by a factor, without antialias.

    The factor is (grid + offset) / side.

    Args:
        embedding: (1, 1 + side * side, channel), the class row first.
        rows, cols: the new grid.
        offset: added to rows and columns before the division; 0.1 in both projects.

    Returns:
        (1 + rows * cols, channel), the class row first.
    """
    class_row, grid, side = split(embedding)
    if (rows, cols) == (side, side):
        return embedding[0]
    factors = ((rows + offset) / side, (cols + offset) / side)
    scaled = functional.interpolate(grid, scale_factor=factors, mode="bicubic", align_corners=False)
    if scaled.shape[2:] != (rows, cols):
        raise ValueError(f"position embedding: {rows} x {cols} patches cannot be reached from {side} x {side}")
    return join(class_row, scaled)


def by_size(embedding: torch.Tensor, rows: int, cols: int) -> torch.Tensor:
    """The rule of DINOv2 with registers: bicubic to a given size, with antialias.

    Arguments and result as in `by_factor`.
    """
    class_row, grid, side = split(embedding)
    if (rows, cols) == (side, side):
        return embedding[0]
    return join(class_row, functional.interpolate(grid, size=(rows, cols), mode="bicubic", antialias=True))


def by_timm(embedding: torch.Tensor, rows: int, cols: int) -> torch.Tensor:
    """timm's rule, resample_abs_pos_embed. Arguments and result as in `by_factor`."""
    from timm.layers.pos_embed import resample_abs_pos_embed

    return resample_abs_pos_embed(embedding, [rows, cols], num_prefix_tokens=1)[0]


RULES = {"dino": by_factor, "dinov2": by_factor, "dinov2_reg": by_size, "timm": by_timm}
