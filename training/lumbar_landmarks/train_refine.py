"""Train the second stage on phantoms of full input size and real films; resumable, time-budgeted.

python -m training.lumbar_landmarks.train_refine FINE_SHARDS OUT --minutes 30 --data DATA --corners real-corners.json
python -m training.lumbar_landmarks.train_refine FINE_SHARDS OUT --minutes 30 --without-real
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ..phantoms.geometry import BODIES, BODY, LEVELS, PLATE
from ..running_average import follow
from .augment import wash_out
from .dataset import letterbox
from .net import moments
from .pools import RealPool, ShardPools
from .refine import CROP, CROPS, STRIDE, RefineNet, frames, sample, to_crop
from .shards import FINE
from .train import save


def disturb(corners, rng):
    """Corners as the first stage may report them: the whole body off, turned, of the wrong size, each corner off."""
    bodies = corners[BODIES].reshape(-1, 4, 2)
    depth = np.nanmedian(np.linalg.norm(bodies[:, 1] - bodies[:, 0], axis=1))
    if not np.isfinite(depth):
        return None
    noise = rng.choice([0.04, 0.09, 0.16], p=[0.4, 0.4, 0.2]) * depth
    moved = corners + rng.normal(0, noise * 0.7, corners.shape)
    moved[BODIES] += np.repeat(rng.normal(0, noise, (len(LEVELS), 2)), 4, axis=0)
    # The first stage loses up to half of a far slip: whole bodies then lie off along their end plates.
    forward = (bodies[:, 1] + bodies[:, 2] - bodies[:, 0] - bodies[:, 3]) / 2
    slid = rng.normal(0, 0.2, len(LEVELS)) * (rng.uniform(size=len(LEVELS)) < 0.3)
    moved[BODIES] += np.repeat(slid[:, None] * forward, 4, axis=0)
    moved[PLATE] += rng.normal(0, noise, 2)
    return moved


def photometric(image, rng):
    image = image.astype(np.float32) / 255
    if rng.uniform() < 0.7:
        image = image ** np.exp(rng.uniform(-0.6, 0.6))
    if rng.uniform() < 0.2:
        image = wash_out(image, rng)
    if rng.uniform() < 0.2:
        image = image + rng.uniform(0.3, 1.5) * (image - cv2.GaussianBlur(image, (0, 0), rng.uniform(2, 8)))
    if rng.uniform() < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 2.2))
    if rng.uniform() < 0.35:
        image = image + rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(0.005, 0.06)
    return ((image - image.mean()) / (image.std() + 1e-4)).astype(np.float32)


def fill_gaps(points):
    """One corner out of view is completed to a parallelogram, so that its body still gets a crop; with more
    missing the body gets none. Corners out of view never count in the loss."""
    filled = points.copy()
    for level in LEVELS:
        body = filled[BODY[level]]
        missing = np.flatnonzero(np.isnan(body).any(1))
        if len(missing) == 1:
            corner = missing[0]
            body[corner] = body[corner - 1] + body[(corner + 1) % 4] - body[(corner + 2) % 4]
        elif len(missing):
            body[:] = np.nan
    return filled


def canvases(pool):
    """Real films at full input size with corners."""
    films = [letterbox(image.astype(np.float32), points, *FINE)[:2] for _, image, points in pool.films]
    return [(np.round(canvas).astype(np.uint8), points) for canvas, points in films]


def stretched(image, points, rng):
    """The film made wider or narrower and mirrored: few real films exist, and no two spines have one shape."""
    factor = float(np.exp(rng.uniform(-0.12, 0.12)))
    wide = cv2.resize(image, None, fx=factor, fy=1, interpolation=cv2.INTER_LINEAR)
    points = (points + 0.5) * [wide.shape[1] / image.shape[1], 1] - 0.5
    if rng.uniform() < 0.5:
        wide, points = np.ascontiguousarray(wide[:, ::-1]), points * [-1, 1] + [wide.shape[1] - 1, 0]
    return wide, points


def batch(pool, rng, films, real=(), real_share=0.0):
    crops, targets = [], []
    while len(crops) < films:
        if real and rng.uniform() < real_share:
            picture, points = stretched(*real[rng.integers(0, len(real))], rng)
        else:
            picture, points = pool.film(rng)
        guess = disturb(fill_gaps(points), rng)
        if guess is None:
            continue
        image = torch.from_numpy(photometric(picture, rng))[None, None]
        usable = np.isfinite(guess).all(1)
        frame = frames(torch.from_numpy(np.nan_to_num(guess).astype(np.float32))[None])
        with torch.no_grad():
            cut = sample(image, *frame)
        film = torch.from_numpy(points.astype(np.float32))
        grouped = torch.full((CROPS, 6, 2), float("nan"))
        grouped[:-1, :4] = film[BODIES].reshape(-1, 4, 2)
        grouped[-1, 4:] = film[PLATE]
        wanted = to_crop(grouped, *(t[0][:, None] for t in frame))
        whole = torch.tensor([usable[BODY[level]].all() for level in LEVELS] + [usable[BODY["L5"].start :].all()])
        wanted[~whole] = float("nan")
        told = torch.isfinite(wanted).flatten(1).any(1)
        crops.append(cut[told])
        targets.append(wanted[told])
    return torch.cat(crops).contiguous(memory_format=torch.channels_last), torch.cat(targets)


def loss_of(logits, points, sigma=2.5):
    n, k, h, w = logits.shape
    logp = logits.flatten(2).log_softmax(-1)
    inside = (torch.isfinite(points) & (points > 0) & (points < CROP - 1)).all(-1)
    target = torch.nan_to_num(points)
    place = (torch.arange(w) + 0.5) * STRIDE - 0.5
    spread = lambda value: F.normalize(torch.exp(-((place - value) ** 2) / (2 * sigma**2)) + 1e-12, p=1, dim=-1)
    gaussian = (spread(target[..., 1:])[..., :, None] * spread(target[..., :1])[..., None, :]).flatten(2)
    entropy = -(gaussian * logp).sum(-1)
    mean = moments(logits, STRIDE)[..., :2]
    distance = F.smooth_l1_loss(mean, target, reduction="none", beta=1.0).sum(-1)
    seen = inside.float()
    error = ((mean.detach() - target).norm(dim=-1) * seen).sum() / seen.sum().clamp(min=1)
    return ((entropy + 0.15 * distance) * seen).sum() / seen.sum().clamp(min=1), error


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("shards", type=Path, help="folders of shards, with commas between them")
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--minutes", type=float, default=30)
    arguments.add_argument("--films", type=int, default=12, help="films per step, up to nine crops each")
    arguments.add_argument("--warm-start", type=Path, help="a checkpoint of this script")
    arguments.add_argument("--data", type=Path)
    arguments.add_argument("--corners", type=Path, help="corners of real lateral films of xr-parts")
    arguments.add_argument("--without-real", action="store_true")
    arguments.add_argument("--real-share", type=float, default=0.12)
    arguments.add_argument("--rate", type=float, default=2e-3)
    options = arguments.parse_args()
    if not options.without_real and not (options.data and options.corners):
        arguments.error("name --data and --corners, or train --without-real")
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    net = RefineNet()
    checkpoint = options.out / "checkpoint.pt"
    state = torch.load(checkpoint, map_location="cpu", weights_only=False) if checkpoint.exists() else None
    if state:
        net.load_state_dict(state["net"])
    elif options.warm_start:
        net.load_state_dict(torch.load(options.warm_start, map_location="cpu", weights_only=False)["average"])
    net = net.to(memory_format=torch.channels_last).train()
    spent, step = (state["spent"], state["step"]) if state else (0.0, 0)
    rng = np.random.default_rng([0, step])  # another stretch after each resume, the same in each run
    average = {key: value.clone() for key, value in (state["average"] if state else net.state_dict()).items()}
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.rate, weight_decay=1e-4)
    if state:
        optimizer.load_state_dict(state["optimizer"])
    pool = ShardPools(str(options.shards).split(","), 20_000)
    real = [] if options.without_real else canvases(RealPool(options.corners, options.data))
    while (seen := pool.refresh()) < 200:
        time.sleep(2)
    began, saved, shown, errors = time.time() - spent, time.time(), time.time(), []
    while (spent := time.time() - began) < options.minutes * 60:
        share = spent / (options.minutes * 60)
        for group in optimizer.param_groups:
            group["lr"] = float(options.rate * min(1, (step + 1) / 100) * (0.5 * (1 + np.cos(np.pi * share)) + 0.01))
        crops, points = batch(pool, rng, options.films, real, options.real_share)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = net(crops)
        loss, error = loss_of(logits.float(), points)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        step += 1
        follow(average, net, step, 0.998)
        errors.append(error.item())
        if time.time() - shown > 30:
            print(
                f"step {step} {spent / 60:.1f} min loss {loss.item():.3f} error {np.mean(errors) / CROP * 170:.2f} % of depth "
                f"films {seen} {options.films * len(errors) / (time.time() - shown):.1f} films/s",
                flush=True,
            )
            shown, errors = time.time(), []
            seen = pool.refresh()
        if time.time() - saved > 120:
            save(checkpoint, net, average, optimizer, spent, step)
            saved = time.time()
    save(checkpoint, net, average, optimizer, spent, step)


if __name__ == "__main__":
    main()
