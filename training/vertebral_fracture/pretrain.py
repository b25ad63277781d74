"""Pretrain the cut ResNet-50 on radiographs or on fractals, by one recipe; resumable, one thread, so many minutes of a core.

    python -m training.vertebral_fracture.pretrain radiographs OUT/radiographs --data DATA --films all --minutes 7
    python -m training.vertebral_fracture.pretrain fractals OUT/fractals --minutes 7

Both tasks ask two questions of a random window of a picture: which class, and turned by how many quarters. What differs is
the pictures alone: their number, the windows, the net, the rates and the minutes are the same. Every few minutes the
running average answers for pictures that are never trained on.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..running_average import follow
from . import fractals, radiographs
from .backbone import Backbone, normalised
from .features import cached
from .radiographs import UNKNOWN, Pictures

SIDES = ((0.0, 48), (0.5, 64), (0.85, 96))  # share of the time from which windows are shown at this size
SEED = 20261121


class Pretraining(nn.Module):
    """The backbone and one linear head for each question."""

    def __init__(self, classes):
        super().__init__()
        self.backbone = Backbone()
        self.part = nn.Linear(self.backbone.width, classes)
        self.turn = nn.Linear(self.backbone.width, 4)

    def forward(self, x):
        features = self.backbone.maps(x).float().mean((2, 3))
        return self.part(features), self.turn(features)


def window(image, rng, side):
    """A random part of the picture, as is or mirrored, with other contrast; float32 about 0 to 1."""
    whole = image.shape[0]
    share = np.sqrt(rng.uniform(0.12, 1))
    wide, high = (int(np.clip(share * whole * np.exp(rng.uniform(-0.2, 0.2)), 0.15 * whole, whole)) for _ in range(2))
    left, top = rng.integers(0, whole - wide + 1), rng.integers(0, whole - high + 1)
    out = cv2.resize(image[top : top + high, left : left + wide], (side, side), interpolation=cv2.INTER_AREA)
    out = out.astype(np.float32) / 255
    if rng.uniform() < 0.5:
        out = out[:, ::-1]
    out = out ** np.exp(rng.uniform(-0.5, 0.5))
    if rng.uniform() < 0.3:
        out = out + rng.standard_normal(out.shape, dtype=np.float32) * rng.uniform(0.005, 0.05)
    return out


class Batches:
    """Windows of the pictures that may be trained on; rare classes are drawn more often than their share."""

    def __init__(self, pictures):
        self.pictures = pictures
        self.usable = np.flatnonzero(~pictures.held)
        _, place, counts = np.unique(pictures.labels[self.usable], return_inverse=True, return_counts=True)
        weight = 1 / np.sqrt(counts[place])
        self.chance = weight / weight.sum()

    def draw(self, rng, count, side):
        chosen = rng.choice(self.usable, count, p=self.chance)
        turns = rng.integers(0, 4, count)
        images = [np.rot90(window(self.pictures.images[i], rng, side), turn) for i, turn in zip(chosen, turns, strict=True)]
        return tensor(np.stack(images)), torch.from_numpy(self.pictures.labels[chosen]), torch.from_numpy(turns)


def tensor(images):
    x = torch.from_numpy(np.ascontiguousarray(normalised(images), np.float32))[:, None]
    return x.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def held_out(net, average, pictures, side=128):
    """Share of the held-out pictures, whole and upright, whose class the running average names, and the log loss."""
    kept = Pretraining(len(pictures.names)).to(memory_format=torch.channels_last)
    kept.load_state_dict(average)
    kept.eval()
    rows = np.flatnonzero(pictures.held & (pictures.labels != UNKNOWN))
    right, loss = 0.0, 0.0
    for start in range(0, len(rows), 64):
        some = rows[start : start + 64]
        images = [cv2.resize(pictures.images[i], (side, side), interpolation=cv2.INTER_AREA) for i in some]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = kept(tensor(np.stack(images).astype(np.float32) / 255))[0].float()
        truth = torch.from_numpy(pictures.labels[some])
        right += float((logits.argmax(1) == truth).sum())
        loss += float(F.cross_entropy(logits, truth, reduction="sum"))
    return right / len(rows), loss / len(rows), len(rows)


def pictures_of(options):
    """The task's pictures, kept beside the checkpoint: reading or drawing them is not part of the minutes."""

    def compute():
        made = radiographs.pictures(options.data, options.films) if options.task == "radiographs" else fractals.pictures()
        return {"images": made.images, "labels": made.labels, "held": made.held, "names": np.array(made.names)}

    kept = cached(options.out / f"pictures-{options.films if options.task == 'radiographs' else 'fractals'}.npz", compute)
    return Pictures(kept["images"], kept["labels"], kept["held"], kept["names"].tolist())


def save(path, state):
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.rename(path)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("task", choices=["radiographs", "fractals"])
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--data", type=Path, help="the folder of shared data, for radiographs")
    arguments.add_argument("--films", choices=["free", "all"], default="free", help="of radiographs; `all` is not to be shipped")
    arguments.add_argument("--minutes", type=float, default=7, help="of the processor")
    arguments.add_argument("--batch", type=int, default=64)
    arguments.add_argument("--rate", type=float, default=0.08, help="the highest; it rises over a twentieth of the time")
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(SEED)
    pictures = pictures_of(options)
    batches = Batches(pictures)
    counts = {name: int((pictures.labels == index).sum()) for index, name in enumerate(pictures.names)}
    told = {"task": options.task, "pictures": len(pictures.images), "heldOut": int(pictures.held.sum()), "classes": len(counts)}
    print(json.dumps({**told, "counts": counts if len(counts) < 100 else None}), flush=True)
    net = Pretraining(len(counts)).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(net.parameters(), lr=options.rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    checkpoint = options.out / "checkpoint.pt"
    state = torch.load(checkpoint, map_location="cpu", weights_only=False) if checkpoint.exists() else None
    spent, step = (state["spent"], state["step"]) if state else (0.0, 0)
    if state:
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
    average = {key: value.clone() for key, value in (state["average"] if state else net.state_dict()).items()}
    history = state["history"] if state else []
    rng = np.random.default_rng([SEED, step])

    def kept():
        parts = {"net": net.state_dict(), "average": average, "optimizer": optimizer.state_dict()}
        save(checkpoint, {**parts, "spent": spent, "step": step, "task": told, "history": history})

    def looked():
        right, loss, count = held_out(net, average, pictures)
        history.append({"minutes": spent / 60, "step": step, "heldOutRight": right, "heldOutLoss": loss, "n": count})
        print(f"  held out, n {count}: right {right:.3f}, log loss {loss:.3f}", flush=True)

    total = options.minutes * 60
    shown, seen, next_look = time.time(), [], spent + total / 6
    # Minutes of the processor: on a shared machine the clock says little about what was learnt.
    began = time.process_time() - spent
    while (spent := time.process_time() - began) < total:
        share = spent / total
        rate = options.rate * (min(1, share / 0.05 + 0.01) if share < 0.05 else 0.5 * (1 + np.cos(np.pi * (share - 0.05) / 0.95)) + 1e-3)
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        side = [size for begin, size in SIDES if share >= begin][-1]
        x, labels, turns = batches.draw(rng, options.batch, side)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = net.backbone.maps(x)
        features = features.float().mean((2, 3))
        part, turn = net.part(features), net.turn(features)
        loss = F.cross_entropy(part, labels, label_smoothing=0.05) + 0.3 * F.cross_entropy(turn, turns)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        step += 1
        follow(average, net, step, 0.99, early=10)
        known = labels != UNKNOWN
        seen.append([loss.item(), float((part.argmax(1) == labels)[known].float().mean()), float((turn.argmax(1) == turns).float().mean())])
        if time.time() - shown > 30:
            figures = " ".join(f"{value:.3f}" for value in np.mean(seen, 0))
            print(f"step {step} {spent / 60:.1f} min side {side} rate {rate:.4f} loss, class, turn: {figures} {options.batch * step / spent:.0f} windows/s of a core", flush=True)
            shown, seen = time.time(), []
        if spent >= next_look:
            paused = time.process_time()
            looked()
            kept()
            next_look += total / 6
            began += time.process_time() - paused
    looked()
    kept()
    print(f"{checkpoint} sha256 {hashlib.sha256(checkpoint.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
