"""Sempart: a head on tokens and the image that cuts out the object of an image, trained by the normalised cut."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from usseg.pipeline.checkpoint import NO_CHECKPOINT, Checkpoint
from usseg.pipeline.execution import Progress, no_progress
from usseg.pipeline.feed import Feed
from usseg.pipeline.methods import on_device
from usseg.pipeline.params import Params
from usseg.pipeline.seeding import seeded
from usseg.pipeline.training import Batch, Record, train
from usseg.pipeline.weights import flat_weights, load_weights
from usseg.stages.segmenter.method import F32, I64, U8, FitTokens, SegmenterMethod, Training, Watch, no_watch

TERMS = ("ncut", "coarse_variation", "fine_variation", "disagreement", "part_ncut", "consistency")
POLARITY_IMAGES = 256  # images of the fit split whose masks decide which side is the object


class Options(Params):
    """Options of method `sempart`. `width`, `window`, `lr`, `epochs` and `augment` train 300 photos on two cores in
    minutes; recipe `sempart` has those of the source, for a GPU.
    """

    width: int = Field(16, ge=2, le=1024, description="channels of the fine branch; source: 128")
    window: int = Field(
        320, ge=1, le=4096, description="side of the windows that are trained on, pixels of the resized image"
    )
    augment: bool = Field(
        False, description="flip and change colours; the backbone describes each view anew; source: true"
    )
    tau: float = Field(0.4, ge=-1, le=1, description="cosine above which an edge has weight 1")
    eps: float = Field(1e-6, gt=0, le=1, description="weight of the other edges")
    sigma: float = Field(1.0, gt=0, le=1e6, description="scale of squared colour differences of neighbouring pixels")
    coarse_variation: float = Field(1.0, ge=0, le=1e6, description="weight of the variation of the coarse mask")
    fine_variation: float = Field(1.0, ge=0, le=1e6, description="weight of the variation of the fine mask")
    disagreement: float = Field(1.0, ge=0, le=1e6, description="weight of the difference of coarse and fine mask")
    consistency: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="weight of multi-scale consistency and of the part's cut; 0: none; source: 0.01",
    )
    crop_ratio: float = Field(0.5, gt=0, le=1, description="side of the enlarged part as a share; the paper says 0.25")
    crop_place: Literal["random", "fixed_center"] = Field(
        "random", description="place of the part; fixed_center: as the released code draws it"
    )
    teacher_radius: int = Field(9, ge=0, le=4096, description="radius of the teacher's guided filter; 0: no filter")
    teacher_eps: float = Field(1e-3, gt=0, le=1e6, description="eps of the teacher's guided filter")
    lr: float = Field(1e-3, gt=0, le=100, description="learning rate of AdamW; source: 1e-4")
    batch: int = Field(8, ge=1, le=100_000, description="images in each step")
    epochs: int = Field(10, ge=1, le=100_000, description="epochs over the images; source: 30")


def head(channels: int, patch: int, options: Options) -> Any:
    """The network with random parameters, drawn from torch's global generator."""
    from usseg.stages.heads.dense_head import DenseHead

    widths = (options.width * 3 // 2, options.width)
    return DenseHead(channels, blocks=math.ceil(math.log2(patch)), fine_widths=widths)


def fit(
    tokens: FitTokens,
    *,
    seed: int,
    options: Options,
    device: str,
    checkpoint: Checkpoint = NO_CHECKPOINT,
    progress: Progress = no_progress,
    watch: Watch = no_watch,
) -> Training:
    """Train the head on random views of all images by AdamW with a constant learning rate.

    The loss is the normalised cut of the coarse mask, the variations of both masks and their difference; with
    `consistency`, also the difference of the fine mask and the mask of an enlarged part, and the cut of that part.
    Views of one batch with equal grids are computed together; batch norm sees each of these parts on its own.
    After the training, the side with less than half of the pixels of the fit split becomes the object.

    Args:
        tokens: the tokens of the fit split, and its images.
        seed: for the initial parameters, the order of every epoch and all views.
        options: see `Options`.
        device: a torch device.
        checkpoint: holds the state from which a killed training resumes.
        progress: called with the number of finished images over all epochs, and their total.
        watch: called after every epoch with the history, as in `Training`.

    Raises:
        ParamsError: the loss is not finite.

    Source: Two Tricks, section 3 and appendix A, and its code.
    """
    import torch

    from usseg.stages.segmenter.views import Views

    assert tokens.images is not None
    part = (options.crop_ratio, options.crop_place) if options.consistency else None
    views = Views(tokens, tokens.images, options.window, options.augment, part, seed)
    feed = Feed(views.read, items=len(tokens.counts), device=device, split=views.of_equal_grid)
    with seeded(seed, device):
        network = head(tokens.channels, tokens.images.patch, options).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.lr, betas=(0.9, 0.99), weight_decay=0.0)
    concepts = Record(np.zeros((options.epochs, 2), np.int64))
    sums = Record(np.zeros((options.epochs, len(TERMS))))
    weights = {
        "ncut": 1.0,
        "coarse_variation": options.coarse_variation,
        "fine_variation": options.fine_variation,
        "disagreement": options.disagreement,
        "part_ncut": options.consistency,
        "consistency": options.consistency,
    }

    def step(batch: Batch) -> float:
        """One step of AdamW on the mean loss of the images. Returns the sum of their losses."""
        network.train()
        optimizer.zero_grad()
        total = 0.0
        for tensors in batch.parts:
            terms, coarse = losses(network, tensors, tokens.images, options)
            loss = sum(weights[name] * values.sum() for name, values in terms.items())
            (loss / len(batch.items)).backward()
            total += float(loss.detach())
            values = [float(terms[name].detach().sum()) if name in terms else 0.0 for name in TERMS]
            sums.values[batch.epoch] += values
            both = ((coarse > 0.5).any(dim=1) & (coarse <= 0.5).any(dim=1)).cpu().numpy()
            concepts.values[batch.epoch] += [int((~both).sum()), int(both.sum())]
        optimizer.step()
        return total

    def history(epochs: int) -> tuple[I64, dict[str, Any]]:
        named = TERMS if options.consistency else TERMS[:4]
        means = sums.values[:epochs] / len(tokens.counts)
        return concepts.values[:epochs], {name: means[:, place] for place, name in enumerate(named)}

    loss = train(
        step,
        feed,
        method="sempart",
        remedy="lower segmenter.options.lr",
        seed=seed,
        batch=options.batch,
        epochs=options.epochs,
        state={"network": network, "optimizer": optimizer, "concepts": concepts, "sums": sums},
        checkpoint=checkpoint,
        progress=progress,
        watch=lambda curve: watch(*history(len(curve))),
        mean=lambda steps: np.cumsum(steps)[-1] / feed.items,
    )
    if foreground_share(network, tokens, device) > 0.5:
        network.swap_sides()
    used, columns = history(options.epochs)
    return Training(flat_weights(network), loss, used, columns)


def losses(network: Any, tensors: tuple[Any, ...], images: Any, options: Options) -> tuple[Mapping[str, Any], Any]:
    """The terms of the loss of some views, each (B,), and their coarse masks (B, N)."""
    import torch

    from usseg.stages.heads.dense_head import normalised, resized
    from usseg.stages.heads.multi_scale import Part, consistency, teacher_target
    from usseg.stages.segmenter.cut_losses import (
        color_edges,
        disagreement,
        normalised_cut,
        token_edges,
        total_variation,
    )

    graph = {"tau": options.tau, "eps": options.eps}
    tokens_BChw, rgb = inputs_of(tensors[0], tensors[1], images)
    image = normalised(rgb)
    fine, coarse = map(torch.sigmoid, network(tokens_BChw, image))
    flat = coarse.flatten(1)
    terms = {
        "ncut": normalised_cut(tokens_BChw.flatten(2).transpose(1, 2), flat, **graph),
        "coarse_variation": total_variation(coarse, token_edges(tokens_BChw, **graph)),
        "fine_variation": total_variation(fine, color_edges(resized(image, fine), sigma=options.sigma)),
        "disagreement": disagreement(coarse, fine),
    }
    if options.consistency:
        part_tokens, part_rgb = inputs_of(tensors[2], tensors[3], images)
        part_fine, part_coarse = map(torch.sigmoid, network(part_tokens, normalised(part_rgb)))
        target = teacher_target(
            part_fine, resized(part_rgb, part_fine), radius=options.teacher_radius, eps=options.teacher_eps
        )
        parts = [Part(*numbers) for numbers in tensors[4].tolist()]
        flat_tokens = part_tokens.flatten(2).transpose(1, 2)
        terms["part_ncut"] = normalised_cut(flat_tokens, part_coarse.flatten(1), **graph)
        terms["consistency"] = consistency(fine, parts, tuple(rgb.shape[2:]), target)
    return terms, flat.detach()


def inputs_of(pixels: Any, tokens: Any, images: Any) -> tuple[Any, Any]:
    """Views as the network reads them: tokens (B, C, h, w), and RGB in [0, 1], float32 (B, 3, H, W)."""
    import torch

    if not tokens.shape[1]:  # they are described on the device
        tokens = torch.from_numpy(images.describe(list(pixels.cpu().numpy()))).to(pixels.device)
    grid = (pixels.shape[1] // images.patch, pixels.shape[2] // images.patch)
    return tokens.transpose(1, 2).unflatten(2, grid).contiguous(), pixels.permute(0, 3, 1, 2).float() / 255


def foreground_share(network: Any, tokens: FitTokens, device: str) -> float:
    """The mean of the fine masks of images spread over the fit split, in [0, 1]. The network is in evaluation mode."""
    assert tokens.images is not None
    images = np.unique(np.linspace(0, len(tokens.counts) - 1, POLARITY_IMAGES).round().astype(np.int64))
    shares = []
    mask = mask_function(network.eval(), device)
    for image in images.tolist():
        grid = tokens.images.grids[image].tolist()
        values = tokens.read(np.array([image]))[0]
        shares.append(float(mask(values.reshape(*grid, -1), tokens.images.read(image)).mean(dtype=np.float64)))
    return float(np.mean(shares))


def mask_function(network: Any, device: str) -> Callable[[F32, U8], F32]:
    """The fine mask of an image as a function of its tokens and pixels; see `SegmenterMethod.fine`."""
    import torch

    from usseg.stages.heads.dense_head import normalised

    def mask(tokens_hwC: F32, pixels: U8) -> F32:
        with torch.inference_mode():
            tokens = torch.from_numpy(np.ascontiguousarray(tokens_hwC, np.float32)).to(device).permute(2, 0, 1)[None]
            rgb = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(2, 0, 1)[None].float() / 255
            fine: F32 = torch.sigmoid(network(tokens.contiguous(), normalised(rgb))[0])[0, 0].cpu().numpy()
        return fine

    return mask


def loaded(weights: F32, *, channels: int, patch: int, options: Options, device: str) -> Any:
    """The trained network in evaluation mode."""
    import torch

    with torch.random.fork_rng(devices=[]):
        network = head(channels, patch, options)
    load_weights(network, weights)
    return network.to(device).eval()


def coarse(weights: F32, *, channels: int, patch: int, options: Options, device: str) -> Callable[[F32], I64]:
    """The coarse mask as a function of the tokens (N, C) of an image: int64 (N,), 1 for the object and 0 elsewhere."""
    import torch

    network = loaded(weights, channels=channels, patch=patch, options=options, device=device)

    def labels(tokens_NC: F32) -> I64:
        with torch.inference_mode():
            tokens = torch.from_numpy(np.ascontiguousarray(tokens_NC.T, np.float32))[None, :, :, None].to(device)
            mask: I64 = (network.coarse_logits(tokens)[0, 0, :, 0] > 0).long().cpu().numpy()
        return mask

    return labels


def fine(weights: F32, *, channels: int, patch: int, options: Options, device: str) -> Callable[[F32, U8], F32]:
    """The fine mask of an image as a function of its tokens and pixels."""
    network = loaded(weights, channels=channels, patch=patch, options=options, device=device)
    return mask_function(network, device)


METHOD = SegmenterMethod(
    summary="A head that cuts out the object of an image, trained by the normalised cut (Sempart), with two tricks.",
    call=fit,
    load=coarse,
    fine=fine,
    pixels=True,
    options=Options,
    gpu=on_device,
    source="Sempart (ICCV 2023) as re-implemented in Two Tricks, appendix A, with its multi-scale consistency",
)
