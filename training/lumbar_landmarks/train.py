"""Train the corner finder on phantom shards; resumable, time-budgeted, checkpoint every few minutes.

python -m training.lumbar_landmarks.train SHARDS OUT --minutes 70 [--warm-start prototype.pt]
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from .augment import augment
from .net import STRIDE, CornerNet, load_prototype, moments


class ShardPool:
    """All shards rendered so far, in memory; `refresh` adds those that appeared since."""

    def __init__(self, folder, limit):
        self.folder, self.limit = Path(folder), limit
        self.seen, self.images, self.points = set(), [], []

    def refresh(self):
        for path in sorted(self.folder.glob("shard-*.npz")):
            if path.name in self.seen or path.name.endswith(".part.npz"):
                continue
            with np.load(path) as shard:
                self.images.extend(shard["images"])
                self.points.extend(shard["points"].astype(np.float64))
            self.seen.add(path.name)
        self.images, self.points = self.images[-self.limit :], self.points[-self.limit :]
        return len(self.images)

    def batch(self, rng, size):
        chosen = rng.integers(0, len(self.images), size)
        pairs = [augment(self.images[i], self.points[i], rng) for i in chosen]
        images = torch.from_numpy(np.stack([image for image, _ in pairs])[:, None].astype(np.float32))
        points = torch.from_numpy(np.stack([points for _, points in pairs]).astype(np.float32))
        return images.contiguous(memory_format=torch.channels_last), points


def corner_loss(logits, points, sigma, absent_weight):
    """Cross-entropy to a Gaussian around the corner plus distance of the mean; corners out of view: an even map."""
    n, k, h, w = logits.shape
    logp = logits.flatten(2).log_softmax(-1)
    in_view = torch.isfinite(points).all(-1)
    target = torch.nan_to_num(points)
    x = (torch.arange(w) + 0.5) * STRIDE - 0.5
    y = (torch.arange(h) + 0.5) * STRIDE - 0.5
    map_x = torch.exp(-((x - target[..., :1]) ** 2) / (2 * sigma**2))
    map_y = torch.exp(-((y - target[..., 1:]) ** 2) / (2 * sigma**2))
    map_x, map_y = (m / (m.sum(-1, keepdim=True) + 1e-6) for m in (map_x, map_y))
    gaussian = (map_y[..., :, None] * map_x[..., None, :]).flatten(2)
    entropy = -(gaussian * logp).sum(-1)
    mean = moments(logits)[..., :2]
    distance = F.smooth_l1_loss(mean, target, reduction="none", beta=2.0).sum(-1)
    seen = in_view.float()
    present = ((entropy + 0.1 * distance) * seen).sum() / seen.sum().clamp(min=1)
    absent = (-logp.mean(-1) * (1 - seen)).sum() / (1 - seen).sum().clamp(min=1)
    error = ((mean.detach() - target).norm(dim=-1) * seen).sum() / seen.sum().clamp(min=1)
    return present + absent_weight * absent * (1 - seen).mean(), error


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("shards", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--minutes", type=float, default=70)
    arguments.add_argument("--warm-start", type=Path)
    arguments.add_argument("--batch", type=int, default=16)
    arguments.add_argument("--rate", type=float, default=1.5e-3)
    arguments.add_argument("--sigma", type=float, default=5.0)
    arguments.add_argument("--limit", type=int, default=40_000)
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    rng = np.random.default_rng(int(time.time()))
    net = CornerNet()
    checkpoint = options.out / "checkpoint.pt"
    spent, step = 0.0, 0
    state = torch.load(checkpoint, map_location="cpu", weights_only=False) if checkpoint.exists() else None
    if state:
        net.load_state_dict(state["net"])
        spent, step = state["spent"], state["step"]
    elif options.warm_start:
        load_prototype(net, options.warm_start)
    net = net.to(memory_format=torch.channels_last).train()
    average = {key: value.clone() for key, value in (state["average"] if state else net.state_dict()).items()}
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.rate, weight_decay=1e-4)
    if state:
        optimizer.load_state_dict(state["optimizer"])
    pool = ShardPool(options.shards, options.limit)
    while pool.refresh() < 200:
        time.sleep(2)
    began, saved, shown, errors = time.time() - spent, time.time(), time.time(), []
    first = step
    while (spent := time.time() - began) < options.minutes * 60:
        share = spent / (options.minutes * 60)
        for group in optimizer.param_groups:
            group["lr"] = float(options.rate * min(1, (step + 1) / 100) * (0.5 * (1 + np.cos(np.pi * share)) + 0.01))
        images, points = pool.batch(rng, options.batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = net(images)
        loss, error = corner_loss(logits.float(), points, options.sigma, 0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        step += 1
        keep = min(0.998, step / (step + 20))
        for key, value in net.state_dict().items():
            if value.dtype.is_floating_point:
                average[key].lerp_(value.detach(), 1 - keep)
            else:
                average[key].copy_(value)
        errors.append(error.item())
        if time.time() - shown > 30:
            print(
                f"step {step} {spent / 60:.1f} min loss {loss.item():.3f} error {np.mean(errors):.2f} px "
                f"films {len(pool.images)} {options.batch * len(errors) / (time.time() - shown):.1f} img/s",
                flush=True,
            )
            shown, errors = time.time(), []
            pool.refresh()
        if time.time() - saved > 180:
            save(checkpoint, net, average, optimizer, spent, step)
            saved = time.time()
    save(checkpoint, net, average, optimizer, spent, step)
    print(f"done after {step - first} steps", flush=True)


def save(path, net, average, optimizer, spent, step):
    part = path.with_suffix(".part")
    torch.save(
        {
            "net": net.state_dict(),
            "average": average,
            "optimizer": optimizer.state_dict(),
            "spent": spent,
            "step": step,
        },
        part,
    )
    part.rename(path)


if __name__ == "__main__":
    main()
