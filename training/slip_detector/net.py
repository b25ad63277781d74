"""Faster R-CNN for slipped segments: torchvision's own, on one of three backbones."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import mobilenet_backbone, resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

from ..lumbar_landmarks.net import CornerNet, widened
from .films import SIZE
from .segments import COUNTED, SEGMENTS

CLASSES = 1 + 2 * len(SEGMENTS)  # background, slipped at each level, in place at each level
WINDOW = 14  # samples per side of a segment
MAP_SCALE = 20.0  # heat maps peak at a few hundredths
BACKBONES = ("corner-net", "mobilenet", "resnet50")


class CornerPyramid(nn.Module):
    """The corner finder's trunk: its top-down path is the feature pyramid (strides 4, 8 and 16), and the finest level
    carries its heat maps of L1 to S1 beside the features, since a slip is a matter of where corners stand."""

    out_channels, maps, frozen = 64, len(COUNTED), False

    def __init__(self):
        super().__init__()
        self.net = CornerNet()
        fine, middle, deep = self.net.last.first[0].out_channels, *(self.net.merge[k].first[0].out_channels for k in (2, 1))
        self.project = nn.ModuleList(nn.Conv2d(width, out, 1) for width, out in ((fine, 32), (middle, 64), (deep, 64)))

    def load_corners(self, path):
        """Start from a trained corner finder, which may know fewer levels."""
        self.net.load_state_dict(widened(torch.load(path, map_location="cpu", weights_only=False)["average"]))

    def freeze(self):
        """Leave the trunk as the corner finder has it: with few hours the heads gain more from twice as many films."""
        self.net.requires_grad_(False)
        self.frozen = True

    def train(self, mode=True):
        super().train(mode)
        if self.frozen:
            self.net.eval()
        return self

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.training):
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
                levels = self.levels(x)
                logits = self.net.head(levels[0])[:, -self.maps :].float()
                # Each map sums to one: a linear layer over it is the place of the corner.
                heat = logits.flatten(2).softmax(-1).view_as(logits) * MAP_SCALE
            pyramid = [project(level).float() for project, level in zip(self.project, levels)]
        pyramid[0] = torch.cat([pyramid[0], heat], 1)
        return OrderedDict((str(index), level) for index, level in enumerate(pyramid))

    def levels(self, x):
        net = self.net
        x = net.stem(x)
        down = []
        for stage in net.down:
            x = stage(x)
            down.append(x)
        up = lambda t: F.interpolate(t, scale_factor=2.0, mode="bilinear", align_corners=False)
        found = []
        for lateral, merge, finer in zip(net.lateral, net.merge, down[-2:0:-1]):
            x = merge(finer + up(lateral(x)))
            found.append(x)
        found.append(net.last(net.skip(down[0]) + up(net.top(x))))
        return found[-1], found[-2], found[-3]


class Deeper(nn.Module):
    """Proposals from all but the finest level: segments are large, and the finest level costs the most."""

    def __init__(self, proposals):
        super().__init__()
        self.proposals = proposals

    def forward(self, images, features, targets=None):
        return self.proposals(images, OrderedDict(list(features.items())[1:]), targets)


class SegmentHead(nn.Module):
    """Looks at a segment finely: a slip of a tenth of an end plate is three pixels."""

    def __init__(self, features, maps, width=64, out=256):
        super().__init__()
        self.features = features
        self.convolutions = nn.Sequential(
            nn.Conv2d(features + maps, width, 3, padding=1),
            nn.ReLU(True),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.ReLU(True),
            nn.Flatten(),
            nn.Linear(width * (WINDOW // 2) ** 2, out),
        )
        self.places = nn.Sequential(nn.Flatten(), nn.Linear(maps * WINDOW**2, out))
        self.dense = nn.Sequential(nn.ReLU(True), nn.Linear(2 * out, out), nn.ReLU(True))

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.training):
            looked = self.convolutions(x)
        # In full precision: bf16 has three digits, and places are compared.
        placed = self.places(x[:, self.features :])
        return self.dense(torch.cat([looked.float(), placed], 1))


class Grey(nn.Module):
    """A grey film for a backbone that expects three colours."""

    def __init__(self, body):
        super().__init__()
        self.body, self.out_channels = body, body.out_channels

    def forward(self, x):
        return self.body(x.expand(-1, 3, -1, -1))


def build(backbone="corner-net", corners=None):
    """The detector. `resnet50` is the configuration of the paper's kind; nothing pretrained is loaded for it."""
    fixed = {
        "num_classes": CLASSES,
        "min_size": min(SIZE),
        "max_size": max(SIZE),
        "image_mean": [0.0],
        "image_std": [1.0],
        "box_batch_size_per_image": 12,
        "box_positive_fraction": 0.5,
        "rpn_batch_size_per_image": 64,
        "rpn_pre_nms_top_n_train": 300,
        "rpn_post_nms_top_n_train": 150,
        "rpn_pre_nms_top_n_test": 200,
        "rpn_post_nms_top_n_test": 50,
        "box_score_thresh": 0.02,
        "box_detections_per_img": 20,
    }
    if backbone == "corner-net":
        body = CornerPyramid()
        if corners is not None:
            body.load_corners(corners)
        # Segments are 50 to 130 pixels tall and taller than wide (ratio is height to width).
        anchors = AnchorGenerator(((56.0, 80.0), (80.0, 112.0)), ((1.0, 1.5),) * 2)
        detector = FasterRCNN(
            body,
            rpn_anchor_generator=anchors,
            box_roi_pool=MultiScaleRoIAlign(["0"], output_size=WINDOW, sampling_ratio=1),
            box_head=SegmentHead(body.project[0].out_channels, body.maps),
            # With a head comes its own predictor: torchvision wants no class count beside it.
            **{**fixed, "num_classes": None},
            box_predictor=FastRCNNPredictor(256, CLASSES),
        )
        detector.rpn = Deeper(detector.rpn)
        return detector
    if backbone == "mobilenet":
        body = mobilenet_backbone(backbone_name="mobilenet_v3_large", weights=None, fpn=True, trainable_layers=6)
    elif backbone == "resnet50":
        body = resnet_fpn_backbone(backbone_name="resnet50", weights=None, trainable_layers=5)
    else:
        raise ValueError(f"{backbone} is none of {', '.join(BACKBONES)}")
    levels = 5 if backbone == "resnet50" else 3
    sizes = ((32.0,), (48.0,), (64.0,), (96.0,), (128.0,))[-levels:]
    return FasterRCNN(Grey(body), rpn_anchor_generator=AnchorGenerator(sizes, ((1.0, 1.5),) * levels), **fixed)
