"""Tune a backbone on broken and intact phantoms of its own, so that its features see the shape of end plates.

    python -m training.vertebral_fracture.cohorts COHORTS --cohorts tuning --cts CTS
    python -m training.vertebral_fracture.tune COHORTS OUT/tuned --minutes 3

The net starts from ImageNet (EfficientNet-lite0) and is asked for the kind of fracture, and for how hollow the body is:
the share of its height that both end plates leave out at their middle, where the drawing knows it. Its first blocks and
all its normalisations stay as they are, so what the first blocks make of each disturbed look is computed once. The
vertebrae are of seeds that no cohort has, so that features are chosen, and models fitted, on vertebrae it never saw.
"""

import argparse
import io
import json
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from torch import nn

from ..running_average import follow
from . import cohorts, imagenet
from .backbone import CROP, normalised
from .export import write
from .features import cached

FROZEN = 5  # blocks
HOLLOW_SCALE = 10.0
KINDS = ("none", "wedge", "biconcave", "crush", "burst")


def disturbed(crop, rng):
    """Another frame, tone, sharpness and noise; never mirrored, since the front is always right."""
    turn = cv2.getRotationMatrix2D(((CROP - 1) / 2, (CROP - 1) / 2), rng.normal(0, 2), np.exp(rng.normal(0, 0.025)))
    turn[:, 2] += rng.normal(0, 1.5, 2)
    out = cv2.warpAffine(crop, turn, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    out = np.clip(out, 0, 1) ** np.exp(rng.uniform(-0.5, 0.5))
    if rng.uniform() < 0.3:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 1.5))
    spread = out.std()
    if rng.uniform() < 0.5:
        out = out + rng.standard_normal(out.shape, dtype=np.float32) * spread * rng.uniform(0.02, 0.4)
    if rng.uniform() < 0.2:
        out[:, : rng.integers(1, 24)] = out.mean()
    return out


class Frozen(nn.Module):
    """The stem and the first blocks: what stays as ImageNet left it."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        x = F.relu6(self.net._bn0(self.net._conv_stem(x * 0.5)))
        for block in self.net._blocks[:FROZEN]:
            x = block(x)
        return x


class Tuned(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.blocks = net._blocks[FROZEN:]
        self.head = nn.Linear(net.width, len(KINDS))
        self.hollow = nn.Linear(net.width, 1)

    def forward(self, x):
        for block in self.blocks[:-1]:
            x = block(x)
        features = self.blocks[-1].widened(x).mean((2, 3))
        return self.head(features), self.hollow(features)[:, 0]


def looks(crops, net, count, rng):
    """What the frozen part makes of `count` disturbed looks at each crop, as fp16; by ONNX Runtime, the faster of the two."""
    graph = io.BytesIO()
    torch.onnx.export(
        Frozen(net).eval(), (torch.zeros(1, 1, CROP, CROP),), graph, input_names=["x"], output_names=["y"],
        dynamic_axes={"x": {0: "n"}, "y": {0: "n"}}, opset_version=17, dynamo=False,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.getvalue(), options, providers=["CPUExecutionProvider"])
    out = []
    for look in range(count):
        for start in range(0, len(crops), 16):
            x = normalised(np.stack([disturbed(crop, rng) for crop in crops[start : start + 16]]))[:, None]
            out.append(session.run(None, {"x": np.ascontiguousarray(x, np.float32)})[0].astype(np.float16))
        print(f"look {look + 1} of {count}", flush=True)
    return np.concatenate(out)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path, help="holds the tuning cohort")
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--minutes", type=float, default=2, help="of the processor, after the frozen part's looks")
    arguments.add_argument("--looks", type=int, default=3, help="disturbed copies of each crop")
    arguments.add_argument("--versions", default="ABD", help="generators whose vertebrae are shown")
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--rate", type=float, default=1.5e-3)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(20261121)
    options.out.mkdir(parents=True, exist_ok=True)
    columns, identity = cohorts.load(options.folder, "tuning")
    kinds = np.array([KINDS.index(kind) for kind in columns["kind"]])
    print({"vertebrae": len(kinds), "kinds": np.bincount(kinds).tolist(), **identity}, flush=True)
    net = imagenet.load()
    rng = np.random.default_rng(20261121)
    seen_by = cached(
        options.out / f"looks_{identity['list'][:10]}_{options.looks}.npz",
        lambda: {"maps": looks(columns["crop"], net, options.looks, rng)},
    )["maps"]
    shown_rows = np.flatnonzero(np.tile(np.isin(columns["version"], list(options.versions)), options.looks))
    kinds, hollow = np.tile(kinds, options.looks), np.tile(columns["hollow"], options.looks).astype(np.float32)
    model = Tuned(net).to(memory_format=torch.channels_last).eval()  # eval: normalisations keep their statistics
    optimizer = torch.optim.AdamW(
        [{"params": model.blocks.parameters(), "scale": 0.4}, {"params": [*model.head.parameters(), *model.hollow.parameters()], "scale": 2.0}],
        lr=options.rate, weight_decay=0.02,
    )
    checkpoint = options.out / "checkpoint.pt"
    spent, step = 0.0, 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location="cpu", weights_only=False)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        spent, step = state["spent"], state["step"]
    average = {name: value.clone() for name, value in (state["average"] if step else model.state_dict()).items()}
    rng = np.random.default_rng([20261121, step])
    chance = 1 / np.bincount(kinds[shown_rows])[kinds[shown_rows]]
    chance /= chance.sum()
    began, saved, shown, seen = time.process_time() - spent, time.time(), time.time(), []

    def save():
        part = checkpoint.with_suffix(".part")
        state = {"model": model.state_dict(), "average": average, "optimizer": optimizer.state_dict()}
        torch.save({**state, "spent": spent, "step": step, "identity": identity}, part)
        part.rename(checkpoint)

    while (spent := time.process_time() - began) < options.minutes * 60:
        share = spent / (options.minutes * 60)
        for group in optimizer.param_groups:
            warm, fall = min(1, (step + 1) / 20), 0.5 * (1 + np.cos(np.pi * share)) + 0.01
            group["lr"] = float(options.rate * group["scale"] * warm * fall)
        rows = rng.choice(shown_rows, options.batch, p=chance)
        x = torch.from_numpy(seen_by[rows].astype(np.float32)).contiguous(memory_format=torch.channels_last)
        logits, depth = model(x)
        wanted = torch.from_numpy(hollow[rows])
        known = torch.isfinite(wanted)
        apart = F.smooth_l1_loss(depth[known], wanted[known] * HOLLOW_SCALE)
        loss = F.cross_entropy(logits, torch.from_numpy(kinds[rows]), label_smoothing=0.05) + apart
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        step += 1
        follow(average, model, step, 0.97, early=10)
        seen.append([loss.item(), float((logits.argmax(1).numpy() == kinds[rows]).mean()), apart.item()])
        if time.time() - shown > 30:
            error, right, hollowness = np.mean(seen, 0)
            pace = options.batch * len(seen) / (time.time() - shown)
            print(f"step {step} {spent / 60:.2f} min loss {error:.3f} right {right:.3f} hollow {hollowness:.3f} {pace:.1f} looks/s", flush=True)
            shown, seen = time.time(), []
        if time.time() - saved > 90:
            save()
            saved = time.time()
    save()
    model.load_state_dict(average)
    write(net.eval(), options.out / "backbone.onnx")
    weights = model.hollow.weight.detach().numpy()[0].astype(float) / HOLLOW_SCALE
    told = {"weights": weights.tolist(), "intercept": model.hollow.bias.item() / HOLLOW_SCALE}
    (options.out / "hollow.json").write_text(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
