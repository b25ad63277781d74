"""Train the slip detector on phantom shards; resumable, time-budgeted, checkpoint every few minutes.

python -m training.slip_detector.train SHARDS... OUT --minutes 35 --corners OUT/coarse/checkpoint.pt
python -m training.slip_detector.train SHARDS... OUT --backbone resnet50 --minutes 600       # as large as the paper's
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from ..running_average import follow
from .films import Films
from .net import BACKBONES, build


def groups(net, backbone, rate):
    """A trunk that knows corners already is moved less than heads that know nothing."""
    trunk = [p for p in net.backbone.net.parameters() if p.requires_grad] if backbone == "corner-net" else []
    known = {id(parameter) for parameter in trunk}
    fresh = [parameter for parameter in net.parameters() if parameter.requires_grad and id(parameter) not in known]
    return [{"params": fresh, "share": 1.0}] + ([{"params": trunk, "share": 0.4}] if trunk else [])


def take_over(net, path):
    """Weights of an earlier detector that have the same name and shape; the trunk stays as it is."""
    earlier, own = torch.load(path, map_location="cpu", weights_only=False)["average"], net.state_dict()
    kept = {
        key: value
        for key, value in earlier.items()
        if key in own and own[key].shape == value.shape and not key.startswith("backbone.net.")
    }
    net.load_state_dict(kept, strict=False)
    print(f"{len(kept)} of {len(own)} tensors from {path}", flush=True)


def save(path, **state):
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.rename(path)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("shards", type=Path, nargs="+", help="folders made by training.lumbar_landmarks.shards")
    arguments.add_argument("out", type=Path, help="folder of the checkpoint")
    arguments.add_argument("--backbone", choices=BACKBONES, default="corner-net")
    arguments.add_argument("--corners", type=Path, help="checkpoint of the corner finder to start the trunk from")
    arguments.add_argument("--start", type=Path, help="checkpoint of an earlier detector: takes over what still fits")
    arguments.add_argument("--freeze", action="store_true", help="leave that trunk as it is and train the rest")
    arguments.add_argument("--minutes", type=float, default=35)
    arguments.add_argument("--steps", type=int, help="stop after so many steps, whatever the time: to try a configuration")
    arguments.add_argument("--batch", type=int, default=8)
    arguments.add_argument("--rate", type=float, default=8e-4)
    arguments.add_argument("--limit", type=int, default=40_000, help="films kept in memory, newest first")
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(options.seed)
    net = build(options.backbone, options.corners)
    if options.start:
        take_over(net, options.start)
    if options.freeze:
        net.backbone.freeze()
    net.train()
    checkpoint = options.out / "checkpoint.pt"
    state = torch.load(checkpoint, map_location="cpu", weights_only=False) if checkpoint.exists() else None
    spent, step = (state["spent"], state["step"]) if state else (0.0, 0)
    if state:
        net.load_state_dict(state["net"])
    average = {key: value.clone() for key, value in (state["average"] if state else net.state_dict()).items()}
    optimizer = torch.optim.AdamW(groups(net, options.backbone, options.rate), lr=options.rate, weight_decay=1e-4)
    if state:
        optimizer.load_state_dict(state["optimizer"])
    films = Films(options.shards, options.limit)
    rng = np.random.default_rng([options.seed, step])
    print(f"{films.refresh()} films, {sum(p.numel() for p in net.parameters()) / 1e6:.2f} M parameters", flush=True)
    began, saved, shown, losses, first = time.time() - spent, time.time(), time.time(), [], step
    while (spent := time.time() - began) < options.minutes * 60 and step - first < (options.steps or step + 1):
        cosine = 0.5 * (1 + np.cos(np.pi * spent / (options.minutes * 60))) + 0.01
        for group in optimizer.param_groups:
            group["lr"] = float(options.rate * group["share"] * min(1, (step + 1) / 100) * cosine)
        images, targets = films.batch(rng, options.batch)
        parts = net(images, targets)
        loss = sum(parts.values())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        step += 1
        follow(average, net, step, 0.998)
        losses.append([part.item() for part in parts.values()])
        if time.time() - shown > 30:
            told = " ".join(f"{name[5:]} {value:.3f}" for name, value in zip(parts, np.mean(losses, 0), strict=True))
            speed = options.batch * len(losses) / (time.time() - shown)
            print(f"step {step} {spent / 60:.1f} min {told} films {len(films.images)} {speed:.1f} img/s", flush=True)
            shown, losses = time.time(), []
            films.refresh()
        if time.time() - saved > 180:
            save_all(checkpoint, net, average, optimizer, spent, step, options.backbone)
            saved = time.time()
    save_all(checkpoint, net, average, optimizer, spent, step, options.backbone)
    print(f"done after {step - first} steps", flush=True)


def save_all(path, net, average, optimizer, spent, step, backbone):
    save(
        path,
        net=net.state_dict(),
        average=average,
        optimizer=optimizer.state_dict(),
        spent=spent,
        step=step,
        backbone=backbone,
    )


if __name__ == "__main__":
    main()
