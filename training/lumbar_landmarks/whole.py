"""The whole path from a letterboxed film to named corners, as one graph.

1. All corners at half size, on the film and on its mirror image; the two sets of heat maps are multiplied.
2. A column in which one vertebra was skipped or found twice is mended (`column`).
3. The referee (`levels`) says how likely every name is one too high or too low; the likeliest naming is taken.
4. One more look at each vertebra, upright and enlarged (`refine`).
5. Each segment from L1/L2 to L5/S1 as a whole, for a second measurement of its slip (`slip_detector.branch`).
"""

import torch
import torch.nn.functional as F
from torch import nn

from ..phantoms.geometry import BODIES, LANDMARKS, LEVELS, PLATE
from ..slip_detector.branch import boxes_around, told
from ..slip_detector.segments import SEGMENTS
from .column import mended
from .levels import corrected, judge
from .net import STRIDE
from .refine import refine

WINDOW = 5  # cells of the heat map on either side that belong to one corner: 20 pixels of the half-size film
SURE_MASS = 0.6  # from which a vertebra counts in full when a column is mended
# How often the corner finder names a column one too high, right and one too low, from validation films. The referee
# must outweigh this before names are moved.
PRIOR = (0.04, 0.92, 0.04)
# The same where the finder did not see the sacrum: what the referee is shown there is no sacrum either.
PRIOR_UNSEEN = (0.2, 0.6, 0.2)
SEEN_MASS = 0.3  # of the less sure of S1's two corners, from which the referee counts in full


def window_at(cell, height, width):
    """Rows and columns within the window around places (..., 2) in cells of the heat map, as 0 and 1."""
    near = lambda size, at: ((torch.arange(size) - at[..., None]).abs() <= WINDOW + 0.5).to(cell.dtype)
    return near(height, cell[..., 1]), near(width, cell[..., 0])


def mass_at(probability, points):
    """The share of each heat map (..., h, w) that lies at a place (..., 2) in pixels of the half-size film."""
    rows, columns = window_at((points + 0.5) / STRIDE - 0.5, *probability.shape[-2:])
    return (rows[..., None, :] @ probability @ columns[..., None])[..., 0, 0]


def corners_of(probability):
    """The place of each map's highest hill, the mean within the window around it: a second hill, which is another
    vertebra, does not pull the corner between the two."""
    height, width = probability.shape[-2:]
    best = F.avg_pool2d(probability, 3, 1, 1).flatten(2).argmax(-1).to(probability.dtype)
    row = torch.floor((best + 0.5) / width)
    rows, columns = window_at(torch.stack([best - row * width, row], -1), height, width)
    # One product sums the window by itself, times its columns and times its rows.
    over_rows = torch.stack([rows, rows * torch.arange(height)], -2)
    over_columns = torch.stack([columns, columns * torch.arange(width)], -1)
    sums = over_rows @ probability @ over_columns
    mean = torch.stack([sums[..., 0, 1], sums[..., 1, 0]], -1) / sums[..., 0, 0, None]
    return (mean + 0.5) * STRIDE - 0.5


def seen_mass(probability, points):
    """How much says that some vertebra's corner of this kind lies at each place (N, 34), whichever its name."""
    n, _, height, width = probability.shape
    kinds = probability[:, BODIES].reshape(n, len(LEVELS), 4, height, width).sum(1)
    # S1's plate: an upper end plate, posterior corner first.
    kinds = torch.cat([kinds[:, :2], kinds[:, 2:] + probability[:, PLATE][:, [1, 0]]], 1)
    bodies = mass_at(kinds[:, None], points[:, BODIES].reshape(n, len(LEVELS), 4, 2))
    plate = mass_at(kinds[:, [3, 2]], points[:, PLATE])
    return torch.cat([bodies.flatten(1), plate], 1).clamp(max=1)


class Reader(nn.Module):
    """Letterboxed, normalised films (N, 1, 768, 512) to

    - `landmarks` (N, 34, 6): x, y in pixels of the input, mass, var x, var y, cov xy;
    - `levels` (N, 3): probabilities of the referee's SHIFTS for the column as it was found, before it was renamed;
    - `apart` (N, 34): distance between each corner as found on the film and on its mirror image, in pixels of the input;
    - `slips` (N, 5, 3): by the slip branch, the step of each segment, its standard deviation, and the probability that it
      slipped. What the corners say of it is for the reader of `landmarks` to work out. Without a branch, for looking at
      corners alone, this output is left out.

    The mass is the share of the heat maps that lies at the corner: near 1 where the net is sure of a vertebra there.
    """

    def __init__(self, coarse, fine, referee=None, branch=None, temperature=1.0, zooms=(1.0,), looks=1):
        super().__init__()
        self.coarse, self.fine, self.referee, self.branch = coarse, fine, referee, branch
        self.temperature, self.zooms, self.looks = temperature, zooms, looks

    def forward(self, image):
        half = F.avg_pool2d(image, 2)
        mean = half.mean((2, 3), keepdim=True)
        spread = (half - mean).pow(2).mean((2, 3), keepdim=True).sqrt()
        half = (half - mean) / (spread + 1e-4)
        straight, mirrored = self.coarse(torch.cat([half, half.flip(3)])).chunk(2)
        mirrored = mirrored.flip(3)
        # The film's maps, its mirror image's, and the two multiplied: side by side, so that each step runs once.
        maps = probabilities(torch.cat([straight, mirrored, straight + mirrored], 1))
        own, other, points = corners_of(maps).split(len(LANDMARKS), 1)
        apart = 2 * (own - other).pow(2).sum(-1).sqrt()
        probability = (maps[:, : len(LANDMARKS)] + maps[:, len(LANDMARKS) : 2 * len(LANDMARKS)]) / 2
        found = mass_at(probability, points)
        points, _ = mended(points, found, SURE_MASS)
        points, chance = self.count(half, points, found[:, PLATE].amin(1, keepdim=True))
        mass = seen_mass(probability, points)
        # Pixel centres: coordinate c of the half-size film is 2c + 0.5 on the full one.
        points = points * 2 + 0.5
        covariance = points.new_zeros(*points.shape[:2], 3)
        for _ in range(self.looks):
            points, covariance = refine(self.fine, image, points)
        answer = torch.cat([points, mass[..., None], covariance], -1), chance, apart
        if self.branch is None:
            return answer
        segments = torch.arange(len(SEGMENTS)).expand(image.shape[0], -1)
        return *answer, told(self.branch, image, boxes_around(points, *image.shape[2:]), segments)

    def count(self, half, points, sacrum):
        if self.referee is None:
            return points, torch.tensor([[0.0, 1.0, 0.0]]).expand(len(points), -1)
        black = half - half.amin((2, 3), keepdim=True)  # so that what lies beyond the film is black
        seen = (sacrum / SEEN_MASS).clamp(max=1)
        prior = seen * torch.tensor(PRIOR) + (1 - seen) * torch.tensor(PRIOR_UNSEEN)
        chance = judge(self.referee, black, points, self.temperature * seen, self.zooms) * prior
        chance = chance / chance.sum(1, keepdim=True)
        return corrected(points, chance), chance


def probabilities(logits):
    return logits.flatten(2).softmax(-1).view_as(logits)
