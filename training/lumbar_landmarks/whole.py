"""The whole path from a letterboxed film to named corners, as one graph.

1. All corners at half size, on the film and on its mirror image; the two sets of heat maps are multiplied.
2. A column in which one vertebra was skipped or found twice is mended (`column`).
3. The referee (`levels`) says how likely every name is one too high or too low; the likeliest naming is taken.
4. One more look at each vertebra, upright and enlarged (`refine`).
"""

import torch
import torch.nn.functional as F
from torch import nn

from ..phantoms.geometry import BODIES, LEVELS, PLATE
from .column import mended
from .levels import corrected, judge
from .net import STRIDE, moments
from .refine import refine

WINDOW = 5  # cells of the heat map on either side that belong to one corner: 20 pixels of the half-size film
SURE_MASS = 0.6  # from which a vertebra counts in full when a column is mended
# How often the corner finder names a column one too high, right and one too low, from validation films. The referee
# must outweigh this before names are moved.
PRIOR = (0.04, 0.92, 0.04)


def window_at(points, height, width):
    """Rows and columns within the window around corners (N, K, 2) in pixels of the half-size film, as 0 and 1."""
    cell = (points + 0.5) / STRIDE - 0.5
    near = lambda size, at: ((torch.arange(size, dtype=points.dtype) - at[..., None]).abs() <= WINDOW + 0.5).to(points.dtype)
    return near(height, cell[..., 1]), near(width, cell[..., 0])


def mass_at(probability, points):
    """The share of each heat map (N, K, h, w) that lies at a place (N, K, 2)."""
    rows, columns = window_at(points, probability.shape[2], probability.shape[3])
    return ((probability * rows[..., None]).sum(2) * columns).sum(-1)


def corners_of(logits):
    """The place of each map's highest hill and the mean within the window around it: a second hill, which is another
    vertebra, does not pull the corner between the two."""
    n, k, height, width = logits.shape
    smooth = F.avg_pool2d(logits.flatten(2).softmax(-1).view(n, k, height, width), 3, 1, 1).flatten(2)
    best = smooth.argmax(-1)
    top = torch.stack([best % width, torch.div(best, width, rounding_mode="floor")], -1).to(logits.dtype)
    rows, columns = window_at((top + 0.5) * STRIDE - 0.5, height, width)
    inside = rows[..., None] * columns[..., None, :]
    return moments(logits - 60 * (1 - inside))


def seen_mass(probability, points):
    """How much says that some vertebra's corner of this kind lies at each place (N, 34), whichever its name."""
    n, _, height, width = probability.shape
    kinds = probability[:, BODIES].reshape(n, len(LEVELS), 4, height, width).sum(1)
    # S1's plate: an upper end plate, posterior corner first.
    kinds = kinds + F.pad(probability[:, PLATE].flip(1), (0, 0, 0, 0, 2, 0))
    own = kinds[:, [0, 1, 2, 3] * len(LEVELS) + [3, 2]]
    return mass_at(own, points).clamp(max=1)


class Reader(nn.Module):
    """Letterboxed, normalised films (N, 1, 768, 512) to

    - `landmarks` (N, 34, 6): x, y in pixels of the input, mass, var x, var y, cov xy;
    - `levels` (N, 3): probabilities of the referee's SHIFTS for the column as it was found, before it was renamed;
    - `apart` (N, 34): distance between each corner as found on the film and on its mirror image, in pixels of the input.

    The mass is the share of the heat maps that lies at the corner: near 1 where the net is sure of a vertebra there.
    """

    def __init__(self, coarse, fine, referee=None, temperature=1.0, zooms=(1.0,), looks=1):
        super().__init__()
        self.coarse, self.fine, self.referee = coarse, fine, referee
        self.temperature, self.zooms, self.looks = temperature, zooms, looks

    def forward(self, image):
        half = F.avg_pool2d(image, 2)
        mean = half.mean((2, 3), keepdim=True)
        spread = (half - mean).pow(2).mean((2, 3), keepdim=True).sqrt()
        half = (half - mean) / (spread + 1e-4)
        straight, mirrored = self.coarse(torch.cat([half, half.flip(3)])).chunk(2)
        mirrored = mirrored.flip(3)
        apart = 2 * (corners_of(straight)[..., :2] - corners_of(mirrored)[..., :2]).pow(2).sum(-1).sqrt()
        points = corners_of(straight + mirrored)[..., :2]
        probability = (probabilities(straight) + probabilities(mirrored)) / 2
        points, _ = mended(points, mass_at(probability, points), SURE_MASS)
        points, chance = self.count(half, points)
        mass = seen_mass(probability, points)
        # Pixel centres: coordinate c of the half-size film is 2c + 0.5 on the full one.
        points = points * 2 + 0.5
        covariance = torch.zeros_like(points)
        for _ in range(self.looks):
            points, covariance = refine(self.fine, image, points)
        return torch.cat([points, mass[..., None], covariance], -1), chance, apart

    def count(self, half, points):
        if self.referee is None:
            return points, torch.tensor([[0.0, 1.0, 0.0]]).expand(len(points), -1)
        black = half - half.amin((2, 3), keepdim=True)  # so that what lies beyond the film is black
        chance = judge(self.referee, black, points, self.temperature, self.zooms) * torch.tensor(PRIOR)
        chance = chance / chance.sum(1, keepdim=True)
        return corrected(points, chance), chance


def probabilities(logits):
    return logits.flatten(2).softmax(-1).view_as(logits)
