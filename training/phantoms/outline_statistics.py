"""Shape statistics of real vertebral bodies: how an outline leaves the straight lines between its four corners.

    python -m training.phantoms.outline_statistics --data <shared data>

reads the vertebra masks of sagittal T2 MR (SPIDER, van der Graaf et al. 2024, CC BY 4.0) and writes
`outlines.json`: mean and principal components only, no mask and no patient.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

SAMPLES = 13  # interior points of each side
COMPONENTS = 10
STORED = Path(__file__).with_name("outlines.json")
# Counted upwards from the lowest body that the masks hold, which is L5 in all but transitional spines.
COUNTED = ("L5", "L4", "L3", "L2", "L1", "T12", "T11")


def body_contours(mask):
    """Outlines of whole vertebral bodies in a slice, from below; the masks' patients look to the left."""
    canal = np.argwhere(mask == 3)
    if len(canal) < 50:
        return []
    _, labels, stats, centres = cv2.connectedComponentsWithStats((mask == 1).astype(np.uint8), connectivity=4)
    found = []
    for number in range(1, len(stats)):
        x, y, width, height, area = stats[number]
        near = canal[np.abs(canal[:, 0] - centres[number][1]) < 8]
        before_canal = len(near) and centres[number][0] < near[:, 1].mean()
        whole = x > 2 and y > 2 and x + width < mask.shape[1] - 2 and y + height < mask.shape[0] - 2
        if area > 900 and before_canal and whole:
            part = cv2.resize((labels == number).astype(np.float32), None, fx=3, fy=3, interpolation=cv2.INTER_LINEAR)
            part = cv2.GaussianBlur(part, (0, 0), 2.0) > 0.5  # the steps between voxels are no anatomy
            outline = max(cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=len)
            found.append((outline[:, 0].astype(float) * [-1, 1], centres[number][1]))
    return [outline for outline, _ in sorted(found, key=lambda pair: -pair[1])]


def corner_indices(outline):
    """Points farthest along the diagonals of the turned bounding box, in the order of a body's corners."""
    (cx, cy), (width, height), turn = cv2.minAreaRect(outline.astype(np.float32))
    turn = np.radians(turn)
    if abs(np.cos(turn)) < np.sqrt(0.5):
        turn, width, height = turn + np.pi / 2, height, width
    if np.cos(turn) < 0:
        turn += np.pi
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    u, v = ((outline - [cx, cy]) @ axes.T / [width, height]).T
    return [int((sx * u + sy * v).argmax()) for sx, sy in ((-1, 1), (1, 1), (1, -1), (-1, -1))]


def side_profile(points, samples=SAMPLES):
    """Distance of a side from its chord, outwards positive, in chords' own parameter; not yet scaled."""
    chord = points[-1] - points[0]
    length = np.linalg.norm(chord)
    along, out = chord / length, np.array([-chord[1], chord[0]]) / length
    t = np.maximum.accumulate((points - points[0]) @ along / length + np.arange(len(points)) * 1e-9)
    wanted = np.arange(1, samples + 1) / (samples + 1)
    return np.interp(wanted, t, (points - points[0]) @ out)


def profiles(outline):
    """All four sides (below, front, above, back) in units of the body's depth, 4 * SAMPLES numbers."""
    corners = corner_indices(outline)
    if len(set(corners)) < 4:
        return None
    depth = np.linalg.norm(outline[corners[1]] + outline[corners[2]] - outline[corners[0]] - outline[corners[3]]) / 2
    centre, sides = outline.mean(0), []
    for start, end in zip(corners, corners[1:] + corners[:1]):
        forth, back = (np.arange(start, start + (end - start) % len(outline) + 1) % len(outline)), None
        back = np.arange(start, start - (start - end) % len(outline) - 1, -1) % len(outline)
        path = outline[forth if len(forth) < len(back) else back]
        profile = side_profile(path)
        middle = path[0] * 0.5 + path[-1] * 0.5
        chord = path[-1] - path[0]
        outwards = np.sign(np.array([-chord[1], chord[0]]) @ (middle - centre))
        sides.append(profile * outwards / depth)
    return np.concatenate(sides)


def measure(folder):
    rows, by_level, patients = [], defaultdict(list), set()
    for path in sorted(Path(folder).glob("*.png")):
        patient = path.name.split("_")[0]
        for number, outline in enumerate(body_contours(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))):
            row = profiles(outline)
            if row is None or np.abs(row).max() > 0.3:
                continue
            rows.append(row)
            patients.add(patient)
            if number < len(COUNTED):
                by_level[COUNTED[number]].append(row)
    rows = np.array(rows)
    means = {level: np.mean(by_level[level], 0) for level in COUNTED}
    residual = np.concatenate([np.array(by_level[level]) - means[level] for level in COUNTED])
    _, singular, axes = np.linalg.svd(residual - residual.mean(0), full_matrices=False)
    variance = singular**2 / len(residual)
    return {
        "source": "SPIDER lumbar MR (van der Graaf et al. 2024), CC BY 4.0: vertebra masks of sagittal T2 slices",
        "statistics": "distance of each side from its chord in body depths, outwards positive; sides below, front, "
        "above, back; from back to front below, upwards in front, front to back above, downwards behind",
        "patients": len(patients),
        "bodies": len(rows),
        "samples": SAMPLES,
        "explained": round(float(variance[:COMPONENTS].sum() / variance.sum()), 3),
        "deviations": [round(float(v), 5) for v in np.sqrt(variance[:COMPONENTS])],
        "components": [[round(float(v), 4) for v in axis] for axis in axes[:COMPONENTS]],
        "means": {level: [round(float(v), 4) for v in mean] for level, mean in means.items()},
    }


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, default=STORED)
    options = arguments.parse_args()
    found = measure(options.data / "spine-mr-t2" / "masks")
    options.out.write_text(json.dumps(found, separators=(",", ":")) + "\n")
    print(found["patients"], "patients,", found["bodies"], "bodies,", found["explained"], "of the variance kept")
