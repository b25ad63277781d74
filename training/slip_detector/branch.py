"""The slip branch: a last look at each segment that was found, at the film's own resolution.

As Mask R-CNN looks once more at what it found for a mask, this branch looks for the step: how far the upper body stands
beyond the level's normal, how sure that is, and whether it slipped. It sees a square of the film, so that angles and
shares of lengths stay what they are, and enough around the box that the canal and the arches show which side is the back.
The corner graph asks it around found corners, beside which it is a second measurement; the Faster R-CNN around its boxes.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ..lumbar_landmarks.crops import normalised, sampled
from ..lumbar_landmarks.net import Residual, conv
from .segments import COUNTED, NORMAL, SEGMENTS, corners_around

PATCH = 80  # samples per side
AROUND = (1.35, 1.15)  # the square's side: so many widths or heights of the box, whichever is longer
UNIT = 0.1  # offsets are learnt in tenths of an end plate


class SlipBranch(nn.Module):
    """Patches (n, 1, 80, 80) and their levels (n, 5) to (n, 3): offset beyond normal in UNITs, log of its scale, logit."""

    def __init__(self, widths=(16, 32, 64, 112), out=128):
        super().__init__()
        stages = [conv(1, widths[0], 2)]
        for narrow, wide in zip(widths, widths[1:]):
            stages += [conv(narrow, wide, 2), Residual(wide)]
        self.look = nn.Sequential(*stages, nn.Flatten())
        self.dense = nn.Sequential(
            nn.Linear(widths[-1] * (PATCH // 16) ** 2 + len(SEGMENTS), out), nn.ReLU(True), nn.Linear(out, 3)
        )

    def load_corners(self, path):
        """Start from the corner finder's first stages, which see bones at the same scale."""
        state = torch.load(path, map_location="cpu", weights_only=False)["average"]
        stages = ["stem"] + [f"down.{index}.{part}" for index in range(3) for part in (0, 1)]
        for stage, name in zip(self.look, stages):
            own = {key[len(name) + 1 :]: value for key, value in state.items() if key.startswith(name + ".")}
            stage.load_state_dict(own)

    def forward(self, patches, levels):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.training):
            looked = self.look(patches)
        return self.dense(torch.cat([looked.float(), levels], 1))


def boxes_around(corners, height, width):
    """Corners (N, 34, 2) to the boxes (N, 5, 4) of the segments, as `segments.box_of` draws them."""
    counted = corners[:, -len(COUNTED) :]
    around = [counted[:, corners_around(segment)] for segment in range(len(SEGMENTS))]
    low = torch.stack([of.amin(1) for of in around], 1).clamp(min=0)
    high = torch.stack([of.amax(1) for of in around], 1)
    return torch.cat([low, torch.minimum(high, high.new_tensor([width - 1, height - 1]))], -1)


def patches_of(film, boxes):
    """Normalised patches (N*P, 1, 80, 80) of films (N, 1, h, w) around boxes (N, P, 4) in pixel centres."""
    low, high = boxes[..., :2], boxes[..., 2:]
    side = ((high - low) * boxes.new_tensor(AROUND)).amax(-1, keepdim=True)
    right, down = (boxes.new_tensor(axis).expand_as(low) for axis in ([1.0, 0.0], [0.0, 1.0]))
    # The film is finer than the patch: four samples are averaged.
    return normalised(F.avg_pool2d(sampled(film, (low + high) / 2, right, down, side, 2 * PATCH), 2))


def told(branch, film, boxes, segments):
    """What the branch says of segments (N, P) in boxes (N, P, 4): the step in lower end plates, its standard deviation,
    and the probability that the level slipped (N, P, 3)."""
    levels = (segments[..., None] == torch.arange(len(SEGMENTS))).to(boxes.dtype).flatten(0, 1)
    patches = patches_of(film, boxes)
    # The step is the same in a mirror, and the mean of both looks is nearer to it than one.
    straight, mirrored = branch(torch.cat([patches, patches.flip(3)]), torch.cat([levels, levels])).chunk(2)
    beyond, scale, logit = ((straight + mirrored) / 2).unbind(1)
    step = beyond * UNIT + boxes.new_tensor(NORMAL)[segments.flatten()]
    # Laplace's scale to a standard deviation.
    deviation = torch.exp(scale.clamp(-4, 4)) * UNIT * 2**0.5
    return torch.stack([step, deviation, logit.sigmoid()], 1).reshape(*segments.shape, 3)


def load_branch(path):
    branch = SlipBranch()
    branch.load_state_dict(torch.load(path, map_location="cpu", weights_only=False)["average"])
    return branch.eval()


def loss_of(found, beyond, slipped):
    """Laplace's likelihood of the offset, since single films are far off, and the logit's cross entropy."""
    # Far slips are told apart from near ones anyway; they shall not outweigh the step at which one begins.
    apart = (found[:, 0] - beyond / UNIT).abs()
    scale = found[:, 1].clamp(-4, 4)
    return (apart * torch.exp(-scale) + scale).mean() + F.binary_cross_entropy_with_logits(found[:, 2], slipped)
