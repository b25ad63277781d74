"""Render phantoms into shards of a few hundred films; training picks up new shards as they appear.

A shard holds `images`, `points` (NaN: the corner is not on the film) and `known`: False where nothing is known of a
corner, so that it is trained neither as seen nor as absent.

python -m training.lumbar_landmarks.shards OUT --versions A B --first 100000 --films 12000
python -m training.lumbar_landmarks.shards FINE --versions A B T --fine --first 400000 --films 4000
python -m training.lumbar_landmarks.shards OUT --versions D V D B --volumes volumes.npz --first 1200000 --films 12000
"""

import argparse
from pathlib import Path

import numpy as np

from ..phantoms.ct_tissue import Projections
from ..phantoms.ct_volumes import DeformedProjections
from ..phantoms.generator import Setting, generator_hash, render
from .dataset import letterbox

COARSE, FINE = (384, 256), (768, 512)


def render_shard(seeds, versions, size=COARSE, projections=None, volumes=None, setting=Setting()):
    images, points, known, sizes, kinds = [], [], [], [], []
    for index, seed in enumerate(seeds):
        film = render(seed, versions[index % len(versions)], *size, setting, projections, volumes)
        image, moved, scale = letterbox(film.image, film.landmarks, *size)
        images.append(np.round(image * 255).astype(np.uint8))
        height, width = film.image.shape
        outside = ((film.landmarks < 0) | (film.landmarks > [width - 1, height - 1]) | np.isnan(film.landmarks)).any(-1)
        moved[outside] = np.nan
        points.append(moved)
        known.append(film.known)
        kinds.append((film.version, film.variant, film.view))
        sizes.append(film.pixel_mm / scale)
    return {
        "images": np.stack(images),
        "points": np.stack(points).astype(np.float32),
        "known": np.stack(known),
        "pixel_mm": np.array(sizes, np.float32),
        "seeds": np.array(list(seeds)),
        "kinds": np.array(kinds),  # version, variant, view
    }


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--versions", nargs="+", default=["A", "B"])
    arguments.add_argument("--first", type=int, default=100_000)
    arguments.add_argument("--films", type=int, default=12_000)
    arguments.add_argument("--ct", type=Path, help="projections made by training.phantoms.ct_tissue, for version T")
    arguments.add_argument("--volumes", type=Path, help="projections made by training.phantoms.ct_volumes, for version V")
    arguments.add_argument("--fine", action="store_true", help="full input size, for the second stage")
    arguments.add_argument("--view", choices=["lumbar", "thoracolumbar"], help="the view of every film, else drawn")
    arguments.add_argument("--shard", type=int, default=200)
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    projections = Projections.load(options.ct) if options.ct else None
    volumes = DeformedProjections.load(options.volumes) if options.volumes else None
    for start in range(options.first, options.first + options.films, options.shard):
        path = options.out / f"shard-{start:07d}.npz"
        if path.exists():
            continue
        shard = render_shard(
            range(start, start + options.shard),
            options.versions,
            FINE if options.fine else COARSE,
            projections,
            volumes,
            Setting(view=options.view),
        )
        part = path.with_suffix(".part.npz")
        np.savez(part, **shard, generator=generator_hash())
        part.rename(path)
        print(path.name, flush=True)


if __name__ == "__main__":
    main()
