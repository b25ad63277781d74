"""Let the slip detector answer the films of a data manifest, for `wetread evaluate --answers`.

python -m training.slip_detector.answer OUT/slip-detector.onnx FILMS/manifest.csv answers.jsonl
python -m training.slip_detector.answer OUT/slip-detector.onnx FILMS/manifest.csv answers.jsonl --by boxes   # without the branch
"""

import argparse
import csv
import json
import time
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from ..lumbar_landmarks.dataset import letterbox, normalise
from ..lumbar_landmarks.export import INPUT
from .segments import SEGMENTS

SCORES = ("boxes", "branch", "both")


class Detector:
    def __init__(self, path, by="both"):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.by = by

    def segments(self, image):
        """A grey film in 0..1 to the best box of each level, its score and its step: a film has one segment of each name."""
        rows, columns = image.shape
        canvas, _, scale = letterbox(image, None, *INPUT)
        boxes, segments, found, slipped, offsets = self.session.run(
            ["boxes", "segments", "found", "slipped", "offsets"],
            {"image": normalise(canvas)[None, None].astype(np.float32)},
        )
        width, height = int(round(columns * scale)), int(round(rows * scale))
        corner = np.array([(INPUT[1] - width) // 2, (INPUT[0] - height) // 2] * 2)
        # From pixel centres of the canvas to wetread's pixels, whose first centre is at 0.5.
        moved = (boxes + 0.5 - corner) * np.array([columns / width, rows / height] * 2)
        answer = {}
        for segment, name in enumerate(SEGMENTS):
            of_level = np.flatnonzero(segments == segment)
            if len(of_level):
                best = of_level[found[of_level].max(1).argmax()]
                answer[name] = {
                    "box": moved[best],
                    "score": self.score(found[of_level].max(0), slipped[best]),
                    "percent": 100 * offsets[best, 0],
                    "deviation": 100 * offsets[best, 1],
                }
        return answer

    def score(self, found, slipped):
        """What a level's classes said, slipped and in place, and what the branch said."""
        share = found[0] / max(found.sum(), 1e-6)
        if self.by == "boxes":
            return float(found[0])
        # Where no segment is sure to be, none is sure to have slipped.
        return float(found.max() * (slipped if self.by == "branch" else np.sqrt(slipped * share)))


def row_of(file, segments, milliseconds, with_values):
    row = {
        "file": file,
        "boxes": [
            {"label": name, "box": [round(float(v), 2) for v in one["box"]], "score": round(one["score"], 6)}
            for name, one in segments.items()
        ],
        "milliseconds": round(milliseconds, 2),
    }
    if with_values:
        spread = lambda one: [round(float(one["percent"] + sign * 1.96 * one["deviation"]), 3) for sign in (-1, 1)]
        row["values"] = {
            f"slip-percent@{name}": {"value": round(float(one["percent"]), 3), "interval": spread(one)}
            for name, one in segments.items()
        }
    return row


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("manifest", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--by", choices=SCORES, default="branch", help="what says that a segment slipped")
    options = arguments.parse_args()
    cv2.setNumThreads(1)
    detector, took = Detector(options.model, options.by), []
    with open(options.manifest, newline="") as table, open(options.out, "w") as out:
        for row in csv.DictReader(table):
            image = cv2.imread(str(options.manifest.parent / row["file"]), cv2.IMREAD_GRAYSCALE)
            began = time.perf_counter()
            segments = detector.segments(image.astype(np.float32) / 255)
            took.append(1000 * (time.perf_counter() - began))
            out.write(json.dumps(row_of(row["file"], segments, took[-1], options.by != "boxes")) + "\n")
    print(f"{len(took)} films, median {np.median(took):.0f} ms each on one thread: {options.out}")


if __name__ == "__main__":
    main()
