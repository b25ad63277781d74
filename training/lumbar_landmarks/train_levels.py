"""Train the level referee on phantom shards and real films; resumable, time-budgeted.

python -m training.lumbar_landmarks.train_levels OUT --shards SHARDS [SHARDS ...] --corners corners.json --data DATA --minutes 45
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ..running_average import follow
from .crops import normalised
from .dataset import letterbox
from .levels import CROP, PLACES, LevelNet, frames
from .pools import ShardPool, held_out, marked_films
from .train import save

FILM = (768, 512)  # real films are cut from the size the second stage sees
CHANCE = np.array([0.27, 0.38, 0.27, 0.08])  # how often each place is asked; L5/S1 decides most


def cut(image, corners, place, rng=None):
    """The crop of one place as floats 0..1, moved, turned and scaled as much as a finder may err; None if unknown."""
    found = frames(torch.from_numpy(np.asarray(corners, np.float32))[None])
    centre, along, down, size = (part[0, place].numpy().astype(np.float64) for part in found)
    if not np.isfinite(np.concatenate([centre, along, down, size])).all():
        return None
    size = float(size[0])
    if rng is not None:
        turn = np.radians(rng.normal(0, 7))
        along, down = np.cos(turn) * along + np.sin(turn) * down, np.cos(turn) * down - np.sin(turn) * along
        centre = centre + rng.normal(0, 0.03, 2) * size
        size *= np.exp(rng.normal(0, 0.12))
    scale = size / CROP
    origin = centre - (along + down) * scale * (CROP - 1) / 2
    matrix = np.stack([along * scale, down * scale, origin], 1)
    crop = cv2.warpAffine(image, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return crop.astype(np.float32) / 255


def photometric(crop, rng):
    """Other exposures, processing and things in the way; the pelvis is often washed out or black."""
    draw = rng.uniform
    if draw() < 0.8:
        crop = crop ** np.exp(draw(-0.7, 0.7))
    line = np.linspace(-1, 1, CROP, dtype=np.float32)
    if draw() < 0.4:
        veil = draw(0.3, 0.9) / (1 + np.exp(-(line - draw(-0.5, 0.8)) * draw(2, 8)))[:, None]
        crop = crop * (1 - veil) + veil * draw(0, 1)
    if draw() < 0.3:
        angle = draw(0, 2 * np.pi)
        crop = crop + draw(-0.35, 0.35) * (np.cos(angle) * line[None] + np.sin(angle) * line[:, None])
    if draw() < 0.35:
        crop = cv2.GaussianBlur(crop, (0, 0), draw(0.4, 1.8))
    elif draw() < 0.35:
        crop = crop + draw(0.3, 1.5) * (crop - cv2.GaussianBlur(crop, (0, 0), draw(1.5, 6)))
    if draw() < 0.4:
        crop = crop + rng.standard_normal(crop.shape, dtype=np.float32) * draw(0.005, 0.06)
    if draw() < 0.25:
        y, x = rng.integers(0, CROP, 2)
        crop[y : y + int(draw(5, 35)), x : x + int(draw(5, 35))] = draw(0, 1)
    if draw() < 0.3:
        crop = np.clip(crop, draw(-0.1, 0.15), draw(0.75, 1.1))
    return crop.astype(np.float32)


def real_films(corners, data, validation):
    """Letterboxed grey films and their corners; whole studies are held out."""
    for _, image, points, study in marked_films(corners, data):
        if held_out(study, 0.18) == validation:
            canvas, moved, _ = letterbox(image.astype(np.float32), points, *FILM)
            yield np.round(canvas).astype(np.uint8), moved


def batch(rng, pools, films, share, size):
    """Crops of which `share` are real ones, the true place of each, and which are real."""
    weight = np.sqrt([len(pool.images) for pool in pools])
    crops, places, real = [], [], []
    while len(crops) < size:
        from_film = bool(films) and rng.uniform() < share
        if from_film:
            image, points = films[rng.integers(0, len(films))]
        else:
            pool = pools[rng.choice(len(pools), p=weight / weight.sum())]
            index = rng.integers(0, len(pool.images))
            image, points = pool.images[index], pool.points[index]
        place = rng.choice(len(PLACES), p=CHANCE)
        crop = cut(image, points, place, rng)
        if crop is None:
            continue
        crops.append(photometric(crop, rng))
        places.append(place)
        real.append(from_film)
    return normalised(torch.from_numpy(np.stack(crops)[:, None])), torch.tensor(places), np.array(real)


def check(net, films):
    """How many of the places on held-out real films are told right."""
    right = total = 0
    with torch.no_grad():
        for image, points in films:
            for place in range(len(PLACES)):
                crop = cut(image, points, place)
                if crop is not None:
                    right += int(net(normalised(torch.from_numpy(crop)[None, None])).argmax()) == place
                    total += 1
    return right, total


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--shards", type=Path, nargs="+", required=True)
    arguments.add_argument("--corners", type=Path, help="corners of real films; without it phantoms alone")
    arguments.add_argument("--data", type=Path, help="shared data, for the real films")
    arguments.add_argument("--minutes", type=float, default=45)
    arguments.add_argument("--batch", type=int, default=48)
    arguments.add_argument("--rate", type=float, default=2e-3)
    arguments.add_argument("--share", type=float, default=0.4, help="of real crops")
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    net, checkpoint = LevelNet(), options.out / "checkpoint.pt"
    state = torch.load(checkpoint, map_location="cpu", weights_only=False) if checkpoint.exists() else None
    if state:
        net.load_state_dict(state["net"])
    spent, step = (state["spent"], state["step"]) if state else (0.0, 0)
    rng = np.random.default_rng([0, step])  # another stretch after each resume, the same in each run
    average = {key: value.clone() for key, value in (state["average"] if state else net.state_dict()).items()}
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.rate, weight_decay=1e-3)
    if state:
        optimizer.load_state_dict(state["optimizer"])
    pools = [ShardPool(folder, 40_000) for folder in options.shards]
    print("phantoms", [pool.refresh() for pool in pools], flush=True)
    films = list(real_films(options.corners, options.data, False)) if options.corners else []
    kept = list(real_films(options.corners, options.data, True)) if options.corners else []
    print(f"real films {len(films)}, held out {len(kept)}", flush=True)
    began, shown, drawn, films_right = time.time() - spent, time.time(), [], []
    while (spent := time.time() - began) < options.minutes * 60:
        share = spent / (options.minutes * 60)
        for group in optimizer.param_groups:
            group["lr"] = float(options.rate * min(1, (step + 1) / 100) * (0.5 * (1 + np.cos(np.pi * share)) + 0.01))
        crops, places, real = batch(rng, [pool for pool in pools if pool.images], films, options.share, options.batch)
        net.train()
        said = net(crops)
        loss = F.cross_entropy(said, places, label_smoothing=0.03)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        step += 1
        follow(average, net, step, 0.995)
        hit = (said.argmax(1) == places).numpy()
        drawn.extend(hit[~real])
        films_right.extend(hit[real])
        if time.time() - shown > 60:
            net.eval()
            right, total = check(net, kept)
            print(
                f"step {step} {spent / 60:.1f} min phantoms {np.mean(drawn):.3f} real {np.mean(films_right or [0]):.3f} "
                f"held out {right}/{total} {(len(drawn) + len(films_right)) / (time.time() - shown):.0f} crops/s",
                flush=True,
            )
            drawn, films_right, shown = [], [], time.time()
            for pool in pools:
                pool.refresh()
            save(checkpoint, net, average, optimizer, spent, step)
    save(checkpoint, net, average, optimizer, spent, step)


if __name__ == "__main__":
    main()
