"""What a batch is drawn from: phantom shards, real films with corners, real films without a lumbar spine.

Each film comes with `points` (NaN: not on the film) and `known` (False: nothing is known of that corner).
"""

import csv
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np

from ..phantoms.geometry import BODY, INDEX, LANDMARKS, PLATE
from .augment import augment, augment_film
from .dataset import letterbox


def place_of(study):
    """A number from 0 to 1 that follows from the name alone."""
    return int(hashlib.sha256(study.encode()).hexdigest()[:8], 16) / 2**32


def held_out(study, share):
    """About that share of studies is never trained on."""
    return place_of(study) < share


class ShardPool:
    """All shards of a folder rendered so far, in memory; `refresh` adds those that appeared since."""

    def __init__(self, folder, limit):
        self.folder, self.limit = Path(folder), limit
        self.seen, self.images, self.points, self.known = set(), [], [], []

    def refresh(self):
        for path in sorted(self.folder.glob("shard-*.npz")):
            if path in self.seen or path.name.endswith(".part.npz"):
                continue
            with np.load(path) as shard:
                points = shard["points"].astype(np.float32)
                missing = len(LANDMARKS) - points.shape[1]  # shards of fewer levels say nothing of those above
                known = shard["known"] if "known" in shard.files else np.ones(points.shape[:2], bool)
                self.images.extend(shard["images"])
                self.points.extend(np.pad(points, ((0, 0), (missing, 0), (0, 0)), constant_values=np.nan))
                self.known.extend(np.pad(known, ((0, 0), (missing, 0)), constant_values=False))
            self.seen.add(path)
        for name in ("images", "points", "known"):
            setattr(self, name, getattr(self, name)[-self.limit :])
        return len(self.images)

    def draw(self, rng):
        index = rng.integers(0, len(self.images))
        image, points = augment(self.images[index], self.points[index].astype(np.float64), rng)
        return image, points, self.known[index]

    def film(self, rng):
        index = rng.integers(0, len(self.images))
        return self.images[index], self.points[index]


class ShardPools:
    """Several folders, each drawn from as often as the root of its size, so that a small new one is seen early."""

    def __init__(self, folders, limit):
        self.pools = [ShardPool(folder, limit) for folder in folders]

    def refresh(self):
        return sum(pool.refresh() for pool in self.pools)

    def draw(self, rng):
        return self.pick(rng).draw(rng)

    def film(self, rng):
        return self.pick(rng).film(rng)

    def pick(self, rng):
        weight = np.sqrt([len(pool.images) for pool in self.pools])
        return self.pools[rng.choice(len(self.pools), p=weight / weight.sum())]


class RealPool:
    """Real lateral films whose corners were marked by eye; a corner without a mark is unknown."""

    def __init__(self, corners, data, validation=False, share=0.18):
        self.films = []
        for name, image, points, study in marked_films(corners, data):
            if held_out(study, share) == validation:
                self.films.append((name, image, points))

    def draw(self, rng, size):
        _, image, points = self.films[rng.integers(0, len(self.films))]
        image, moved = augment_film(image, points, rng, *size)
        return image, moved, np.isfinite(points).all(1)


def marked_films(corners, data):
    """Films marked as good: name, grey levels 0..255, (34, 2) corners with NaN where none is marked, study."""
    folder = Path(data) / "xr-parts"
    with open(folder / "manifest.csv") as file:
        study = {row["file"]: row["study"] or row["file"] for row in csv.DictReader(file)}
    for name, film in sorted(json.loads(Path(corners).read_text()).items()):
        if film["status"] != "good":
            continue
        points = np.full((len(LANDMARKS), 2), np.nan)
        for landmark, place in film["corners"].items():
            if landmark in INDEX:
                points[INDEX[landmark]] = place
        yield name, cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE), points, study[name]


# Folders whose films may show a lateral spine although their name does not say so.
AMBIGUOUS = {"lumbar_spine": ("lateral", "two_views"), "thoracic_spine": ("two_views",), "spine_multi": ("two_views",)}
# Where lower thoracic vertebrae may well be seen from the side.
THORACIC = {("thoracic_spine", "lateral"), ("chest", ""), ("others", ""), ("cervical_spine", "lateral")}
BELOW_L1 = [*range(BODY["L2"].start, BODY["L5"].stop), *range(PLATE.start, PLATE.stop)]


NEGATIVE_PARTS = {"choose": (0, 0.1), "report": (0.1, 1 / 3), "train": (1 / 3, 1)}


def negatives(data, part):
    """Real films that show no lateral lumbar spine: group, path and which corners are known to be absent.

    Two thirds of the studies train the net, a tenth chooses the gate's limits, the rest only measures.
    """
    data = Path(data)
    low, high = NEGATIVE_PARTS[part]
    belongs = lambda study: low <= place_of(study) < high
    everything = np.ones(len(LANDMARKS), bool)
    lumbar_only = np.zeros(len(LANDMARKS), bool)
    lumbar_only[BELOW_L1] = True
    with open(data / "xr-parts" / "manifest.csv") as file:
        for row in csv.DictReader(file):
            body, projection = row["part"], row["projection"]
            if projection in AMBIGUOUS.get(body, ()) or not belongs(row["study"] or row["file"]):
                continue
            named = body.endswith("spine") or body in ("chest", "abdomen", "pelvis")
            group = f"{body.replace('_', ' ')}, {projection or 'other'}" if named else "other parts"
            yield group, data / "xr-parts" / row["file"], lumbar_only if (body, projection) in THORACIC else everything
    with open(data / "msk" / "manifest.csv") as file:
        for row in csv.DictReader(file):
            if belongs(f"{row['source']}-{row['base']}"):
                yield f"musculoskeletal, {row['source']}", find(data / "msk", row["file"]), everything
    for folder in ("chest-nih-more", "chest-nih-512"):
        with open(data / folder / "manifest.csv") as file:
            for row in csv.DictReader(file):
                # These come split by patient: their validation part is divided between choosing and measuring.
                kept = "train" if row["split"] == "train" else "choose" if held_out(row["patient"], 0.3) else "report"
                if kept == part:
                    yield "chest (NIH)", find(data / folder, row["file"]), everything


def find(folder, name):
    """A manifest names a file by its path or, in some sets, by its last part."""
    direct = folder / name
    return direct if direct.exists() else next(folder.rglob(Path(name).name))


class NegativePool:
    """The training share of those films, small enough to stay in memory; each group is drawn as often as its root."""

    def __init__(self, data, size, most=400):
        groups = {}
        for group, path, absent in negatives(data, "train"):
            groups.setdefault(group, []).append((path, absent))
        rng = np.random.default_rng(0)
        self.groups = []
        for name in sorted(groups):
            films = [groups[name][i] for i in rng.permutation(len(groups[name]))[:most]]
            self.groups.append([(canvas_of(path, size), absent) for path, absent in films])
        weight = np.array([len(films) for films in self.groups]) ** 0.5
        self.weight = weight / weight.sum()

    def draw(self, rng):
        films = self.groups[rng.choice(len(self.groups), p=self.weight)]
        image, absent = films[rng.integers(0, len(films))]
        image, _ = augment(image, np.zeros((1, 2)), rng)
        return image, np.full((len(LANDMARKS), 2), np.nan), absent


def canvas_of(path, size):
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    canvas, _, _ = letterbox(image.astype(np.float32), None, *size)
    return np.round(canvas).astype(np.uint8)

