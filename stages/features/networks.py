"""Networks of timm and of checkpoint files, loaded and frozen."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from usseg.pipeline.errors import WeightsError
from usseg.stages.features.checkpoints import layout_of, load_state, one_line, read_checkpoint
from usseg.stages.features.transformer import ViT, extract


def load_vit(name: str, *, weights: Path | None, posembed: str, device: str = "cpu") -> ViT:
    """Load a transformer by its timm name, from the hub or from a local file.

    Args:
        name: a timm name (`vit_small_patch16_224.dino`).
        weights: a file with the weights of this model, in any layout that `read_checkpoint` takes; None: timm's hub.
        posembed: `auto` or a key of posembed.RULES.
        device: a torch device.

    Raises:
        WeightsError: the name is unknown, the weights cannot be read or downloaded, or they do not fit the model.
    """
    state = {} if weights is None else read_checkpoint(weights)
    model = plain_transformer(name, pretrained=weights is None)
    # A rotary model computes its positions itself, even if it has a position embedding too.
    rotary = getattr(model, "rope", None) is not None
    position: torch.Tensor | None = None if rotary else getattr(model, "pos_embed", None)
    if weights is not None:
        load_state(model, state, str(weights))
        official_position = state.get("pos_embed")
        position = official_position if official_position is not None and not rotary else position
    registers = int(getattr(model, "num_reg_tokens", 0) or 0)
    return finish(model, rule_of(posembed, name, registers), position, device)


def load_checkpoint(weights: Path, *, posembed: str, num_heads: int | None = None, device: str = "cpu") -> ViT:
    """Load the transformer of a local file. The shapes of the weights give the shape of the network.

    Args:
        weights: `.pth` or `.safetensors` of DINO or DINOv2.
        posembed: `auto` or a key of posembed.RULES.
        num_heads: attention heads, which a state dict does not contain; None: channels / 64.
        device: a torch device.

    Raises:
        WeightsError: the weights cannot be read or do not fit.
    """
    return from_state_dict(read_checkpoint(weights), num_heads=num_heads, posembed=posembed, device=device)


def plain_transformer(name: str, *, pretrained: bool) -> Any:
    """Build a transformer by its timm name, with weights from the hub where `pretrained`.

    Raises:
        WeightsError: the name is unknown, the model is no plain transformer, or the weights cannot be downloaded.
    """
    try:
        model = timm_model(name, pretrained=pretrained, num_classes=0, dynamic_img_size=True)
    except TypeError:  # the model has no option dynamic_img_size
        model = None
    if not all(hasattr(model, part) for part in ("blocks", "cls_token", "patch_embed")):
        raise WeightsError(
            f"features.options.name: {name} is no plain vision transformer; a ViT with a class token is needed; "
            "convolutional networks are of backbone: cnn"
        )
    return model


def check_name(name: str, *, pretrained: bool) -> None:
    """Refuse a name that timm does not know, or, with `pretrained`, one without weights in timm.

    Raises:
        WeightsError: lists similar names.
    """
    import timm

    base = name.partition(".")[0]
    if not timm.is_model(base) or (pretrained and not timm.is_model_pretrained(name)):
        close = timm.list_models(f"*{base[:12]}*", pretrained=pretrained)[:5]
        what = "weights for" if timm.is_model(base) else "model"
        raise WeightsError(
            f"features.options.name: timm has no {what} {name!r}; names like it: {', '.join(close) or 'none'}"
        )


def timm_model(name: str, *, pretrained: bool, **options: Any) -> Any:
    """Build a model by its timm name, with weights from the hub where `pretrained`, else random.

    Raises:
        WeightsError: the name is unknown, or the weights cannot be downloaded.
        TypeError: the model has no such option of `timm.create_model`.
    """
    import timm

    check_name(name, pretrained=pretrained)
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except TypeError:
        raise
    except Exception as error:  # the hub, the network and the readers of weights share no type
        raise WeightsError(
            f"features.options.name: the weights of {name} could not be downloaded or read ({one_line(error)}); "
            "try again with a network, remove a broken file from the hub's cache, "
            "or give a local file as features.options.weights"
        ) from error


def frozen(model: Any, device: str) -> Any:
    """Prepare a model for inference on its device, in full float32 precision."""
    # By default torch rounds the operands of convolutions to 10 bits on a GPU.
    torch.backends.cudnn.allow_tf32 = False
    return model.eval().requires_grad_(False).to(device)


def rule_of(posembed: str, name: str, registers: int) -> str:
    """The position rule of a model. `auto` is resolved by its name and its number of registers."""
    if posembed != "auto":
        return "dinov2_reg" if posembed == "dinov2" and registers else posembed
    if "dinov2" in name:
        return "dinov2_reg" if registers else "dinov2"
    return "dino" if ".dino" in name or name == "checkpoint" else "timm"


def from_state_dict(
    state: Mapping[str, torch.Tensor], *, num_heads: int | None = None, posembed: str = "auto", device: str = "cpu"
) -> ViT:
    """Build the transformer of these weights. The layout is the official one of DINO or DINOv2; the size is arbitrary.

    Args:
        state: tensors by official key; `register_tokens` and `blocks.0.ls1.gamma` are optional.
        num_heads: attention heads; None: channels / 64.
        posembed: `auto` (the rule of DINOv2 where there is LayerScale, else of DINO) or the name of a rule.
        device: a torch device.
    """
    from timm.layers.mlp import Mlp, SwiGLUPacked
    from timm.models.vision_transformer import VisionTransformer

    axes = {"cls_token": 3, "pos_embed": 3, "patch_embed.proj.weight": 4, "blocks.0.mlp.fc1.weight": 2}
    for key, number in axes.items():
        if key not in state or state[key].ndim != number:
            found = f"{key} of shape {tuple(state[key].shape)}" if key in state else f"no {key}"
            raise WeightsError(
                f"features.options.weights: found {found}; "
                f"the official DINO or DINOv2 layout is needed, or Hugging Face's; {layout_of(state)}"
            )
    channels, _, patch, _ = state["patch_embed.proj.weight"].shape
    depth = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
    registers = state["register_tokens"].shape[1] if "register_tokens" in state else 0
    side = round((state["pos_embed"].shape[1] - 1) ** 0.5)
    layer_scale = "blocks.0.ls1.gamma" in state
    hidden = state["blocks.0.mlp.fc1.weight"].shape[0]
    gated = hidden == 2 * state.get("blocks.0.mlp.fc2.weight", state["blocks.0.mlp.fc1.weight"]).shape[1]
    mlp: Any = SwiGLUPacked if gated else Mlp
    heads = num_heads or max(1, channels // 64)
    if channels % heads:
        raise WeightsError(
            f"features.options.num_heads: found {heads}; it must divide the {channels} channels of the weights"
        )
    model = VisionTransformer(
        img_size=side * patch,
        patch_size=patch,
        embed_dim=channels,
        depth=depth,
        num_heads=heads,
        mlp_ratio=(hidden + 0.5) / channels,  # timm rounds down
        mlp_layer=mlp,
        act_layer=torch.nn.SiLU if gated else torch.nn.GELU,
        qkv_bias="blocks.0.attn.qkv.bias" in state,
        init_values=1.0 if layer_scale else None,
        reg_tokens=registers,
        num_classes=0,
        dynamic_img_size=True,
    )
    load_state(model, state, "the checkpoint")
    name = "dinov2" if layer_scale else "checkpoint"
    return finish(model, rule_of(posembed, name, registers), state["pos_embed"], device)


def finish(model: Any, rule: str, position: torch.Tensor | None, device: str) -> ViT:
    """Freeze a model on its device, and complete its position embedding with a class row where it has none."""
    if position is not None and position.shape[1] == int(model.patch_embed.num_patches):
        # timm adds the class row to the class token in models whose class token has no position.
        position = torch.cat([torch.zeros_like(position[:, :1]), position], dim=1)
    model = frozen(model, device)
    patch = model.patch_embed.patch_size
    block = model.blocks[-1]
    return ViT(
        model,
        rule,
        None if position is None else position.detach().float().to(device),
        int(patch[0] if isinstance(patch, (tuple, list)) else patch),
        int(model.embed_dim),
        int(block.attn.num_heads),
        int(model.num_prefix_tokens),
    )


def check_output(vit: ViT, facet: str) -> None:
    """Refuse a transformer whose patch features are equal for any two images.

    Args:
        vit: the transformer.
        facet: `k`, `q`, `v` or `tokens`, as `extract` names them.

    Raises:
        WeightsError: the features of two random images are equal or not finite.
    """
    side = 2 * vit.patch_size
    noise = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    first, second = extract(vit, noise.to(next(vit.model.parameters()).device))[facet][:, vit.num_prefix :].float()
    if not bool((first - second).abs().max() > 1e-6 * first.abs().max()):
        raise WeightsError(
            f"features.options.weights: the transformer gives the same {facet} for every image, "
            "or none that is finite; take another checkpoint"
        )
