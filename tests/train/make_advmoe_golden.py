#!/usr/bin/env python3
"""Writes tests/train/golden/advmoe_*.safetensors: a small random checkpoint in the published code's names, converted, and
what plain PyTorch answers with it.

The network is written from its description (one router over the image, every routed convolution holds a group of
channels for each expert, stem, norms, shortcuts and head are shared), every expert is computed and the chosen group
taken: nothing of ours is used for the answers.
Run: python3 tests/train/make_advmoe_golden.py
"""
import pathlib
import sys
import tempfile

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tools"))
import convert_advmoe  # noqa: E402

SEED = 1  # one with which every expert is chosen, and no score is near a tie
EXPERTS, WIDTH, RATIO, ROUTER_WIDTH, CLASSES, IMAGES = 3, 4, 0.5, 2, 10, 6


def conv(inputs, outputs, kernel=3, stride=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    """Of the network: routed convolutions; `groups` experts."""

    def __init__(self, inputs, outputs, stride, groups):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs * groups, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs * groups), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x, expert):
        pick = lambda y: torch.stack([v.chunk(EXPERTS)[e] for v, e in zip(y, expert)])  # noqa: E731
        y = F.relu(self.bn1(pick(self.conv1(x))))
        return F.relu(self.bn2(pick(self.conv2(y))) + self.shortcut(x))


class RouterBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs), nn.BatchNorm2d(outputs)
        self.stride, self.extra = stride, outputs - inputs

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            before = self.extra // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.extra - before))
        return F.relu(y + x)


class Router(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = conv(3, ROUTER_WIDTH), nn.BatchNorm2d(ROUTER_WIDTH)
        inputs = ROUTER_WIDTH
        for stage in range(3):
            blocks = []
            for b in range(3):
                outputs = ROUTER_WIDTH << stage
                blocks.append(RouterBlock(inputs, outputs, 2 if stage > 0 and b == 0 else 1))
                inputs = outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, EXPERTS)

    def forward(self, x):
        y = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.fc(y.mean((2, 3)))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = conv(3, WIDTH), nn.BatchNorm2d(WIDTH)
        inputs = WIDTH
        for stage in range(4):
            blocks = []
            for b in range(2):
                outputs = int(RATIO * (WIDTH << stage))
                blocks.append(Block(inputs, outputs, 2 if stage > 0 and b == 0 else 1, EXPERTS))
                inputs = outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.linear = nn.Linear(inputs, CLASSES)

    def forward(self, x, expert):
        y = F.relu(self.bn1(self.conv1(x)))
        for stage in range(1, 5):
            for block in getattr(self, f"layer{stage}"):
                y = block(y, expert)
        return self.linear(y.mean((2, 3)))


@torch.no_grad()
def drawn(module, draw):
    """Every tensor of the state from numpy's generator, whose numbers no version of torch changes."""
    for name, tensor in module.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        values = torch.from_numpy(draw.standard_normal(tuple(tensor.shape)).astype(np.float32))
        fan = max(1, tensor[0].numel()) if tensor.dim() > 1 else 1
        if name.endswith("running_var"):
            values = 0.5 + values.abs()
        elif ".bn" in "." + name or "shortcut.1" in name:
            values = 0.2 * values + (1 if name.endswith("weight") else 0)
        else:
            values = values * (2 / fan) ** 0.5 if tensor.dim() > 1 else 0.1 * values
        tensor.copy_(values)
    return module.eval()


@torch.no_grad()
def published(seed, path):
    """A checkpoint file as the published code writes it; the networks and images that go with it."""
    draw = np.random.RandomState(seed)
    network, router = drawn(Network(), draw), drawn(Router(), draw)
    colours = draw.random_sample((IMAGES, 3, 1, 1)) * draw.random_sample((IMAGES, 3, 4, 4)).repeat(4, 2).repeat(4, 3)
    images = torch.from_numpy(colours.astype(np.float32))
    router.fc.weight *= 200
    # All experts alike at first; to thousandths, so that no rounding of another torch shows.
    router.fc.bias -= torch.round(router(images).median(0).values * 1000) / 1000
    state = dict(network.state_dict())
    for name, tensor in router.state_dict().items():  # their router is a child of the network and of each routed layer
        state[f"router.{name}"] = state[f"layer1.0.conv1.router.{name}"] = tensor
    torch.save(
        {
            "epoch": 100,
            "arch": "resnet18_cifar_moe",
            "state_dict": state,
            "router": router.state_dict(),
            "best_acc": 51.8,
            "sa_record": 80.2,
            "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
            "router_optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
        },
        path,
    )
    return network, router, images


@torch.no_grad()
def main():
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "model_best.pth.tar")
        network, router, images = published(SEED, path)
        weights, _ = convert_advmoe.convert(path)
    scores = router(images)
    expert = scores.argmax(1)
    lead = scores.topk(2, 1).values
    assert len(set(expert.tolist())) == EXPERTS and (lead[:, 0] - lead[:, 1]).min() > 1e-3, scores  # routed, and far from ties
    answers = {"images": images, "scores": scores, "logits": network(images, expert.tolist())}
    (HERE / "golden" / "advmoe_checkpoint.safetensors").write_bytes(weights)
    (HERE / "golden" / "advmoe_answers.safetensors").write_bytes(convert_advmoe.checkpoint(answers, {}))


if __name__ == "__main__":
    main()
