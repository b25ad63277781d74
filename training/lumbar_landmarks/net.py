"""The corner finder: a small U-shaped net whose heat maps become coordinates, spread and confidence."""

import torch
import torch.nn.functional as F
from torch import nn

from ..phantoms.geometry import LANDMARKS

STRIDE = 4


def conv(inputs, outputs, stride=1):
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True))


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = conv(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        return F.relu(x + self.second(self.first(x)))


class CornerNet(nn.Module):
    """Six halvings down, four doublings up; one heat map per landmark at a quarter of the input size."""

    def __init__(self, landmarks=len(LANDMARKS), widths=(16, 32, 64, 112, 160, 192), head=48):
        super().__init__()
        self.stem = conv(1, widths[0], 2)
        self.down = nn.ModuleList(nn.Sequential(conv(a, b, 2), Residual(b)) for a, b in zip(widths, widths[1:]))
        self.lateral = nn.ModuleList(
            nn.Conv2d(deep, shallow, 1) for deep, shallow in zip(widths[:1:-1], widths[-2:1:-1])
        )
        self.merge = nn.ModuleList(Residual(c) for c in widths[-2:1:-1])
        self.skip = nn.Conv2d(widths[1], head, 1)
        self.top = nn.Conv2d(widths[2], head, 1)
        self.last = Residual(head)
        self.head = nn.Conv2d(head, landmarks, 1)

    def features(self, x):
        x = self.stem(x)
        levels = []
        for stage in self.down:
            x = stage(x)
            levels.append(x)
        up = lambda t: F.interpolate(t, scale_factor=2.0, mode="bilinear", align_corners=False)
        for lateral, merge, finer in zip(self.lateral, self.merge, levels[-2:0:-1]):
            x = merge(finer + up(lateral(x)))
        return self.last(self.skip(levels[0]) + up(self.top(x)))

    def forward(self, x):
        return self.head(self.features(x))


def moments(logits, stride=STRIDE):
    """Heat-map logits (N, K, h, w) to (N, K, 6): x, y, peak probability, var x, var y, cov xy, in input pixels."""
    n, k, h, w = logits.shape
    probability = logits.flatten(2).softmax(-1).view(n, k, h, w)
    # The centre of heat-map cell i lies at (i + 0.5) * stride - 0.5 in pixel-centre coordinates.
    x = (torch.arange(w, device=logits.device, dtype=logits.dtype) + 0.5) * stride - 0.5
    y = (torch.arange(h, device=logits.device, dtype=logits.dtype) + 0.5) * stride - 0.5
    over_x, over_y = probability.sum(2), probability.sum(3)
    mean_x, mean_y = (over_x * x).sum(-1), (over_y * y).sum(-1)
    dx, dy = x - mean_x[..., None], y - mean_y[..., None]
    var_x, var_y = (over_x * dx**2).sum(-1), (over_y * dy**2).sum(-1)
    cov = ((probability * dx[:, :, None, :]).sum(-1) * dy).sum(-1)
    return torch.stack([mean_x, mean_y, probability.flatten(2).amax(-1), var_x, var_y, cov], -1)


def widened(state):
    """The state of a net that knew fewer levels: each level above its highest starts as a copy of that one."""
    state = dict(state)
    for key in ("head.weight", "head.bias"):
        rows = list(state[key])
        missing = len(LANDMARKS) - len(rows)
        state[key] = torch.stack([rows[index % 4] for index in range(missing)] + rows)
    return state


def load_prototype(net, path):
    """Warm start from the prototype's weights, whose layers carry other names."""
    old = torch.load(path, map_location="cpu")
    names = {
        "stem": "e0",
        "down.0": "e1",
        "down.1": "e2",
        "down.2": "e3",
        "down.3": "e4",
        "down.4": "e5",
        "lateral.0": "l4",
        "lateral.1": "l3",
        "lateral.2": "l2",
        "merge.0": "d4",
        "merge.1": "d3",
        "merge.2": "d2",
        "skip": "k1",
        "top": "l1",
        "last": "d1",
        "head": "h",
    }
    state = {}
    for key in net.state_dict():
        prefix = next(name for name in sorted(names, key=len, reverse=True) if key.startswith(name + "."))
        rest = key[len(prefix) :].replace(".first.", ".a.").replace(".second.", ".b.")
        value = old[names[prefix] + rest]
        state[key] = value
    net.load_state_dict(widened(state))
