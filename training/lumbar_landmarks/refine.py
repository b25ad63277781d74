"""The second stage: looks at each vertebra again, upright and enlarged, and moves its corners.

A crop is laid around each body by the first stage's corners: posterior on the left, head up, 1.7 depths wide. The same
small net serves all bodies; S1 has two corners of its own.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ..phantoms.geometry import BODIES, LEVELS, PLATE
from .crops import cut
from .net import Residual, conv, moments

CROP, SPAN, STRIDE = 96, 1.7, 2  # samples per side, width in body depths, of the heat maps
CROPS = len(LEVELS) + 1


class RefineNet(nn.Module):
    """Heat maps for the four corners of a body and the two of S1, at half the crop's size."""

    def __init__(self, widths=(24, 40, 72, 112)):
        super().__init__()
        self.stem = conv(1, widths[0], 2)
        self.first = Residual(widths[0])
        self.down = nn.ModuleList(nn.Sequential(conv(a, b, 2), Residual(b)) for a, b in zip(widths, widths[1:]))
        self.lateral = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in zip(widths, widths[1:]))
        self.merge = nn.ModuleList(Residual(a) for a in widths[:-1])
        self.head = nn.Conv2d(widths[0], 6, 1)

    def forward(self, x):
        levels = [self.first(self.stem(x))]
        for stage in self.down:
            levels.append(stage(levels[-1]))
        x = levels[-1]
        for index in range(len(self.lateral) - 1, -1, -1):
            up = F.interpolate(self.lateral[index](x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = self.merge[index](levels[index] + up)
        return self.head(x)


def frames(corners):
    """(N, 34, 2) corners to the nine crops' centres (N, 9, 2), axes along and up (N, 9, 2) and sizes (N, 9, 1)."""
    bodies = corners[:, BODIES].reshape(-1, len(LEVELS), 4, 2)
    front, back = (bodies[:, :, 1] + bodies[:, :, 2]) / 2, (bodies[:, :, 0] + bodies[:, :, 3]) / 2
    head = (bodies[:, :, 2] + bodies[:, :, 3]) / 2 - (bodies[:, :, 0] + bodies[:, :, 1]) / 2
    plate = corners[:, PLATE]
    s1 = plate[:, 1:] - plate[:, :1]
    forward = torch.cat([front - back, s1], 1)
    head = torch.cat([head, head[:, -1:]], 1)  # S1 has no height of its own: up is where L5's head is
    centre = torch.cat([bodies.mean(2), plate.mean(1, keepdim=True)], 1)
    length = forward.pow(2).sum(-1, keepdim=True).sqrt().clamp(min=4.0)
    along = forward / length
    across = torch.stack([along[..., 1], -along[..., 0]], -1)
    side = (across * head).sum(-1, keepdim=True)
    up = torch.where(side < 0, -across, across)
    return centre, along, up, length * SPAN


def sample(image, centre, along, up, size):
    """Crops (N*9, 1, CROP, CROP) of an image (N, 1, H, W), each normalised by itself."""
    return cut(image, centre, along, -up, size, CROP)


def to_crop(points, centre, along, up, size):
    """Film points (..., 2) to crop pixels, where pixel centres are whole numbers."""
    offset = points - centre
    x = (offset * along).sum(-1, keepdim=True) / size
    y = -(offset * up).sum(-1, keepdim=True) / size
    return (torch.cat([x, y], -1) + 0.5) * CROP - 0.5


def from_crop(found, centre, along, up, size):
    """Moments (N, 9, K, 6) in crop pixels back to the film: points, and the covariance turned with the crop."""
    scale = size / CROP
    centre, along, up, scale = (t[:, :, None] for t in (centre, along, up, scale))
    x = (found[..., 0:1] + 0.5 - CROP / 2) * scale
    y = -(found[..., 1:2] + 0.5 - CROP / 2) * scale
    points = centre + x * along + y * up
    var_x, var_y, cov = found[..., 3:4] * scale**2, found[..., 4:5] * scale**2, -found[..., 5:6] * scale**2
    ax, ay, ux, uy = along[..., :1], along[..., 1:], up[..., :1], up[..., 1:]
    turned = torch.cat(
        [
            ax * ax * var_x + 2 * ax * ux * cov + ux * ux * var_y,
            ay * ay * var_x + 2 * ay * uy * cov + uy * uy * var_y,
            ax * ay * var_x + (ax * uy + ay * ux) * cov + ux * uy * var_y,
        ],
        -1,
    )
    return points, turned


def refine(net, image, corners, zoom=1.0):
    """New corners (N, 34, 2) and their covariance (N, 34, 3) from one more look, at crops `zoom` times as wide."""
    centre, along, up, size = frames(corners)
    size = size * zoom
    logits = net(sample(image, centre, along, up, size))
    found = moments(logits, STRIDE).reshape(-1, CROPS, 6, 6)
    points, covariance = from_crop(found, centre, along, up, size)
    pick = lambda t: torch.cat([t[:, :-1, :4].flatten(1, 2), t[:, -1, 4:6]], 1)
    return pick(points), pick(covariance)
