"""The same reading written the usual way in Python: pydicom, numpy and Pillow, onnxruntime, one film after the other.

Speaks lines of JSON: {"films": [paths], "model": path, "threads": n, "rows", "columns"} opens, each {"run": count} then
reads that many films and answers {"seconds"}; {"prepare": count} does the same for the way
from the grey film to the tensor alone. {"larger": [film, its stored values, to, times]}
writes it uncompressed with each pixel repeated, as large as films come from today's detectors. No part of Wetread is used.
"""

import json
import os
import sys
import time

import numpy as np
import onnxruntime
import pydicom
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut

# As Wetread's model processes do.
os.nice(10)


def larger(source, values, target, times):
    dataset = pydicom.dcmread(source)
    stored = np.fromfile(values, "<u2").reshape(dataset.Rows, dataset.Columns)
    pixels = np.kron(stored, np.ones((times, times), stored.dtype))
    dataset.PixelData, (dataset.Rows, dataset.Columns) = pixels.tobytes(), pixels.shape
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OW", False
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    for name in ("PixelSpacing", "ImagerPixelSpacing"):
        if name in dataset:
            setattr(dataset, name, [float(value) / times for value in getattr(dataset, name)])
    dataset.save_as(target)


def shown(dataset):
    """As a workstation shows it, 0 to 1."""
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(np.float32)
    lowest = -(2 ** (dataset.BitsStored - 1)) if dataset.PixelRepresentation else 0
    if "WindowWidth" in dataset or "VOILUTSequence" in dataset:
        ends = np.array([lowest, lowest + 2**dataset.BitsStored - 1]) * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
        values = (values - ends.min()) / (ends.max() - ends.min())
    else:
        values = (values - values.min()) / (values.max() - values.min())
    return 1 - values if dataset.PhotometricInterpretation == "MONOCHROME1" else values


def prepared(image, rows, columns):
    scale = min(rows / image.shape[0], columns / image.shape[1])
    height, width = round(image.shape[0] * scale), round(image.shape[1] * scale)
    top, left = (rows - height) // 2, (columns - width) // 2
    canvas = np.zeros((rows, columns), np.float32)
    # Pillow's BOX is OpenCV's INTER_AREA.
    canvas[top:top + height, left:left + width] = np.asarray(Image.fromarray(image).resize((width, height), Image.BOX))
    canvas = (canvas - canvas.mean()) / (canvas.std() + 1e-4)
    return canvas[None, None], (left, top, image.shape[1] / width, image.shape[0] / height)


def read(session, path, rows, columns):
    tensor, (left, top, across, down) = prepared(shown(pydicom.dcmread(path)), rows, columns)
    (landmarks,) = session.run(["landmarks"], {"image": tensor})
    kept = landmarks[0]
    return np.stack([(kept[:, 0] + 0.5 - left) * across, (kept[:, 1] + 0.5 - top) * down], axis=1)


def main():
    session, films, shape = None, [], (0, 0)
    for line in sys.stdin:
        order = json.loads(line)
        answer = {}
        if "larger" in order:
            larger(*order["larger"])
        elif "films" in order:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = order["threads"], 1
            session = onnxruntime.InferenceSession(order["model"], options, providers=["CPUExecutionProvider"])
            films, shape = order["films"], (order["rows"], order["columns"])
            answer["landmarks"] = [read(session, film, *shape).tolist() for film in films]
        elif "prepare" in order:
            image = shown(pydicom.dcmread(films[0]))
            prepared(image, *shape)
            started = time.perf_counter()
            for _ in range(order["prepare"]):
                prepared(image, *shape)
            answer["seconds"] = time.perf_counter() - started
        else:
            started = time.perf_counter()
            for index in range(order["run"]):
                read(session, films[index % len(films)], *shape)
            answer["seconds"] = time.perf_counter() - started
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
