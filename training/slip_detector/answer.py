"""Let the slip detector answer the films of a data manifest, for `wetread evaluate --answers`.

python -m training.slip_detector.answer OUT/slip-detector.onnx FILMS/manifest.csv answers.jsonl
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
from .films import SIZE
from .segments import SEGMENTS


class Detector:
    def __init__(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def boxes(self, image):
        """A grey film in 0..1 to the best box of each level: a film has one segment of each name."""
        rows, columns = image.shape
        canvas, _, scale = letterbox(image, None, *SIZE)
        boxes, segments, scores = self.session.run(None, {"image": normalise(canvas)[None, None].astype(np.float32)})
        width, height = int(round(columns * scale)), int(round(rows * scale))
        corner = np.array([(SIZE[1] - width) // 2, (SIZE[0] - height) // 2] * 2)
        # From pixel centres of the canvas to wetread's pixels, whose first centre is at 0.5.
        moved = (boxes + 0.5 - corner) * np.array([columns / width, rows / height] * 2)
        best = {}
        for index in np.argsort(scores, kind="stable"):
            best[int(segments[index])] = index
        return [
            {"label": SEGMENTS[segment], "box": [round(float(v), 2) for v in moved[index]], "score": round(float(scores[index]), 6)}
            for segment, index in sorted(best.items())
        ]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("manifest", type=Path)
    arguments.add_argument("out", type=Path)
    options = arguments.parse_args()
    cv2.setNumThreads(1)
    detector, took = Detector(options.model), []
    with open(options.manifest, newline="") as table, open(options.out, "w") as out:
        for row in csv.DictReader(table):
            image = cv2.imread(str(options.manifest.parent / row["file"]), cv2.IMREAD_GRAYSCALE)
            began = time.perf_counter()
            boxes = detector.boxes(image.astype(np.float32) / 255)
            took.append(1000 * (time.perf_counter() - began))
            out.write(json.dumps({"file": row["file"], "boxes": boxes, "milliseconds": round(took[-1], 2)}) + "\n")
    print(f"{len(took)} films, median {np.median(took):.0f} ms each on one thread: {options.out}")


if __name__ == "__main__":
    main()
