"""Radiomics and deep features of every vertebra of a cohort, as the service computes them; kept beside the crops.

    python -m training.vertebral_fracture.features OUT --backbone radiographs=OUT/radiographs.onnx fractals=OUT/fractals.onnx
"""

import argparse
import hashlib
import time
from pathlib import Path

import numpy as np

from . import cohorts
from .backbone import normalised
from .crops import mask_of
from .export import session_of
from .radiomics import radiomics_of


def deep_of(crops, path, batch=8):
    session = session_of(path)
    out = []
    for start in range(0, len(crops), batch):
        x = normalised(crops[start : start + batch])[:, None]
        out.append(session.run(["features"], {"crops": np.ascontiguousarray(x, np.float32)})[0])
    return np.concatenate(out)


def cached(path, compute):
    """Arrays of a file, computed once."""
    if not path.exists():
        part = path.with_suffix(".part.npz")
        np.savez(part, **compute())
        part.rename(path)
    return dict(np.load(path))


def radiomics_for(folder, name, columns, identity):
    def compute():
        masks = np.stack([mask_of(corners) for corners in columns["corners"]])
        names, values, milliseconds = radiomics_of(columns["crop"], masks)
        print(f"{name}: radiomics {np.median(milliseconds):.1f} ms a vertebra (median)", flush=True)
        return {"names": np.array(names), "values": values}

    return cached(Path(folder) / f"radiomics_{name}_{identity['list'][:10]}.npz", compute)


def deep_for(folder, name, columns, identity, backbone):
    def compute():
        began = time.process_time()
        values = deep_of(columns["crop"], backbone)
        print(f"{name}: {Path(backbone).name} {1000 * (time.process_time() - began) / len(values):.1f} ms a vertebra", flush=True)
        return {"values": values}

    digest = hashlib.sha256(Path(backbone).read_bytes()).hexdigest()
    return cached(Path(folder) / f"deep_{name}_{identity['list'][:10]}_{digest[:10]}.npz", compute)["values"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--backbone", nargs="+", default=[], help="name=file.onnx")
    options = arguments.parse_args()
    for name in cohorts.COHORTS:
        if not any(Path(options.folder).glob(f"{name}-[0-9]*.npz")):
            continue
        columns, identity = cohorts.load(options.folder, name)
        radiomics_for(options.folder, name, columns, identity)
        for pair in options.backbone:
            deep_for(options.folder, name, columns, identity, pair.split("=", 1)[1])


if __name__ == "__main__":
    main()
