"""Pretrain the ResNet-50 on radiographs or on fractals; resumable, one thread, so many minutes of the processor.

python -m training.vertebral_fracture.pretrain radiographs OUT/radiographs --data DATA --minutes 10
python -m training.vertebral_fracture.pretrain fractals OUT/fractals --minutes 10
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
from .backbone import Backbone, normalised
from .fractals import FractalTask
from .radiographs import RadiographTask

SIDES = ((0.0, 80), (0.55, 96), (0.8, 112))  # share of the time from which films of this size are shown


class Pretraining(nn.Module):
    """A backbone and one linear head for each question of the task."""

    def __init__(self, heads):
        super().__init__()
        self.backbone = Backbone(stages=4)
        self.heads = nn.ModuleDict({name: nn.Linear(self.backbone.width, size) for name, size in heads.items()})
        # The features that are used later stand before the last stage, so they are asked the same questions.
        self.early = nn.ModuleDict({name: nn.Linear(1024, size) for name, size in heads.items()})

    def forward(self, x):
        third = self.backbone.stages[:4](x)
        last = self.backbone.stages[4](third).mean((2, 3)).float()
        third = third.mean((2, 3)).float()
        return {name: (head(last), self.early[name](third)) for name, head in self.heads.items()}


def loss_of(answers, wanted):
    total, right = 0.0, {}
    for name, (late, early) in answers.items():
        truth = torch.from_numpy(np.asarray(wanted[name]))
        for logits, weight in ((late, 1.0), (early, 0.5)):
            if name == "findings":
                known = torch.isfinite(truth)
                part = F.binary_cross_entropy_with_logits(logits[known], truth[known]) if known.any() else logits.sum() * 0
            else:
                part = F.cross_entropy(logits, truth, label_smoothing=0.05)
            total = total + weight * part
        if name != "findings":
            right[name] = [float((logits.argmax(1) == truth).float().mean()) for logits in (late, early)]
    return total, right


def save(path, net, average, optimizer, spent, step, task):
    part = path.with_suffix(".part")
    state = {"net": net.state_dict(), "average": average, "optimizer": optimizer.state_dict()}
    torch.save({**state, "spent": spent, "step": step, "task": task}, part)
    part.rename(path)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("task", choices=["radiographs", "fractals"])
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--data", type=Path, help="the folder of shared data, for radiographs")
    arguments.add_argument("--minutes", type=float, default=10, help="of the processor")
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--rate", type=float, default=1.5e-3)
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(20261121)
    task = RadiographTask(options.data) if options.task == "radiographs" else FractalTask()
    print(json.dumps(task.describe()), flush=True)
    net = Pretraining(task.heads).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.rate, weight_decay=0.05)
    checkpoint = options.out / "checkpoint.pt"
    state = torch.load(checkpoint, map_location="cpu", weights_only=False) if checkpoint.exists() else None
    spent, step = 0.0, 0
    if state:
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        spent, step = state["spent"], state["step"]
    average = {key: value.clone() for key, value in (state["average"] if state else net.state_dict()).items()}
    rng = np.random.default_rng([20261121, step])
    # Minutes of the processor: on a shared machine the clock says little about what was learnt.
    began, saved, shown, seen = time.process_time() - spent, time.time(), time.time(), []
    while (spent := time.process_time() - began) < options.minutes * 60:
        share = spent / (options.minutes * 60)
        rate = options.rate * min(1, (step + 1) / 60) * (0.5 * (1 + np.cos(np.pi * share)) + 0.005)
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        side = [size for begin, size in SIDES if share >= begin][-1]
        images, wanted = task.batch(rng, options.batch, side)
        x = torch.from_numpy(np.ascontiguousarray(normalised(images), np.float32))[:, None]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            answers = net(x.contiguous(memory_format=torch.channels_last))
        loss, right = loss_of(answers, wanted)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimizer.step()
        step += 1
        follow(average, net, step, 0.99, early=10)
        seen.append([loss.item(), *(value for pair in right.values() for value in pair)])
        if time.time() - shown > 30:
            figures = " ".join(f"{value:.3f}" for value in np.mean(seen, 0))
            pace = options.batch * len(seen) / (time.time() - shown)
            print(f"step {step} {spent / 60:.1f} min side {side} loss, {', '.join(right)} (last, third): {figures} {pace:.1f} img/s", flush=True)
            shown, seen = time.time(), []
        if time.time() - saved > 150:
            save(checkpoint, net, average, optimizer, spent, step, task.describe())
            saved = time.time()
    save(checkpoint, net, average, optimizer, spent, step, task.describe())
    print(f"{checkpoint} sha256 {hashlib.sha256(checkpoint.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
