"""What the pack says of real vertebrae that nobody labelled: a distribution and a contact sheet, no accuracy.

    python -m training.vertebral_fracture.real_look --data DATA --sheet sheet.png --out real.json

Most of these vertebrae are presumably intact, so the share called broken is close to a share of false alarms; only a
reader could say. The films of `spine-xr-val` are for validation only.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from .pack import FOLDER, Pack
from .real_films import marked, unlabelled

SHOWN = 36


def said(pack, vertebrae):
    answer = pack.read(np.stack([one.crop for one in vertebrae]), [one.corners for one in vertebrae])
    chance = 1 - answer.probability[:, 0]
    limits = pack.model["thresholds"]["anyFracture"], pack.model["likeness"]["mostMeanSquaredZ"]
    alike = answer.unlikeness <= limits[1]
    return answer.probability, chance, chance >= limits[0], alike, answer.hollow


def describe(title, vertebrae, probability, chance, suspected, alike, hollow):
    films = np.array([one.film for one in vertebrae])
    levels = np.array([one.level for one in vertebrae])
    called = probability.argmax(1)
    out = {
        "vertebrae": len(vertebrae),
        "films": len(set(films)),
        "called": [int((called == k).sum()) for k in range(3)],
        "unlikeTraining": int((~alike).sum()),
        "suspected": int(suspected.sum()),
        "suspectedAndAlike": int((suspected & alike).sum()),
        "byRegion": {
            name: {"vertebrae": int(of.sum()), "suspected": int((suspected & of).sum())}
            for name, of in (("T10 to T12", np.char.startswith(levels, "T")), ("L1 to L5", np.char.startswith(levels, "L")))
        },
        "filmsWithSuspicion": len(set(films[suspected & alike])),
        "hollow": dict(zip(("p10", "p50", "p90"), np.percentile(hollow, [10, 50, 90]).tolist(), strict=True)),
        "chanceOfAnyFracture": dict(zip(("p10", "p50", "p90"), np.percentile(chance, [10, 50, 90]).tolist(), strict=True)),
    }
    print(f"{title}: REAL, no fracture labels, {out['vertebrae']} vertebrae of {out['films']} films")
    print(f"  called class 0/1/2: {' / '.join(map(str, out['called']))}; unlike the training phantoms {out['unlikeTraining']}")
    print(f"  above the threshold {out['suspected']}, of these like the training phantoms {out['suspectedAndAlike']} on {out['filmsWithSuspicion']} films")
    print("  " + "; ".join(f"{name}: {row['suspected']} of {row['vertebrae']}" for name, row in out["byRegion"].items()) + " above the threshold")
    print(f"  hollow, 10th/50th/90th percentile: {' / '.join(f'{100 * v:.1f} %' for v in out['hollow'].values())}")
    print(f"  chance of any fracture, 10th/50th/90th percentile: {' / '.join(f'{v:.3f}' for v in out['chanceOfAnyFracture'].values())}", flush=True)
    return out


def sheet(path, vertebrae, probability, chance, alike):
    tiles = []
    for index in np.argsort(-chance)[:SHOWN]:
        one = vertebrae[index]
        tile = cv2.cvtColor((np.clip(one.crop, 0, 1) * 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)
        tile = cv2.resize(tile, (192, 192), interpolation=cv2.INTER_LINEAR)
        cv2.polylines(tile, [np.round((one.corners + 0.5) * 1.5).astype(int)], True, (0, 200, 255), 1, cv2.LINE_AA)
        text = f"{one.level} {' '.join(f'{p:.2f}' for p in probability[index])}{'' if alike[index] else ' unlike'}"
        cv2.putText(tile, text, (3, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 255, 0), 1, cv2.LINE_AA)
        cv2.putText(tile, f"{one.source[:7]} {one.film[-11:-4]}", (3, 187), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 255, 0), 1, cv2.LINE_AA)
        tiles.append(tile)
    while len(tiles) % 9:
        tiles.append(np.zeros_like(tiles[0]))
    cv2.imwrite(str(path), np.vstack([np.hstack(tiles[i : i + 9]) for i in range(0, len(tiles), 9)]))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--pack", type=Path, default=FOLDER)
    arguments.add_argument("--sheet", type=Path)
    arguments.add_argument("--out", type=Path)
    options = arguments.parse_args()
    pack = Pack(options.pack)
    own, refused = unlabelled(options.data)
    print(f"lateral lumbar films refused by the corner finder's gate: {refused}")
    report, everything = {"kind": "real, without fracture labels", "filmsRefused": refused}, []
    for title, vertebrae in (("unifesp, found corners", own), ("spine-xr-val, marked corners", marked(options.data))):
        found = said(pack, vertebrae)
        report[title] = describe(title, vertebrae, *found)
        everything += [(one, *(part[i] for part in found)) for i, one in enumerate(vertebrae)]
    if options.sheet:
        vertebrae, probability, chance, _, alike, _ = zip(*everything, strict=True)
        sheet(options.sheet, vertebrae, np.array(probability), np.array(chance), alike)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
