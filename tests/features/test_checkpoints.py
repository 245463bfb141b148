from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline.errors import WeightsError
from stages.features.backbones import ViT, from_state_dict, load_vit
from stages.features.checkpoints import read_checkpoint

State = dict[str, torch.Tensor]


def load(path: Path) -> ViT:
    return load_vit("checkpoint", weights=path, posembed="auto", num_heads=3)


def same(left: State, right: State) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


LAYOUTS: dict[str, Callable[[State], object]] = {
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
    save_file(dino_state, tmp_path / "weights.safetensors")
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
    with pytest.raises(WeightsError, match=rf"^features\.weights: no file .*gone\.{suffix}$"):
        load(tmp_path / f"gone.{suffix}")


class Payload:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return (Path.touch, (Path("executed"),))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({"epoch": 3, "loss": 0.5}, "holds no state dict"),
        ([torch.zeros(2)], "holds no state dict"),
        ({}, "found no cls_token"),
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
    with pytest.raises(WeightsError, match=rf"^features\.weights: .*{line}"):
        from_state_dict(dino_state, num_heads=3)


def test_heads_that_do_not_divide_the_channels(dino_state: State) -> None:
    with pytest.raises(WeightsError, match=r"features\.num_heads: found 5; it must divide the 24 channels"):
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


def test_checkpoint_needs_a_file() -> None:
    with pytest.raises(WeightsError, match="checkpoint needs features.weights"):
        load_vit("checkpoint", weights=None, posembed="auto")
