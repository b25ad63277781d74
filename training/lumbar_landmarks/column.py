"""Mends a column in which the corner finder gave two names to one vertebra, or none to one between two others.

Each name is found by itself, so a vertebra can be skipped (metal over it) or found twice. Vertebrae follow each other in
steps of about one body; of all columns with one name taken out or put in, the one whose steps look most like a spine is
kept. The sacrum stays where it is: the level referee asks about it afterwards. Where the sacrum is not surely seen there
is nothing to hold the column to, and it stays as it was found.
"""

import numpy as np
import torch

from ..phantoms.geometry import BODIES, DEPTH, DISC_HEIGHT, HEIGHT, LEVELS, PLATE

SPREAD = 0.17  # of the logarithm of a step over the patient's own usual one: narrow discs and fractures stay within two
BUILD = 0.15  # of that usual step over the expected one, from patient to patient
CHANGE = 9.0  # what a change must win: about one step that is three spreads off
SURE = 0.03  # peak from which a vertebra counts in full
JUDGED = tuple(level not in ("T10", "T11") for level in LEVELS)  # out of view, these sit on T12 with peaks of their own
# Expected steps between the centres of neighbours, from the head down, in depths of L3; the last one ends at S1's plate.
MEAN_HEIGHT = [HEIGHT[level] * DEPTH[level][0] for level in LEVELS]
BELOW = [(DISC_HEIGHT[level][0]) * DEPTH[level][0] for level in LEVELS]
STEPS = [
    MEAN_HEIGHT[k] / 2 + BELOW[k] + (MEAN_HEIGHT[k + 1] / 2 if k + 1 < len(LEVELS) else 0.0) for k in range(len(LEVELS))
]


def recipes():
    """Every column worth trying as (first, second) sources per name: the mean of the two is its vertebra."""
    count = len(LEVELS)
    same = list(range(count))
    tried = [(same, same)]
    for k in range(count - 1):  # k and k + 1 are one vertebra: names above it move down by one
        moved = [max(j - 1, 0) if j <= k else j for j in same]
        tried.append((moved, moved))
        # between k and k + 1 a vertebra has no name: names down to k move up by one
        first = [min(j + 1, k) if j <= k else j for j in same]
        second = [j + 1 if j < k else (k + 1 if j == k else j) for j in same]
        tried.append((first, second))
    return np.array([pair[0] for pair in tried]), np.array([pair[1] for pair in tried])


FIRST, SECOND = (torch.from_numpy(part) for part in recipes())


def mended(corners, peaks, sure=SURE):
    """(N, 34, 2) corners and (N, 34) peaks of the first stage to corners of the same names, and which recipe was used."""
    count, tries = corners.shape[0], FIRST.shape[0]
    bodies = corners[:, BODIES].reshape(count, len(LEVELS), 4, 2)
    plate = corners[:, PLATE]
    weight = (peaks[:, BODIES].reshape(count, len(LEVELS), 4).mean(-1) / sure).clamp(max=1.0)
    weight = weight * torch.tensor(JUDGED, dtype=weight.dtype)
    pick = lambda part, which: part[:, which.flatten()].reshape(count, tries, len(LEVELS), *part.shape[2:])
    columns = (pick(bodies, FIRST) + pick(bodies, SECOND)) / 2
    trust = torch.minimum(pick(weight, FIRST), pick(weight, SECOND))
    cost = unlikeness(columns, trust, plate[:, None].expand(-1, tries, -1, -1))
    cost = cost + CHANGE * (torch.arange(tries) > 0).to(cost.dtype)
    held = (peaks[:, PLATE].amin(1) > sure).to(cost.dtype)
    best = (cost * held[:, None]).argmin(-1)  # the first recipe where all cost nothing: the column as it is
    chosen = torch.nn.functional.one_hot(best, tries).to(columns.dtype)
    kept = (columns * chosen[:, :, None, None, None]).sum(1)
    return torch.cat([kept.flatten(1, 2), plate], 1), best


def unlikeness(columns, trust, plate):
    """Squared deviations of the steps of columns (N, T, levels, 4, 2) from a spine's, in spreads, weighed by trust.

    Steps are compared with each other first: people are built taller or squatter than the table."""
    centre = torch.cat([columns.mean(-2), plate.mean(-2, keepdim=True)], -2)
    step = (centre[..., 1:, :] - centre[..., :-1, :]).norm(dim=-1)
    edge = lambda a, b: (columns[..., a, :] - columns[..., b, :]).norm(dim=-1)
    depth = (edge(0, 1) + edge(2, 3)) / 2
    # One depth for the whole column, of those trusted: a wrong body has a wrong depth of its own.
    typical = ((depth * trust).sum(-1) / trust.sum(-1).clamp(min=1e-3)).clamp(min=2.0)
    expected = torch.tensor(STEPS, dtype=columns.dtype) * typical[..., None]
    both = torch.minimum(trust, torch.cat([trust[..., 1:], torch.ones_like(trust[..., :1])], -1))
    off = torch.log(step.clamp(min=0.02 * typical[..., None]) / expected)
    own = (off * both).sum(-1, keepdim=True) / both.sum(-1, keepdim=True).clamp(min=1e-3)
    apart = ((off - own) / SPREAD).clamp(min=-7, max=7) ** 2
    return (apart * both).sum(-1) + (own[..., 0] / BUILD) ** 2
