"""Train the slip branch on segments cut from phantom shards and real films; resumable, checkpoint every few minutes.

python -m training.slip_detector.train_branch SHARDS... OUT --trunk OUT/coarse/checkpoint.pt --minutes 40 \
    --data DATA --corners training/lumbar_landmarks/real-corners.json

Boxes are those of the truth, moved and scaled as found ones are: nothing has to find a segment first, so a step costs
no more than the branch itself and half of what it sees can be slipped.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from ..lumbar_landmarks.dataset import letterbox
from ..lumbar_landmarks.export import INPUT
from ..lumbar_landmarks.pools import RealPool
from ..running_average import follow
from .branch import AROUND, PATCH, UNIT, SlipBranch, loss_of
from .segments import NORMAL, SEGMENTS, box_of, corners_around, counted, offsets, slipped
from .train import save

ROOM = 1.5  # a cut is so much larger than the patch that it can be turned and moved in it
CUT = int(PATCH * ROOM)

# Of a batch: slipped backwards, in place, forwards. Films have seven forwards for one backwards, from which a branch
# learns that every step is one forwards, whichever side the back is on.
SHARES = {-1: 0.17, 0: 0.48, 1: 0.35}
IN_PLACE_KEPT = 0.2  # there are eight times as many; a fifth of them is enough to learn from
# Few films, hardly any of them slipped, and corners that an eye looked over: they show what films look like.
REAL_SHARE = 0.08


def real_films(corners, data):
    """Real films as the graph sees them, and their corners from L1 to S1."""
    for _, image, points in RealPool(corners, data).films:
        canvas, moved, _ = letterbox(image.astype(np.float32), points, *INPUT)
        yield np.round(canvas).astype(np.uint8), counted(moved)


def side_of(box):
    return max((box[2] - box[0]) * AROUND[0], (box[3] - box[1]) * AROUND[1])


def cut_of(image, box):
    """The segment with room around it, and the matrix from the film to the cut."""
    scale = PATCH / side_of(box)
    # Where the film is much finer than the cut, twice as many samples are taken and averaged, as the detector does.
    finer = 2 if scale < 0.7 else 1
    size = CUT * finer
    centre = (box[:2] + box[2:]) / 2
    matrix = np.array([[scale, 0, 0], [0, scale, 0]])
    matrix[:, 2] = (CUT - 1) / 2 - scale * centre
    taken = matrix * finer
    taken[:, 2] += (finer - 1) / 2
    cut = cv2.warpAffine(image, taken, (size, size), flags=cv2.INTER_LINEAR)
    return (cv2.resize(cut, (CUT, CUT), interpolation=cv2.INTER_AREA) if finer > 1 else cut), matrix


class Cuts:
    """Segments of all shards: every slipped one, and as many in place as there is room for; and those of real films."""

    def __init__(self, folders, limit, rng, real=()):
        paths = sorted(path for folder in folders for path in Path(folder).glob("shard-*.npz"))
        self.images, self.corners, self.levels, self.beyond, self.slips = [], [], [], [], []
        for path in (paths[index] for index in rng.permutation(len(paths))):
            if path.name.endswith(".part.npz"):
                continue
            with np.load(path) as shard:
                for image, points in zip(shard["images"], counted(shard["points"]), strict=True):
                    self.add(image, points, lambda slip: slip != 0 or rng.uniform() < IN_PLACE_KEPT)
            if len(self.images) >= limit:
                break
        phantoms = len(self.images)
        for image, points in real:
            self.add(image, points, lambda _: True)
        self.beyond, self.levels = np.array(self.beyond, np.float32), np.array(self.levels)
        self.slips = np.array(self.slips)
        self.kinds = [np.flatnonzero(self.slips[:phantoms] == slip) for slip in SHARES]
        self.real = np.arange(phantoms, len(self.images))

    def add(self, image, points, keep):
        found = offsets(points)
        for segment, slip in enumerate(slipped(found)):
            box = box_of(points, segment, image.shape)
            if not np.isfinite(box).all() or min(box[2:] - box[:2]) < 12 or not keep(slip):
                continue
            cut, matrix = cut_of(image, box)
            self.images.append(cut)
            self.corners.append(points[corners_around(segment)] @ matrix[:, :2].T + matrix[:, 2])
            self.levels.append(segment)
            self.beyond.append(found[segment] - NORMAL[segment])
            self.slips.append(slip)

    def batch(self, rng, size):
        real = int(round(size * REAL_SHARE)) if len(self.real) else 0
        counts = [int(round((size - real) * share)) for share in SHARES.values()]
        drawn = zip([*self.kinds, self.real], [*counts, real], strict=True)
        chosen = np.concatenate([rng.choice(kind, count) for kind, count in drawn if count])
        patches = np.stack([shown(self.images[index], self.corners[index], rng) for index in chosen])
        return (
            torch.from_numpy(patches)[:, None],
            torch.eye(len(SEGMENTS))[self.levels[chosen]],
            torch.from_numpy(self.beyond[chosen]),
            torch.from_numpy((self.slips[chosen] != 0).astype(np.float32)),
        )


def shown(cut, corners, rng):
    """A patch as a detector might cut it: turned, mirrored, its box a little off, in another tone."""
    middle = (CUT - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), rng.uniform(-10, 10), 1.0)
    if rng.uniform() < 0.5:
        matrix = matrix @ np.array([[-1, 0, 2 * middle], [0, 1, 0], [0, 0, 1]])
    turned = corners @ matrix[:, :2].T + matrix[:, 2]
    box = np.array([*turned.min(0), *turned.max(0)])
    side = side_of(box) * np.exp(rng.normal(0, 0.06))
    centre = (box[:2] + box[2:]) / 2 + rng.normal(0, 0.035, 2) * side
    matrix = matrix * (PATCH / side)
    matrix[:, 2] += (PATCH - 1) / 2 - centre * (PATCH / side)
    patch = cv2.warpAffine(cut, matrix, (PATCH, PATCH), flags=cv2.INTER_LINEAR).astype(np.float32) / 255
    return toned(patch, rng)


def toned(patch, rng):
    draw = rng.uniform
    if draw() < 0.6:
        patch = patch ** np.exp(draw(-0.6, 0.6))
    if draw() < 0.3:
        patch = cv2.GaussianBlur(patch, (0, 0), draw(0.4, 1.4))
    if draw() < 0.25:  # contrast fades to one side
        fade = np.clip(cv2.resize(rng.normal(0, 0.6, (3, 3)).astype(np.float32), (PATCH, PATCH)), 0, 0.85)
        patch = patch + fade * (patch.mean() + draw(-0.3, 0.3) - patch)
    if draw() < 0.35:
        patch = patch + rng.standard_normal(patch.shape, dtype=np.float32) * draw(0.005, 0.06)
    if draw() < 0.15:
        y, x = rng.integers(0, PATCH, 2)
        patch[y : y + int(draw(4, 20)), x : x + int(draw(4, 20))] = draw(0, 1)
    return ((patch - patch.mean()) / (patch.std() + 1e-4)).astype(np.float32)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("shards", type=Path, nargs="+", help="folders made by training.lumbar_landmarks.shards")
    arguments.add_argument("out", type=Path, help="folder of the checkpoint")
    arguments.add_argument("--trunk", type=Path, help="checkpoint of the corner finder to start from")
    arguments.add_argument("--warm-start", type=Path, help="checkpoint of a former training of the branch")
    arguments.add_argument("--data", type=Path, help="data sets; with them, real films are shown too")
    arguments.add_argument("--corners", type=Path, help="their corners, marked by eye")
    arguments.add_argument("--minutes", type=float, default=40)
    arguments.add_argument("--batch", type=int, default=64)
    arguments.add_argument("--rate", type=float, default=2e-3)
    arguments.add_argument("--limit", type=int, default=32_000, help="segments kept in memory")
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(options.seed)
    net = SlipBranch().train()
    if options.trunk:
        net.load_corners(options.trunk)
    if options.warm_start:
        net.load_state_dict(torch.load(options.warm_start, map_location="cpu", weights_only=False)["average"])
    checkpoint = options.out / "checkpoint.pt"
    state = torch.load(checkpoint, map_location="cpu", weights_only=False) if checkpoint.exists() else None
    spent, step = (state["spent"], state["step"]) if state else (0.0, 0)
    if state:
        net.load_state_dict(state["net"])
    average = {key: value.clone() for key, value in (state["average"] if state else net.state_dict()).items()}
    groups = [{"params": net.dense.parameters(), "share": 1.0}, {"params": net.look.parameters(), "share": 0.5}]
    optimizer = torch.optim.AdamW(groups, lr=options.rate, weight_decay=1e-3)
    if state:
        optimizer.load_state_dict(state["optimizer"])
    rng = np.random.default_rng([options.seed, step])
    real = real_films(options.corners, options.data) if options.data else []
    cuts = Cuts(options.shards, options.limit, np.random.default_rng(options.seed), real)
    size = sum(p.numel() for p in net.parameters()) / 1e6
    print(f"{len(cuts.images)} segments, {(cuts.slips != 0).sum()} slipped, {len(cuts.real)} real; {size:.2f} M parameters", flush=True)
    began, saved, shown_at, losses = time.time() - spent, time.time(), time.time(), []
    keep = lambda: save(
        checkpoint, net=net.state_dict(), average=average, optimizer=optimizer.state_dict(), spent=spent, step=step
    )
    while (spent := time.time() - began) < options.minutes * 60:
        cosine = 0.5 * (1 + np.cos(np.pi * spent / (options.minutes * 60))) + 0.01
        for group in optimizer.param_groups:
            group["lr"] = float(options.rate * group["share"] * min(1, (step + 1) / 200) * cosine)
        patches, levels, beyond, moved = cuts.batch(rng, options.batch)
        found = net(patches, levels)
        loss = loss_of(found, beyond, moved)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        step += 1
        follow(average, net, step, 0.999)
        apart = 100 * UNIT * (found[:, 0].detach() - beyond / UNIT).abs()
        losses.append([loss.item(), float(apart.mean()), float(((found[:, 2].detach() > 0) == (moved > 0)).float().mean())])
        if time.time() - shown_at > 30:
            loss_now, error, right = np.mean(losses, 0)
            speed = options.batch * len(losses) / (time.time() - shown_at)
            print(
                f"step {step} {spent / 60:.1f} min loss {loss_now:.3f} offset {error:.2f} % right {right:.3f} "
                f"{speed:.0f} segments/s",
                flush=True,
            )
            shown_at, losses = time.time(), []
        if time.time() - saved > 180:
            keep()
            saved = time.time()
    keep()
    print(f"done after {step} steps", flush=True)


if __name__ == "__main__":
    main()
