from argparse import Namespace
from collections.abc import Callable
from pathlib import Path, PosixPath

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from usseg.pipeline.errors import WeightsError
from usseg.stages.features.checkpoints import read_checkpoint
from usseg.stages.features.networks import check_output, from_state_dict, load_checkpoint, load_vit
from usseg.stages.features.transformer import ViT

State = dict[str, torch.Tensor]


def load(path: Path) -> ViT:
    return load_checkpoint(path, posembed="auto", num_heads=3)


def same(left: State, right: State) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def chunked(state: State) -> State:
    """Two chunks of one block each, numbered on as DINOv2's training does."""
    return {key.replace("blocks.0.", "blocks.0.0.").replace("blocks.1.", "blocks.1.1."): v for key, v in state.items()}


def training(state: State) -> dict[str, object]:
    """A file of DINO's main_dino.py."""
    teacher = {f"backbone.{key}": value for key, value in state.items()} | {"head.mlp.0.weight": torch.ones(2, 2)}
    student = {f"module.{key}": 2 * value if value.is_floating_point() else value for key, value in teacher.items()}
    args = Namespace(arch="vit_small", output_dir=PosixPath("out"), lr=np.float64(0.1))
    return {
        "student": student,
        "teacher": teacher,
        "optimizer": {"state": {}},
        "epoch": 3,
        "args": args,
        "loss": np.float32(1),
    }


def both_networks(state: State) -> dict[str, object]:
    """A file of DINOv2's training: all networks in one state dict, blocks in chunks."""
    parts = {f"student.backbone.{key}": 2 * value for key, value in chunked(state).items()}
    parts |= {f"teacher.backbone.{key}": value for key, value in chunked(state).items()}
    return {"model": parts | {"teacher.dino_head.last_layer.weight": torch.ones(3, 3)}, "iteration": 5}


def hugging_face_vit(state: State) -> State:
    """facebook/dino-vits16 in Hugging Face's keys."""
    found = {"pooler.dense.weight": torch.ones(24, 24)}
    names = {
        "cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj": "embeddings.patch_embeddings.projection", "norm1": "layernorm_before",
        "norm2": "layernorm_after", "attn.proj": "attention.output.dense", "mlp.fc1": "intermediate.dense",
        "mlp.fc2": "output.dense",
    }  # fmt: skip
    for key, value in state.items():
        if key.startswith("norm."):
            found[f"layernorm.{key[5:]}"] = value
        elif ".qkv." in key:
            _, block, _, _, kind = key.split(".")
            for name, part in zip(("query", "key", "value"), value.chunk(3), strict=True):
                found[f"encoder.layer.{block}.attention.attention.{name}.{kind}"] = part.clone()
        else:
            plain = key.replace("blocks.", "encoder.layer.")
            for ours, theirs in names.items():
                plain = (
                    plain.replace(f".{ours}.", f".{theirs}.")
                    if plain.startswith("encoder")
                    else plain.replace(ours, theirs)
                )
            found[plain] = value
    return found


LAYOUTS: dict[str, Callable[[State], object]] = {
    "training": training,
    "both networks": both_networks,
    "chunked": chunked,
    "chunked from 0": lambda s: {
        k.replace("blocks.0.", "blocks.0.0.").replace("blocks.1.", "blocks.1.0."): v for k, v in s.items()
    },
    "hugging face": hugging_face_vit,
    "hugging face, in a model": lambda state: {f"vit.{key}": value for key, value in hugging_face_vit(state).items()},
    "teacher.backbone": lambda state: {f"teacher.backbone.{key}": value for key, value in state.items()},
    "student only": lambda state: {"student": {f"module.backbone.{key}": value for key, value in state.items()}},
    "decoder": lambda state: {
        "model": {**state, "decoder_embed.weight": torch.ones(2, 2), "mask_token": torch.ones(1)}
    },
    "with numbers beside": lambda state: {**state, "epoch": 3},
    "official": lambda state: state,
    "teacher": lambda state: {"teacher": state, "student": {}, "epoch": 3},
    "module and backbone": lambda state: {f"module.backbone.{key}": value for key, value in state.items()},
    "teacher with backbone": lambda state: {"teacher": {f"backbone.{key}": value for key, value in state.items()}},
    "state_dict": lambda state: {"state_dict": state},
    "heads": lambda state: {**state, "head.weight": torch.zeros(2, 2), "dino_head.mlp.0.bias": torch.zeros(2)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_read_alike(tmp_path: Path, dino_state: State, layout: str) -> None:
    torch.save(LAYOUTS[layout](dino_state), tmp_path / "weights.pth")
    assert same(read_checkpoint(tmp_path / "weights.pth"), dino_state)


def test_safetensors_and_pth_are_read_alike(tmp_path: Path, dino_state: State) -> None:
    torch.save(dino_state, tmp_path / "weights.pth")
    for name in ("weights.safetensors", "weights.SafeTensors"):
        save_file(dino_state, tmp_path / name)
        assert same(read_checkpoint(tmp_path / "weights.pth"), read_checkpoint(tmp_path / name))
    assert same(read_checkpoint(tmp_path / "weights.pth"), read_checkpoint(tmp_path / "weights.safetensors"))
    vit = load(tmp_path / "weights.safetensors")
    assert (vit.patch_size, vit.channels, vit.num_heads, vit.num_prefix) == (8, 24, 3, 1)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def web_page(path: Path) -> None:
    path.write_text("<html>\n404 not found\n</html>")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("spoil", [truncated, emptied, web_page])
def test_half_a_download_is_one_line(
    tmp_path: Path, dino_state: State, suffix: str, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / f"weights.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(dino_state, path)
    spoil(path)
    with pytest.raises(WeightsError, match=rf"weights\.{suffix} cannot be read .*is the download complete\?") as error:
        load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_missing_file(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(WeightsError, match=rf"^features\.options\.weights: no file .*gone\.{suffix}$"):
        load(tmp_path / f"gone.{suffix}")


class Payload:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return (Path.touch, (Path("executed"),))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"epoch": 3, "loss": 0.5}, "holds no state dict"),
        ([torch.zeros(2)], "holds no state dict"),
        ({}, "holds no state dict"),
        ({"weight": torch.zeros(2, 2)}, "found no cls_token; the official DINO or DINOv2 layout is needed"),
        ({"model": Payload()}, "cannot be read"),
    ],
)
def test_what_is_no_state_dict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: object, line: str) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, "weights.pth")
    with pytest.raises(WeightsError, match=line):
        load(tmp_path / "weights.pth")
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("blocks.1.attn.proj.weight", torch.zeros(24, 23), r"blocks\.1\.attn\.proj\.weight is \(24, 23\), \(24, 24\)"),
        ("blocks.1.attn.proj.weight", None, r"missing \['blocks\.1\.attn\.proj\.weight'\]"),
        ("blocks.1.attn.bias_k", torch.zeros(3), r"unknown \['blocks\.1\.attn\.bias_k'\]"),
        ("pos_embed", torch.zeros(1, 16, 23), r"pos_embed is \(1, 16, 23\)"),
        ("pos_embed", torch.zeros(1, 13, 24), r"pos_embed is \(1, 13, 24\), \(1, 1 \+ a square number, 24\) is needed"),
        ("pos_embed", torch.zeros(17, 24), r"found pos_embed of shape \(17, 24\)"),
        ("patch_embed.proj.weight", torch.zeros(24, 192), r"found patch_embed\.proj\.weight of shape \(24, 192\)"),
        ("blocks.0.mlp.fc1.weight", None, r"found no blocks\.0\.mlp\.fc1\.weight"),
    ],
)
def test_weights_that_do_not_fit(dino_state: State, key: str, value: torch.Tensor | None, line: str) -> None:
    dino_state.pop(key, None)
    if value is not None:
        dino_state[key] = value
    with pytest.raises(WeightsError, match=rf"^features\.options\.weights: .*{line}"):
        from_state_dict(dino_state, num_heads=3)


def test_heads_that_do_not_divide_the_channels(dino_state: State) -> None:
    with pytest.raises(WeightsError, match=r"features\.options\.num_heads: found 5; it must divide the 24 channels"):
        from_state_dict(dino_state, num_heads=5)


def test_weights_of_another_model_are_refused(tmp_path: Path, dino_state: State) -> None:
    torch.save(dino_state, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=r"weights\.pth does not fit the backbone"):
        load_vit("vit_tiny_patch16_224", weights=tmp_path / "weights.pth", posembed="auto")


def test_weights_without_positions_are_refused(tmp_path: Path) -> None:
    """They would be left at random."""
    import timm

    state = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    del state["pos_embed"]
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=r"missing \['pos_embed'\]"):
        load_vit("vit_tiny_patch16_224", weights=tmp_path / "weights.pth", posembed="auto")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_float_becomes_float32(tmp_path: Path, dino_state: State, dtype: torch.dtype) -> None:
    torch.save({key: value.to(dtype) for key, value in dino_state.items()}, tmp_path / "weights.pth")
    found = read_checkpoint(tmp_path / "weights.pth")
    assert all(value.dtype == torch.float32 for value in found.values())
    torch.testing.assert_close(found["cls_token"], dino_state["cls_token"], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda s: {k: torch.zeros_like(v) for k, v in s.items()}, "all weights are 0; take another checkpoint"),
        (lambda s: {k: v.to(torch.int8) for k, v in s.items()}, "is torch.int8; floating-point weights are needed"),
        (
            lambda s: {**s, "norm.bias": s["norm.bias"] * float("nan")},
            "norm.bias holds NaN, infinity or what .*; take another",
        ),
        (lambda s: {**s, "norm.bias": s["norm.bias"] / 0}, "norm.bias holds NaN, infinity or what .*; take another"),
        (lambda s: {**s, "norm.bias": s["norm.bias"].double() * 1e300}, "norm.bias holds .* what float32 cannot hold"),
        (
            lambda s: {**s, "norm.bias": s["norm.bias"].to("meta")},
            "norm.bias is a meta tensor; a dense one with numbers",
        ),
        (
            lambda s: {**s, "norm.bias": s["norm.bias"].to_sparse()},
            "norm.bias is a sparse_coo tensor; a dense one with",
        ),
        (lambda s: {"rope_embed.periods": s["cls_token"]}, "the layout is that of DINOv3; take backbone: vit"),
        (lambda s: {"visual.transformer.resblocks.0.ln_1.weight": s["norm.bias"]}, "the layout is that of CLIP"),
        (lambda s: {"layer1.0.conv1.weight": s["cls_token"]}, "the layout is that of a ResNet"),
        (lambda s: {"weight": s["cls_token"]}, "the keys are such as weight"),
        (
            lambda s: {"teacher": s, "config": Config()},
            r"it holds Python objects \(\S*Config\), .* save the state dict alone",
        ),
    ],
)
def test_what_is_no_checkpoint_says_what_it_is(
    tmp_path: Path, dino_state: State, spoil: Callable[[State], object], line: str
) -> None:
    torch.save(spoil(dino_state), tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=line) as error:
        load(tmp_path / "weights.pth")
    assert "\n" not in str(error.value)


class Config:
    """A class of somebody's training code."""


def test_what_is_left_out_is_counted(tmp_path: Path, dino_state: State, caplog: pytest.LogCaptureFixture) -> None:
    torch.save(training(dino_state), tmp_path / "weights.pth")
    with caplog.at_level("INFO", "usseg"):
        read_checkpoint(tmp_path / "weights.pth")
    count = len(dino_state)
    assert f"weights.pth: {count} of {count + 1} tensors are read; heads and other networks are left out" in caplog.text


@pytest.mark.parametrize("key", ["blocks.1.attn.qkv", "patch_embed.proj"])
def test_constant_output_is_refused(dino_state: State, key: str) -> None:
    for kind in ("weight", "bias"):
        dino_state[f"{key}.{kind}"] = torch.zeros_like(dino_state[f"{key}.{kind}"])
    with pytest.raises(WeightsError, match="the transformer gives the same k for every image"):
        check_output(from_state_dict(dino_state, num_heads=3), "k")


def test_an_ordinary_transformer_is_not_refused(dino_state: State) -> None:
    for facet in ("k", "q", "v", "tokens"):
        check_output(from_state_dict(dino_state, num_heads=3), facet)
