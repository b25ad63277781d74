"""The detector's slip branch: a last look at each segment that was found, at the film's own resolution.

A slip of a tenth of an end plate is three pixels of the small film that segments are found on. As Mask R-CNN looks
once more at what it found for a mask, this branch looks for the step: how far the upper body stands beyond the level's
normal, how sure that is, and whether it slipped. It sees a square of the film, so that angles and shares of lengths stay
what they are, and enough around the box that the canal and the arches show which side is the back.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import roi_align

from ..lumbar_landmarks.net import Residual, conv
from .segments import SEGMENTS

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


def squares(boxes):
    """Boxes (n, 4) to the squares (n, 4) that the branch looks at."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = ((boxes[:, 2:] - boxes[:, :2]) * boxes.new_tensor(AROUND)).amax(1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], 1)


def patches_of(film, boxes):
    """Normalised patches of one film (1, 1, h, w) around boxes in pixel centres, as the training cuts them."""
    # roi_align counts from the pixel's edge, and averages four samples: the film is finer than the patch.
    cut = roi_align(film, [squares(boxes) + 0.5], PATCH, sampling_ratio=2, aligned=True)
    mean = cut.mean((1, 2, 3), keepdim=True)
    spread = (cut - mean).pow(2).mean((1, 2, 3), keepdim=True).sqrt()
    return (cut - mean) / (spread + 1e-4)


def loss_of(found, beyond, slipped):
    """Laplace's likelihood of the offset, since single films are far off, and the logit's cross entropy."""
    # Far slips are told apart from near ones anyway; they shall not outweigh the step at which one begins.
    apart = (found[:, 0] - beyond / UNIT).abs()
    scale = found[:, 1].clamp(-4, 4)
    return (apart * torch.exp(-scale) + scale).mean() + F.binary_cross_entropy_with_logits(found[:, 2], slipped)
