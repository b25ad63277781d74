"""Train the corner finder on phantom shards and real films; resumable, time-budgeted, checkpoint every few minutes.

python -m training.lumbar_landmarks.train SHARDS OUT --minutes 70 --data DATA --corners real-corners.json
python -m training.lumbar_landmarks.train SHARDS OUT --minutes 70 --without-real
python -m training.lumbar_landmarks.train SHARDS OUT --minutes 60 --warm-start OUT/checkpoint.pt --eight-bits ...

Real films are two kinds: lateral lumbar films whose corners were marked by eye (`--corners`, about one study in six kept
for watching) and films without a lateral lumbar spine, on which every map shall be even (a third of the studies kept).
`--without-real` trains on phantoms alone, whose weights carry no non-commercial term.
With `--eight-bits` a trained net learns to live with the rounding of the exported graph (`rounding`).
"""

import argparse
import copy
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ..phantoms.geometry import BODIES
from ..running_average import follow
from .dataset import letterbox, normalise
from .net import STRIDE, CornerNet, load_prototype, moments, widened
from .pools import NegativePool, RealPool, ShardPools
from .rounding import rounded


SIZE = (384, 256)


class Mixture:
    """Batches of phantoms, real films with corners and real films without a lumbar spine, in given shares."""

    def __init__(self, phantoms, real=None, real_share=0.2, negatives=None, negative_share=0.12, size=SIZE):
        self.phantoms, self.real, self.negatives, self.size = phantoms, real, negatives, size
        self.real_share = real_share if real is not None else 0
        self.negative_share = negative_share if negatives is not None else 0

    def draw(self, rng):
        place = rng.uniform()
        if place < self.real_share:
            return self.real.draw(rng, self.size)
        if place < self.real_share + self.negative_share:
            return self.negatives.draw(rng)
        return self.phantoms.draw(rng)

    def batch(self, rng, size):
        images, points, known = zip(*(self.draw(rng) for _ in range(size)), strict=True)
        images = torch.from_numpy(np.stack(images)[:, None].astype(np.float32))
        return (
            images.contiguous(memory_format=torch.channels_last),
            torch.from_numpy(np.stack(points).astype(np.float32)),
            torch.from_numpy(np.stack(known)),
        )


def corner_loss(logits, points, known, sigma, absent_weight):
    """Cross-entropy to a Gaussian around the corner plus distance of the mean; absent corners: an even map.

    Of a corner that is not `known` nothing is asked.
    """
    n, k, h, w = logits.shape
    logp = logits.flatten(2).log_softmax(-1)
    in_view = torch.isfinite(points).all(-1) & known
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
    away = (known & ~in_view).float()
    absent = (-logp.mean(-1) * away).sum() / away.sum().clamp(min=1)
    error = ((mean.detach() - target).norm(dim=-1) * seen).sum() / seen.sum().clamp(min=1)
    return present + absent_weight * absent * away.mean(), error


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("shards", type=Path, help="folders of shards, with commas between them")
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--minutes", type=float, default=70)
    arguments.add_argument("--warm-start", type=Path, help="weights of the prototype, or a checkpoint of this script")
    arguments.add_argument("--data", type=Path, help="the shared data, for films without a lateral lumbar spine")
    arguments.add_argument("--corners", type=Path, help="corners of real lateral films of xr-parts")
    arguments.add_argument("--without-real", action="store_true")
    arguments.add_argument("--real-share", type=float, default=0.2)
    arguments.add_argument("--negative-share", type=float, default=0.12)
    arguments.add_argument("--batch", type=int, default=16)
    arguments.add_argument("--rate", type=float, default=1.5e-3)
    arguments.add_argument("--sigma", type=float, default=5.0)
    arguments.add_argument("--absent-weight", type=float, default=0.25, help="of an even map where a corner is absent")
    arguments.add_argument("--limit", type=int, default=40_000)
    arguments.add_argument("--eight-bits", action="store_true", help="round as the exported graph does")
    options = arguments.parse_args()
    if not options.without_real and not (options.data and options.corners):
        arguments.error("name --data and --corners, or train --without-real")
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    net = CornerNet()
    checkpoint = options.out / "checkpoint.pt"
    spent, step = 0.0, 0
    state = torch.load(checkpoint, map_location="cpu", weights_only=False) if checkpoint.exists() else None
    if options.warm_start and not state:
        warm_start(net, options.warm_start)
    if options.eight_bits:
        net = rounded(net)
    if state:
        net.load_state_dict(state["net"])
        spent, step = state["spent"], state["step"]
    rng = np.random.default_rng([0, step])  # another stretch after each resume, the same in each run
    net = net.to(memory_format=torch.channels_last).train()
    average = {key: value.clone() for key, value in (state["average"] if state else net.state_dict()).items()}
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.rate, weight_decay=1e-4)
    if state:
        optimizer.load_state_dict(state["optimizer"])
    pool = ShardPools(str(options.shards).split(","), options.limit)
    while (films := pool.refresh()) < 200:
        time.sleep(2)
    mixture, watched = Mixture(pool), None
    if not options.without_real:
        real = RealPool(options.corners, options.data)
        watched = RealPool(options.corners, options.data, validation=True)
        mixture = Mixture(pool, real, options.real_share, NegativePool(options.data, SIZE), options.negative_share)
        print(f"real films: {len(real.films)} to train on, {len(watched.films)} to watch", flush=True)
    began, saved, shown, errors = time.time() - spent, time.time(), time.time(), []
    first = step
    while (spent := time.time() - began) < options.minutes * 60:
        share = spent / (options.minutes * 60)
        for group in optimizer.param_groups:
            group["lr"] = float(options.rate * min(1, (step + 1) / 100) * (0.5 * (1 + np.cos(np.pi * share)) + 0.01))
        images, points, known = mixture.batch(rng, options.batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = net(images)
        loss, error = corner_loss(logits.float(), points, known, options.sigma, options.absent_weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        step += 1
        follow(average, net, step, 0.998)
        errors.append(error.item())
        if time.time() - shown > 30:
            print(
                f"step {step} {spent / 60:.1f} min loss {loss.item():.3f} error {np.mean(errors):.2f} px "
                f"films {films} {options.batch * len(errors) / (time.time() - shown):.1f} img/s",
                flush=True,
            )
            shown, errors = time.time(), []
            films = pool.refresh()
        if time.time() - saved > 180:
            save(checkpoint, net, average, optimizer, spent, step)
            saved = time.time()
            if watched is not None:
                print(f"  watched: {watch(net, average, watched)}", flush=True)
    save(checkpoint, net, average, optimizer, spent, step)
    print(f"done after {step - first} steps", flush=True)


def warm_start(net, path):
    state = torch.load(path, map_location="cpu", weights_only=False)
    if "average" in state:
        net.load_state_dict(widened(state["average"]))
    else:
        load_prototype(net, path)


def watch(net, average, pool):
    """Kept real films: median and mean corner error in body depths, and films with all levels right.

    A film's levels are right when its median error is below half a depth: a level off is a whole body's height.
    """
    net = copy.deepcopy(net).eval()
    net.load_state_dict(average)
    errors, right = [], 0
    for _, image, points in pool.films:
        canvas, moved, _ = letterbox(image.astype(np.float32) / 255, points, *SIZE)
        with torch.no_grad():
            found = moments(net(torch.from_numpy(normalise(canvas))[None, None]))[0, :, :2].numpy()
        depth = np.nanmedian(np.linalg.norm(moved[BODIES][1::4] - moved[BODIES][0::4], axis=1))
        error = np.linalg.norm(found - moved, axis=1) / depth
        right += np.nanmedian(error) < 0.4
        errors.append(error[np.isfinite(error)])
    error = np.concatenate(errors)
    return f"levels right {right}/{len(pool.films)}, error median {np.median(error):.3f} mean {error.mean():.3f} depths"


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
