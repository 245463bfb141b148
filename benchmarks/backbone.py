"""`python -m benchmarks.backbone PHOTOS --out usseg_tiny.safetensors`: train a small transformer of our own on unlabelled photos.

ViT-Ti with patches of 8 pixels. Self-distillation as in DINO (class tokens of several crops), with iBOT's loss on masked patches,
Sinkhorn-Knopp targets and the KoLeo term of DINOv2. No label is read. All photos and every augmentation live on the device.
Training lasts `--minutes`: the schedules follow the share of that time that is used up, and a checkpoint beside `--out` lets the
same command continue after a kill.

Letters: B photos a step, V views, N patches of a view, D channels, K prototypes.

Sources: Caron et al. 2021 (DINO); Zhou et al. 2022 (iBOT); Oquab et al. 2024 (DINOv2).
"""

import argparse
import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from usseg.pipeline.images import read_image

SIDE = 160  # pixels of the square that holds a photo
PATCH, CHANNELS, DEPTH, HEADS = 8, 192, 12, 3
GLOBAL, LOCAL = 112, 48  # sides of the views, pixels
LOCALS = 6
MASKED = 0.35  # share of the patches that are hidden in half of the large views
PROTOTYPES = 2048
STUDENT_TEMPERATURE = 0.1
KOLEO = 0.1
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class Photos:
    """All photos on the device, each in the top left corner of a square."""

    pixels: Tensor  # uint8 (photo, 3, SIDE, SIDE)
    sizes: Tensor  # float32 (photo, 2): height and width, pixels

    def __len__(self) -> int:
        return len(self.pixels)


def load_photos(folder: Path, device: str, limit: int | None = None) -> Photos:
    """Read the photos of a folder; a longer side above SIDE pixels is scaled down."""
    import cv2

    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:limit]
    if not paths:
        raise SystemExit(f"{folder}: no .jpg or .png photo")
    square = np.zeros((len(paths), SIDE, SIDE, 3), np.uint8)
    sizes = np.zeros((len(paths), 2), np.float32)

    def read(number: int) -> None:
        image = read_image(paths[number])
        scale = SIDE / max(image.shape[:2])
        if scale < 1:
            width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        square[number, : image.shape[0], : image.shape[1]] = image
        sizes[number] = image.shape[:2]

    with ThreadPoolExecutor() as pool:
        list(pool.map(read, range(len(paths))))
    pixels = torch.from_numpy(square).to(device).permute(0, 3, 1, 2).contiguous()
    return Photos(pixels, torch.from_numpy(sizes).to(device))


def uniform(count: int, low: float, high: float, device: torch.device) -> Tensor:
    """Random numbers (count,)."""
    return torch.empty(count, device=device).uniform_(low, high)


def crops(photos: Photos, chosen: Tensor, side: int, scale: tuple[float, float]) -> Tensor:
    """Random resized and mirrored crops, float32 (B, 3, side, side) in [0, 1]; one a chosen photo."""
    device, count = chosen.device, len(chosen)
    sizes = photos.sizes[chosen]
    area = sizes.prod(dim=1) * uniform(count, *scale, device)
    ratio = uniform(count, math.log(3 / 4), math.log(4 / 3), device).exp()
    height = torch.minimum((area / ratio).sqrt(), sizes[:, 0])
    width = torch.minimum((area * ratio).sqrt(), sizes[:, 1])
    top = torch.rand(count, device=device) * (sizes[:, 0] - height)
    left = torch.rand(count, device=device) * (sizes[:, 1] - width)
    mirror = (torch.rand(count, device=device) < 0.5).float() * -2 + 1
    steps = (torch.arange(side, device=device) + 0.5) / side
    ys = top[:, None] + steps * height[:, None]
    xs = left[:, None] + (0.5 + (steps - 0.5) * mirror[:, None]) * width[:, None]
    grid = torch.stack([xs[:, None, :].expand(-1, side, -1), ys[:, :, None].expand(-1, -1, side)], dim=3)
    images = photos.pixels[chosen].float() / 255
    return functional.grid_sample(images, grid * (2 / SIDE) - 1, align_corners=False, padding_mode="border")


def recoloured(images: Tensor, *, blur: float, solarize: float) -> Tensor:
    """Brightness, contrast, saturation and hue; sometimes grey, blurred or solarised; then ImageNet's normalisation."""
    device, count = images.device, len(images)

    def some(probability: float) -> Tensor:
        return (torch.rand(count, 1, 1, 1, device=device) < probability).float()

    def around_one(strength: float) -> Tensor:
        return 1 + uniform(count, -strength, strength, device)[:, None, None, None]

    weights = torch.tensor([0.299, 0.587, 0.114], device=device)[None, :, None, None]
    jittered = images * around_one(0.4)
    mean = (jittered * weights).sum(dim=1, keepdim=True).mean(dim=(2, 3), keepdim=True)
    jittered = mean + (jittered - mean) * around_one(0.4)
    grey = (jittered * weights).sum(dim=1, keepdim=True)
    jittered = grey + (jittered - grey) * around_one(0.2)
    angle = uniform(count, -0.1, 0.1, device) * 2 * math.pi
    jittered = torch.einsum("bij,bjhw->bihw", hue_rotation(angle), jittered).clamp(0, 1)
    jittered = torch.lerp(images, jittered, some(0.8))
    jittered = torch.lerp(jittered, (jittered * weights).sum(dim=1, keepdim=True), some(0.1))
    jittered = torch.lerp(jittered, blurred(jittered), some(blur))
    jittered = torch.lerp(jittered, torch.where(jittered > 0.5, 1 - jittered, jittered), some(solarize))
    mean = torch.tensor([0.485, 0.456, 0.406], device=device)[None, :, None, None]
    spread = torch.tensor([0.229, 0.224, 0.225], device=device)[None, :, None, None]
    return (jittered - mean) / spread


def hue_rotation(angle: Tensor) -> Tensor:
    """Rotations of RGB about the grey axis, (B, 3, 3)."""
    cosine, sine = angle.cos(), angle.sin() / math.sqrt(3)
    rest = (1 - cosine) / 3
    rows = [rest + cosine, rest - sine, rest + sine]
    return torch.stack([torch.stack(rows[-i:] + rows[:-i], dim=1) for i in range(3)], dim=1)


def blurred(images: Tensor) -> Tensor:
    """Each image blurred by its own Gaussian, of 0.1 to 1.2 pixels."""
    count, _, height, width = images.shape
    sigma = uniform(count, 0.1, 1.2, images.device)
    offsets = torch.arange(-3, 4, device=images.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma[:, None] ** 2))
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)
    flat = functional.pad(images.reshape(1, count * 3, height, width), (3, 3, 3, 3), mode="reflect")
    flat = functional.conv2d(flat, kernel[:, None, :, None], groups=count * 3)
    return functional.conv2d(flat, kernel[:, None, None, :], groups=count * 3).reshape(images.shape)


def masks(count: int, rows: int, device: torch.device) -> Tensor:
    """Hidden patches in blobs: the same number in each view, bool (count, rows * rows)."""
    coarse = torch.rand(count, 1, (rows + 1) // 2, (rows + 1) // 2, device=device)
    smooth = functional.interpolate(coarse, size=(rows, rows), mode="bilinear", align_corners=False)
    noise = (smooth[:, 0] + 0.1 * torch.rand(count, rows, rows, device=device)).flatten(1)
    hidden = torch.zeros(count, rows * rows, dtype=torch.bool, device=device)
    return hidden.scatter_(1, noise.topk(round(MASKED * rows * rows), dim=1).indices, True)


class Network(nn.Module):
    """A transformer in timm's layout and the two heads, of class tokens and of patches."""

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
        """Class token and patches after the final norm, (B, 1 + N, D); hidden patches (B', N) of the first B' images."""
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
    """Projection to prototypes: two layers, unit length, then one weight-normed layer (DINO)."""
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
    """Sinkhorn-Knopp: targets (row, K) that use all prototypes alike."""
    q = (scores.float() / temperature).exp().T
    q /= q.sum()
    for _ in range(3):
        q /= q.sum(dim=1, keepdim=True) * len(q)
        q /= q.sum(dim=0, keepdim=True) * q.shape[1]
    return (q * q.shape[1]).T


def cross_entropy(targets: Tensor, scores: Tensor) -> Tensor:
    """Mean over rows, from targets (row, K) and the student's scores (row, K)."""
    return -(targets * functional.log_softmax(scores.float() / STUDENT_TEMPERATURE, dim=-1)).sum(dim=-1).mean()


def koleo(features: Tensor) -> Tensor:
    """Minus the mean log distance of each row to its nearest other: it keeps the rows apart (DINOv2)."""
    rows = functional.normalize(features.float(), dim=1)
    with torch.no_grad():
        nearest = (rows @ rows.T).fill_diagonal_(-1).argmax(dim=1)
    return -(functional.pairwise_distance(rows, rows[nearest], eps=1e-8) + 1e-8).log().mean()


@dataclass
class Training:
    """Student, teacher, optimiser, and the seconds already spent."""

    student: Network
    teacher: Network
    optimizer: torch.optim.Optimizer
    seconds: float = 0.0
    steps: int = 0

    def state(self) -> dict[str, Any]:
        """All that a continued training needs."""
        parts = {name: getattr(self, name).state_dict() for name in ("student", "teacher", "optimizer")}
        return {**parts, "seconds": self.seconds, "steps": self.steps}


def started(device: str, seed: int) -> Training:
    """A new training: two equal networks."""
    torch.manual_seed(seed)
    student = Network().to(device)
    teacher = copy.deepcopy(student).requires_grad_(False)
    plain = [p for p in student.parameters() if p.requires_grad and p.ndim < 2]
    decayed = [p for p in student.parameters() if p.requires_grad and p.ndim >= 2]
    groups = [{"params": decayed, "decay": 1.0}, {"params": plain, "decay": 0.0}]
    fused = {"fused": True} if device != "cpu" else {}
    return Training(student, teacher, torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), **fused))


def cosine(begin: float, end: float, share: float) -> float:
    """From `begin` to `end` along half a cosine."""
    return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2


def batches(photos: Photos, batch: int) -> Iterator[Tensor]:
    """Numbers of photos in random order, for ever."""
    while True:
        order = torch.randperm(len(photos), device=photos.pixels.device)
        yield from order[: len(order) // batch * batch].split(batch) if len(order) >= batch else [order]


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
    """Train until `seconds` are used up in all; yields the mean losses now and then."""
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
    """The transformer's weights by DINO's names, float16."""
    return {name: value.detach().half().cpu().contiguous() for name, value in network.vit.state_dict().items()}


def main() -> None:
    """Train, or continue, and write the teacher's weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of .jpg or .png photos")
    parser.add_argument("--out", type=Path, required=True, help="weights to write, .safetensors")
    parser.add_argument("--minutes", type=float, default=8.0, help="training time in all, over every start")
    parser.add_argument("--batch", type=int, default=256, help="photos a step")
    parser.add_argument("--rate", type=float, default=1e-3, help="largest learning rate")
    parser.add_argument("--limit", type=int, default=None, help="only so many photos")
    parser.add_argument("--steps", type=int, default=None, help="stop after so many steps")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--compile", action="store_true", help="fuse the blocks' kernels by torch.compile")
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
