"""Checkpoints of the published AdvMoE code, made by a generator of ours, through tools/convert_advmoe.py."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest
import torch
from program_help import built
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tools"), str(ROOT / "tests" / "train")]
import convert_advmoe  # noqa: E402
import make_advmoe_golden  # noqa: E402


def run(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "tools" / "convert_advmoe.py", *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def test_every_tensor_has_its_name(tmp_path):
    network, router, _ = make_advmoe_golden.published(3, tmp_path / "model_best.pth.tar")
    done = run(tmp_path / "model_best.pth.tar", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    made = load_file(tmp_path / "run" / "best.safetensors")
    theirs = network.state_dict()
    assert torch.equal(made["model/backbone.stem.conv.weight"], theirs["conv1.weight"])
    assert torch.equal(made["model/backbone.stage2_1.shortcut.conv.norm_bias"], theirs["layer2.0.shortcut.1.bias"])
    assert torch.equal(made["model/backbone.stage4_2.conv2.conv.running_var"], theirs["layer4.1.bn2.running_var"])
    assert torch.equal(made["model/backbone.head.bias"], theirs["linear.bias"])
    assert torch.equal(made["model/router.stage3_3.conv1.weight"], router.state_dict()["layer3.2.conv1.weight"])
    assert torch.equal(made["model/router.head_weight"], router.state_dict()["fc.weight"])
    counts = [name for state in (theirs, router.state_dict()) for name in state if "num_batches" not in name]
    assert len(made) == len(counts)
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert recipe["network"]["experts"] == make_advmoe_golden.EXPERTS
    assert recipe["network"]["ratio"] == make_advmoe_golden.RATIO


def test_the_golden_checkpoint_is_what_the_generator_writes(tmp_path):
    make_advmoe_golden.published(make_advmoe_golden.SEED, tmp_path / "a.pth.tar")
    (tmp_path / "made.safetensors").write_bytes(convert_advmoe.convert(tmp_path / "a.pth.tar")[0])
    made = load_file(tmp_path / "made.safetensors")
    golden = load_file(ROOT / "tests" / "train" / "golden" / "advmoe_checkpoint.safetensors")
    assert made.keys() == golden.keys()
    assert all(torch.allclose(made[name], golden[name], atol=2e-3) for name in made)


def test_the_program_attacks_what_was_converted(tmp_path):
    program = built()
    make_advmoe_golden.published(1, tmp_path / "a.pth.tar")
    assert run(tmp_path / "a.pth.tar", tmp_path / "run").returncode == 0
    recipe = json.loads((tmp_path / "run" / "recipe.json").read_text())
    recipe["data"] = {"part": "synthetic", "classes": 10, "channels": 3, "height": 16, "width": 16, "test": 20}
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(recipe))
    command = [program, "attack", str(tmp_path / "run"), "--with", "noise", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 20


class Code:
    def __reduce__(self):
        return (print, ("run by a pickle",))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda saved: saved.pop("router"), 'with "state_dict" and "router"'),
        (lambda saved: saved.update(arch="vgg16_bn_moe"), "other backbones are not converted"),
        (lambda saved: saved["state_dict"].pop("layer3.1.bn2.bias"), "missing: layer3.1.bn2.bias"),
        (lambda saved: saved["router"].update(more=torch.zeros(1)), "unexpected: more"),
        (lambda saved: saved["state_dict"].update({"normalize.mean": torch.zeros(3)}), "normalises its input"),
        (lambda saved: saved.update(best_acc=Code()), "Weights only load failed"),
    ],
)
def test_other_files_are_refused(tmp_path, change, words):
    make_advmoe_golden.published(2, tmp_path / "a.pth.tar")
    saved = torch.load(tmp_path / "a.pth.tar", weights_only=True)
    change(saved)
    torch.save(saved, tmp_path / "b.pth.tar")
    done = run(tmp_path / "b.pth.tar", tmp_path / "run")
    assert done.returncode == 2
    assert words in done.stderr
    assert "run by a pickle" not in done.stdout
    assert not (tmp_path / "run").exists()


def test_damaged_files_and_taken_directories_are_refused(tmp_path):
    (tmp_path / "a.pth.tar").write_bytes(b"no checkpoint")
    assert run(tmp_path / "a.pth.tar", tmp_path / "run").returncode == 2
    make_advmoe_golden.published(2, tmp_path / "b.pth.tar")
    (tmp_path / "run").mkdir()
    done = run(tmp_path / "b.pth.tar", tmp_path / "run")
    assert done.returncode == 2 and "expected a new directory" in done.stderr
