"""ResNet-50 for grey crops of 128 px, cut after its third stage: 1,024 features, their mean over the crop's places.

The whole net has 23.5 M parameters (45 MB as fp16); the first three stages have 8.5 M (16 MB) and leave maps of 8 x 8
places instead of 4 x 4, which also makes a better picture of where a feature came from.
"""

import torch
from torch import nn
from torchvision.models import resnet50

CROP = 128  # samples per side


class Backbone(nn.Module):
    """Stages of a ResNet-50 with a stem of one channel; `stages` of 3 or 4."""

    def __init__(self, stages=3):
        super().__init__()
        net = resnet50(weights=None, zero_init_residual=True)
        net.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        layers = [net.layer1, net.layer2, net.layer3, net.layer4][:stages]
        self.stages = nn.Sequential(nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool), *layers)
        self.width = 1024 if stages == 3 else 2048

    def maps(self, x):
        return self.stages(x)

    def forward(self, x):
        return self.maps(x).mean((2, 3))


def normalised(crops):
    """Each crop by its own mean and spread, as the second stage of the corner finder has it; numpy [n, rows, columns]."""
    mean = crops.mean((-2, -1), keepdims=True)
    return (crops - mean) / (crops.std((-2, -1), keepdims=True) + 1e-2)


def load(path, stages=3):
    """The running average of a pretraining's checkpoint; a longer net's last stage is left out."""
    net = Backbone(stages)
    kept = torch.load(path, map_location="cpu", weights_only=False)["average"]
    prefix = "backbone."
    state = {name[len(prefix) :]: value for name, value in kept.items() if name.startswith(prefix)}
    net.load_state_dict({name: state[name] for name in net.state_dict()})
    return net.eval()
