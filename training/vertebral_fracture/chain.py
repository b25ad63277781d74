"""The whole pack, as the service runs it, on the hand-marked real films: how many vertebrae it judges and suspects.

    python -m training.vertebral_fracture.chain --data DATA --out chain.json

`spine-xr-val` carries no fracture label and is validation only. The hand-marked corners say how many of its bodies have
lost a fifth at their front or back wall, by the service's own rule: hardly any, so suspicions are close to false alarms.
"""

import argparse
import json
import math
import subprocess
from pathlib import Path

import numpy as np

from ..lumbar_landmarks.real_films import films as marked_films
from .cohorts import bodies_of
from .radiomics import NODE

ROOT = Path(__file__).parents[2]
CORNERS = ROOT / "models" / "lumbar-landmarks" / "manifest.json"
LEVELS = ("T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5")
NEAR = 3  # levels
CONCEPT = "vertebral-fracture"


def readings(films):
    """What `wetread infer` answers, film by film."""
    node = str(NODE) if NODE.exists() else "node"
    command = [node, "src/cli/wetread.ts", "infer", *map(str, films), "--pack", CONCEPT, "--json", "--modality", "DX", "--view", "lateral"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if not done.stdout:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def wilson(count, of, z=1.959964):
    middle = (count + z * z / 2) / (of + z * z)
    half = z * math.sqrt(count * (of - count) / of + z * z / 4) / (of + z * z)
    return middle - half, middle + half


def wall_losses(truth, reference):
    """Largest loss of front or back wall of each marked body, against its level and the bodies nearby, as `heights.ts` has it."""
    ratios, backs = reference["anteriorPosteriorHeightRatio"], reference["posteriorHeightToDepthOfL3"]
    bodies = {level: corners for level, corners in bodies_of(truth).items() if level in LEVELS and np.isfinite(corners).all()}
    back = {level: np.linalg.norm(c[3] - c[0]) for level, c in bodies.items()}
    front = {level: np.linalg.norm(c[2] - c[1]) for level, c in bodies.items()}
    for level in bodies:
        place = LEVELS.index(level)
        near = [one for one in bodies if one != level and abs(LEVELS.index(one) - place) <= NEAR]
        if near:
            usual = np.median([back[one] / backs[one]["mean"] for one in near]) * backs[level]["mean"]
            yield max(1 - back[level] / usual, 1 - front[level] / (usual * ratios[level]["mean"]))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path)
    options = arguments.parse_args()
    folder = options.data / "spine-xr-val"
    manifest = json.loads(CORNERS.read_text())
    findings, read = [], 0
    for one in readings(sorted(folder.glob("film*.png"))):
        found = [
            finding
            for picture in one.get("pictures", [])
            for reading in picture["readings"]
            for finding in reading["findings"]
            if finding["concept"] == CONCEPT
        ]
        read += bool(found)
        findings += found
    kinds = [f["result"]["kind"] for f in findings]
    classes = [[g["value"] for g in f["result"].get("grades", []) if g["scale"] == "OVF class"] for f in findings]
    suspected = [value[0] for kind, value in zip(kinds, classes, strict=True) if kind == "detected"]
    looks = sum(kind == "measured" and bool(value) and value[0] != "0" for kind, value in zip(kinds, classes, strict=True))
    judged = sum(kind != "not-assessable" for kind in kinds)
    losses = [loss for _, _, truth, _ in marked_films(options.data) for loss in wall_losses(truth, manifest["reference"])]
    out = {
        "kind": "real, without fracture labels",
        "corners": manifest["version"],
        "films": len(list(folder.glob("film*.png"))),
        "read": read,
        "judged": judged,
        "notJudged": len(findings) - judged,
        "suspected": len(suspected),
        "suspectedInterval": wilson(len(suspected), judged),
        "suspectedByClass": {value: suspected.count(value) for value in sorted(set(suspected))},
        "onlyLooksBroken": looks,
        "marked": {"bodies": len(losses), "lostAFifth": int(sum(loss >= 0.2 for loss in losses))},
    }
    print(json.dumps(out, indent=1))
    if options.out:
        options.out.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
