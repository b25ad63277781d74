"""Rendered shards as a stream of augmented films with their boxes."""

from pathlib import Path

import numpy as np
import torch

from ..lumbar_landmarks.augment import augment
from .segments import box_of, counted, offsets, slipped

SIZE = (384, 256)


class Films:
    """All shards in some folders; `refresh` adds those that appeared since."""

    def __init__(self, folders, limit):
        self.folders, self.limit = [Path(folder) for folder in folders], limit
        self.seen, self.images, self.points, self.slips = set(), [], [], []

    def refresh(self):
        fresh, images, points = 0, [], []
        # The newest first: what is beyond the limit need not be read from the disk.
        for path in sorted((path for folder in self.folders for path in folder.glob("shard-*.npz")), reverse=True):
            if path in self.seen or path.name.endswith(".part.npz"):
                continue
            self.seen.add(path)
            if fresh < self.limit:
                with np.load(path) as shard:
                    images.append(shard["images"])
                    points.append(counted(shard["points"]))
                fresh += len(images[-1])
        for shard, places in zip(reversed(images), reversed(points)):
            self.images.extend(shard)
            self.points.extend(places)
            # A film is stretched when it is shown; what is a slip was settled before.
            self.slips.extend(slipped(offsets(one)) for one in places)
        for kept in (self.images, self.points, self.slips):
            del kept[: -self.limit]
        return len(self.images)

    def batch(self, rng, size):
        chosen = rng.integers(0, len(self.images), size)
        images, targets = [], []
        for index in chosen:
            image, points = augment(self.images[index], self.points[index], rng)
            images.append(torch.from_numpy(image.astype(np.float32))[None])
            targets.append(target_of(points, self.slips[index]))
        return images, targets


def target_of(points, slips):
    """Boxes of segments that are wholly in view: label 1 to 5 where slipped, 6 to 10 where not.

    Segments in place are classes of their own while training: they look almost the same, and as mere background they
    would be told apart only by chance of the sampler. The detector forgets them when it answers.
    """
    boxes, labels = [], []
    for segment, slip in enumerate(slips):
        box = box_of(points, segment, SIZE)
        if np.isfinite(box).all() and box[2] - box[0] > 4 and box[3] - box[1] > 4:
            boxes.append(box)
            labels.append(segment + 1 if slip != 0 else segment + 6)
    return {
        "boxes": torch.tensor(np.array(boxes).reshape(-1, 4), dtype=torch.float32),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }
