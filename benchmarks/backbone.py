"""`python -m benchmarks.backbone PHOTOS --out usseg_tiny.safetensors`: train a small transformer on unlabelled photos.

The network is a ViT-Ti with patches of 8 pixels. The losses are self-distillation as in DINO (class tokens of several
crops), the loss of iBOT on masked patches, and the KoLeo term of DINOv2; the targets are by Sinkhorn-Knopp. No label is
read. All photos are on the device, where they are also augmented. The training lasts `--minutes`, and its schedules
follow the used share of this time. A checkpoint next to `--out` lets the same command resume after a kill.

Letters: B photos a step, V views, N patches of a view, D channels, K prototypes.

Sources: Caron et al. 2021 (DINO); Zhou et al. 2022 (iBOT); Oquab et al. 2024 (DINOv2).
"""

import argparse
import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.views import Photos, batches, crops, load_photos, masks, recoloured

PATCH, CHANNELS, DEPTH, HEADS = 8, 192, 12, 3
GLOBAL, LOCAL = 112, 48  # sides of the views, pixels
LOCALS = 6
PROTOTYPES = 2048
STUDENT_TEMPERATURE = 0.1
KOLEO = 0.1
CHECKPOINT_SECONDS = 60.0


class Network(nn.Module):
    """A transformer in timm's layout, with one head for class tokens and one for patches."""

    def __init__(self) -> None:
        super().__init__()
        from timm.models.vision_transformer import VisionTransformer

        self.vit = VisionTransformer(
            img_size=GLOBAL,
            patch_size=PATCH,
            embed_dim=CHANNELS,
            depth=DEPTH,
            num_heads=HEADS,
            num_classes=0,
            dynamic_img_size=True,
        )
        self.hidden_token = nn.Parameter(torch.zeros(1, 1, CHANNELS))
        self.class_head, self.patch_head = head(), head()

    def tokens(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Class token and patches after the final norm, (B, 1 + N, D). `hidden` (B', N) masks the first B' images."""
        patches = self.vit.patch_embed.proj(images)
        rows = patches.shape[2]
        patches = patches.flatten(2).transpose(1, 2)
        if hidden is not None:
            shown = torch.where(hidden[:, :, None], self.hidden_token.to(patches.dtype), patches[: len(hidden)])
            patches = torch.cat([shown, patches[len(hidden) :]])
        position = self.vit.pos_embed
        if rows != GLOBAL // PATCH:
            square = position[:, 1:].transpose(1, 2).unflatten(2, (GLOBAL // PATCH, GLOBAL // PATCH))
            square = functional.interpolate(square, size=(rows, rows), mode="bicubic", align_corners=False)
            position = torch.cat([position[:, :1], square.flatten(2).transpose(1, 2)], dim=1)
        tokens = torch.cat([self.vit.cls_token.expand(len(images), -1, -1), patches], dim=1) + position
        for block in self.vit.blocks:
            tokens = block(tokens)
        return self.vit.norm(tokens)


def head() -> nn.Module:
    """Projection to prototypes as in DINO: two layers, unit length, and one weight-normed layer."""
    last = nn.utils.parametrizations.weight_norm(nn.Linear(256, PROTOTYPES, bias=False))
    last.parametrizations.weight.original0.data.fill_(1)
    last.parametrizations.weight.original0.requires_grad = False
    return nn.Sequential(nn.Linear(CHANNELS, 1024), nn.GELU(), nn.Linear(1024, 256), UnitLength(), last)


class UnitLength(nn.Module):
    """Scale rows to unit length."""

    def forward(self, rows: Tensor) -> Tensor:
        return functional.normalize(rows, dim=-1)


@torch.no_grad()
def assignments(scores: Tensor, temperature: float) -> Tensor:
    """Targets (row, K) by Sinkhorn-Knopp, which use all prototypes equally."""
    q = (scores.float() / temperature).exp().T
    q /= q.sum()
    for _ in range(3):
        q /= q.sum(dim=1, keepdim=True) * len(q)
        q /= q.sum(dim=0, keepdim=True) * q.shape[1]
    return (q * q.shape[1]).T


def cross_entropy(targets: Tensor, scores: Tensor) -> Tensor:
    """Mean cross entropy over rows, of targets (row, K) and scores (row, K) of the student."""
    return -(targets * functional.log_softmax(scores.float() / STUDENT_TEMPERATURE, dim=-1)).sum(dim=-1).mean()


def koleo(features: Tensor) -> Tensor:
    """KoLeo loss of DINOv2: minus the mean log distance of each row to its nearest row. It spreads the rows."""
    rows = functional.normalize(features.float(), dim=1)
    with torch.no_grad():
        nearest = (rows @ rows.T).fill_diagonal_(-1).argmax(dim=1)
    return -(functional.pairwise_distance(rows, rows[nearest], eps=1e-8) + 1e-8).log().mean()


@dataclass
class Training:
    """Student, teacher, optimiser, and the seconds of training so far."""

    student: Network
    teacher: Network
    optimizer: torch.optim.Optimizer
    seconds: float = 0.0
    steps: int = 0

    def state(self) -> dict[str, Any]:
        """The content of a checkpoint."""
        parts = {name: getattr(self, name).state_dict() for name in ("student", "teacher", "optimizer")}
        return {**parts, "seconds": self.seconds, "steps": self.steps}


def started(device: str, seed: int) -> Training:
    """Start a training: student and teacher are equal."""
    torch.manual_seed(seed)
    student = Network().to(device)
    teacher = copy.deepcopy(student).requires_grad_(False)
    plain = [p for p in student.parameters() if p.requires_grad and p.ndim < 2]
    decayed = [p for p in student.parameters() if p.requires_grad and p.ndim >= 2]
    groups = [{"params": decayed, "decay": 1.0}, {"params": plain, "decay": 0.0}]
    fused = {"fused": True} if device != "cpu" else {}
    return Training(student, teacher, torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), **fused))


def cosine(begin: float, end: float, share: float) -> float:
    """Value of a cosine schedule from `begin` to `end` at `share` (0 to 1)."""
    return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2


def losses(training: Training, photos: Photos, chosen: Tensor, share: float, dtype: torch.dtype) -> dict[str, Tensor]:
    """The three losses of one step."""
    device, count = photos.pixels.device, len(chosen)
    twice = chosen.repeat(2)
    large = crops(photos, twice, GLOBAL, (0.3, 1.0))
    large = torch.cat(
        [recoloured(large[:count], blur=0.6, solarize=0.0), recoloured(large[count:], blur=0.1, solarize=0.1)]
    )
    small = recoloured(crops(photos, chosen.repeat(LOCALS), LOCAL, (0.05, 0.3)), blur=0.3, solarize=0.0)
    hidden = masks(count, GLOBAL // PATCH, device)
    temperature = cosine(0.04, 0.07, min(1.0, share / 0.2))
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        with torch.no_grad():
            seen = training.teacher.tokens(large)
            class_targets = assignments(training.teacher.class_head(seen[:, 0]), temperature)
            patch_targets = assignments(training.teacher.patch_head(seen[:count, 1:][hidden]), temperature)
        # The masked half is the first view of every photo.
        tokens, local_tokens = training.student.tokens(large, hidden), training.student.tokens(small)
        scores = training.student.class_head(torch.cat([tokens[:, 0], local_tokens[:, 0]]))
        patch_scores = training.student.patch_head(tokens[:count, 1:][hidden])
    first, second = class_targets.chunk(2)
    views = scores.chunk(2 + LOCALS)
    pairs = [(second, views[0]), (first, views[1])]
    pairs += [(target, view) for view in views[2:] for target in (first, second)]
    return {
        "class": torch.stack([cross_entropy(target, view) for target, view in pairs]).mean(),
        "patch": cross_entropy(patch_targets, patch_scores),
        "koleo": KOLEO * koleo(tokens[count:, 0]),
    }


def train(
    training: Training,
    photos: Photos,
    *,
    seconds: float,
    batch: int,
    rate: float,
    dtype: torch.dtype,
    save: Callable[[Training], None],
    most_steps: int | None = None,
) -> Iterator[dict[str, float]]:
    """Train until `seconds` have been used over all starts. Yields the mean losses about every 10 seconds."""
    device = photos.pixels.device
    begun, before = time.monotonic(), training.seconds
    saved = shown = begun
    sums: dict[str, Tensor] = {}
    held = 0
    student_values = list(training.student.parameters())
    teacher_values = list(training.teacher.parameters())
    for chosen in batches(photos, batch):
        share = training.seconds / seconds
        if share >= 1 or (most_steps is not None and training.steps >= most_steps):
            break
        warm = min(1.0, share / 0.05)
        for group in training.optimizer.param_groups:
            group["lr"] = warm * cosine(rate, rate / 100, share)
            group["weight_decay"] = group["decay"] * cosine(0.04, 0.2, share)
        parts = losses(training, photos, chosen, share, dtype)
        total = torch.stack(list(parts.values())).sum()
        training.optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(training.student.parameters(), 1.0)
        training.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(teacher_values, student_values, 1 - cosine(0.992, 1.0, share))
        training.steps += 1
        held += 1
        for name, value in parts.items():
            sums[name] = sums.get(name, 0) + value.detach()
        if training.steps % 20 == 0 and device.type != "cpu":
            torch.cuda.synchronize(device)
        now = time.monotonic()
        training.seconds = before + now - begun
        if now - shown > 10 or (most_steps is not None and training.steps == most_steps):
            means = {name: float(value) / held for name, value in sums.items()}
            if not all(map(math.isfinite, means.values())):
                raise SystemExit(f"step {training.steps}: a loss is not finite: {means}; try a smaller --rate")
            yield {
                "steps": training.steps,
                "seconds": training.seconds,
                "photos": held * batch / (now - shown),
                **means,
            }
            sums, held, shown = {}, 0, now
        if now - saved > CHECKPOINT_SECONDS:
            save(training)
            saved = now
    save(training)


def official_layout(network: Network) -> dict[str, Tensor]:
    """Weights of the transformer with the names of DINO, float16."""
    return {name: value.detach().half().cpu().contiguous() for name, value in network.vit.state_dict().items()}


def main() -> None:
    """Train, or resume, and write the weights of the teacher."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of .jpg or .png photos")
    parser.add_argument("--out", type=Path, required=True, help="weights to write, .safetensors")
    parser.add_argument("--minutes", type=float, default=8.0, help="training time over all starts")
    parser.add_argument("--batch", type=int, default=256, help="photos of a step")
    parser.add_argument("--rate", type=float, default=1e-3, help="largest learning rate")
    parser.add_argument("--limit", type=int, default=None, help="largest number of photos")
    parser.add_argument("--steps", type=int, default=None, help="stop after this number of steps")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--compile", action="store_true", help="compile the blocks with torch.compile")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    from safetensors.torch import save_file

    photos = load_photos(options.photos, options.device, options.limit)
    training = started(options.device, options.seed)
    kept = options.out.with_suffix(".checkpoint")
    if kept.exists():
        state = torch.load(kept, map_location=options.device, weights_only=True)
        for name in ("student", "teacher", "optimizer"):
            getattr(training, name).load_state_dict(state[name])
        training.seconds, training.steps = state["seconds"], state["steps"]
        torch.manual_seed(options.seed + training.steps)
        print(f"continuing at step {training.steps}, {training.seconds:.0f} s", flush=True)
    if options.compile:
        for network in (training.student, training.teacher):
            for block in network.vit.blocks:
                block.compile()

    def save(current: Training) -> None:
        torch.save(current.state(), kept.with_suffix(".new"))
        kept.with_suffix(".new").replace(kept)

    dtype = torch.float32 if options.device == "cpu" else torch.bfloat16
    print(f"{len(photos)} photos on {options.device}", flush=True)
    for line in train(
        training,
        photos,
        seconds=60 * options.minutes,
        batch=options.batch,
        rate=options.rate,
        dtype=dtype,
        save=save,
        most_steps=options.steps,
    ):
        print(json.dumps({name: round(value, 4) for name, value in line.items()}), flush=True)
    save_file(official_layout(training.teacher), options.out)
    print(f"{options.out}: {training.steps} steps in {training.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
