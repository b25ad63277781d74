"""The level referee: looks at the lowest discs again and says whether every vertebra was named one too high or too low.

Counting hangs on the sacrum, and the corner finder may be sure and wrong about it. The referee sees an upright crop
around each of four places as the finder named them (S1/S2, L5/S1, L4/L5, L3/L4) and tells which of the four it truly
is; read together, the four answers are for or against naming the whole column one down or up.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ..phantoms.geometry import BODIES, BODY, LEVELS, PLATE
from .crops import cut

CROP, SPAN = 112, 4.4  # samples per side, width in end plate depths
PLACES = ("S1/S2", "L5/S1", "L4/L5", "L3/L4")  # from the feet
SHIFTS = (-1, 0, 1)  # where each place truly lies: one nearer to the feet than named (the named L5 is S1), right, one up
REMNANT = 0.85  # from S1's upper plate to the remnant disc S1/S2, in plate depths


class Step(nn.Module):
    """Half the size, twice the look."""

    def __init__(self, inputs, outputs):
        super().__init__()
        convolution = lambda a, stride: nn.Sequential(
            nn.Conv2d(a, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        )
        self.narrow = nn.Sequential(convolution(inputs, 2), nn.ReLU(True))
        self.look = nn.Sequential(convolution(outputs, 1), nn.ReLU(True), convolution(outputs, 1))

    def forward(self, x):
        x = self.narrow(x)
        return F.relu(x + self.look(x))


class LevelNet(nn.Module):
    """Which of the four places a crop shows."""

    def __init__(self, widths=(24, 48, 96, 160)):
        super().__init__()
        self.steps = nn.Sequential(*(Step(a, b) for a, b in zip((1, *widths), widths)))
        self.rest = nn.Dropout(0.2)
        self.head = nn.Linear(widths[-1], len(PLACES))

    def forward(self, x):
        return self.head(self.rest(self.steps(x).mean((2, 3))))


def plates(corners, place):
    """The two end plates that face each other at a place: (N, 2, 2) lower plate of the upper body, upper of the lower."""
    lower = lambda level: corners[:, BODY[level]][:, [0, 1]]
    upper = lambda level: corners[:, BODY[level]][:, [3, 2]]
    sacrum = corners[:, PLATE]
    if place != "S1/S2":
        above, below = place.split("/")
        return lower(above), sacrum if below == "S1" else upper(below)
    # Nobody marks the remnant disc: it lies below S1's plate, whose bodies narrow towards the front.
    forward = sacrum[:, 1] - sacrum[:, 0]
    down = towards(turned(forward), sacrum.mean(1) - lower("L5").mean(1)) * REMNANT
    remnant = torch.stack([sacrum[:, 0] + down - 0.02 * forward, sacrum[:, 1] + down - 0.22 * forward], 1)
    return remnant, remnant


def turned(vector):
    return torch.stack([-vector[..., 1], vector[..., 0]], -1)


def towards(vector, goal):
    """The vector or its opposite, whichever points to the goal."""
    return torch.where((vector * goal).sum(-1, keepdim=True) < 0, -vector, vector)


def frames(corners):
    """(N, 34, 2) corners to the crops of the four places: centre, along, down (N, 4, 2) and size (N, 4, 1)."""
    pairs = [plates(corners, place) for place in PLACES]
    over, under = (torch.stack(side, 1) for side in zip(*pairs))
    forward = (over[:, :, 1] - over[:, :, 0]) + (under[:, :, 1] - under[:, :, 0])
    depth = (
        (over[:, :, 1] - over[:, :, 0]).norm(dim=-1, keepdim=True)
        + (under[:, :, 1] - under[:, :, 0]).norm(dim=-1, keepdim=True)
    ) / 2
    along = forward / forward.norm(dim=-1, keepdim=True).clamp(min=1e-3)
    feet = corners[:, PLATE].mean(1) - corners[:, BODY["L2"]].mean(1)
    down = towards(turned(along), feet[:, None])
    return (over.mean(2) + under.mean(2)) / 2, along, down, depth.clamp(min=4.0) * SPAN


def judge(net, image, corners, temperature=1.0, zooms=(0.9, 1.0, 1.1)):
    """Probabilities (N, 3) of SHIFTS for corners (N, 34, 2) on the letterboxed image, from crops at a few widths.

    With temperature zero, of a film or of all, nothing is said for or against any of them."""
    centre, along, down, size = frames(corners)
    looks = [net(cut(image, centre, along, down, size * zoom, CROP)).log_softmax(-1) for zoom in zooms]
    said = torch.stack(looks).mean(0).reshape(-1, len(PLACES), len(PLACES))  # (film, place as named, place it is)
    return torch.softmax(evidence(said) * temperature, -1)


def evidence(said):
    """Mean log probability of what each place is under each shift; places that leave the list are not asked."""
    count = len(PLACES)
    columns = []
    for shift in SHIFTS:
        asked = [(place, place + shift) for place in range(count) if 0 <= place + shift < count]
        columns.append(torch.stack([said[:, named, true] for named, true in asked]).mean(0) * (count - 1))
    return torch.stack(columns, -1)


def renamed(corners, shift):
    """The same column with every name moved by one of SHIFTS; what had no name yet is laid where its neighbours
    suggest, for the second stage to find."""
    bodies = corners[:, BODIES].reshape(-1, len(LEVELS), 4, 2)
    plate = corners[:, PLATE]
    if shift == 0:
        return corners
    if shift < 0:  # the named L5 is S1: its upper plate is S1's, and a body is missing on top
        top = bodies[:, :1] + (bodies[:, :1] - bodies[:, 1:2])
        return torch.cat([torch.cat([top, bodies[:, :-1]], 1).flatten(1, 2), bodies[:, -1][:, [3, 2]]], 1)
    # The named L5 is L4: S1's named plate is L5's upper one; L5 and S1 are missing below
    step = bodies[:, -1] - bodies[:, -2]
    lowest = bodies[:, -1] + step
    lowest = lowest + (plate[:, [1, 0]] - lowest[:, [2, 3]]).mean(1, keepdim=True)
    below = plate + (lowest[:, [0, 1]] - lowest[:, [3, 2]]) * 1.25
    return torch.cat([torch.cat([bodies[:, 1:], lowest[:, None]], 1).flatten(1, 2), below], 1)


def corrected(corners, probabilities):
    """Corners under the likeliest of the three namings, chosen inside the graph."""
    choices = torch.stack([renamed(corners, shift) for shift in SHIFTS], 1)
    best = F.one_hot(probabilities.argmax(-1), len(SHIFTS)).to(corners.dtype)
    return (choices * best[:, :, None, None]).sum(1)
