"""Phantoms of the fixed lists, as drawn and as the model reads them."""

import pickle
from dataclasses import dataclass, replace
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from ..phantoms.generator import Setting, render
from ..phantoms.geometry import COUNTED, INDEX, PLATE, SLIP_LEVELS, lower_plate, measured_offsets
from . import gate
from .reader import INPUT, FilmReader

# First seeds of the fixed lists; training uses 100,000 to 4,999,999. Lists below these were read for earlier weights.
SEEDS = {"validation": 7_000_000, "severe": 7_100_000, "held-out A/B/D": 8_450_000, "held-out C": 8_870_000}
VALIDATION = "ABD"
REPORTED = slice(1, 6)  # L1/L2 to L5/S1; T12 only helps to count
DEEP = 65535
SLIP_FROM = 0.09  # displacement beyond the normal offset from which a phantom counts as slipped


@dataclass(frozen=True)
class Row:
    error: np.ndarray  # mm per corner from L1 to S1, NaN where not in view
    seen: np.ndarray  # per reported level, whether its three corners are in view
    true: np.ndarray  # offsets per reported level, fractions of the lower end plate
    read: np.ndarray
    slipped: np.ndarray
    above: np.ndarray  # mm per corner of T10 to T12, NaN where not in view
    stated: np.ndarray  # squared error per corner from L1 to S1 over the covariance that the net states
    signals: dict
    sacrum: bool  # S1 in view
    complete: bool  # L1 to S1 in view
    variant: str  # of the spine: the usual one or a transitional one
    facing_right: bool

    @property
    def levels_right(self):
        """A level off is a whole body's height, some 30 mm: half the corners of such a film are far away."""
        return bool(np.nanmedian(self.error) < 12)


def levels_in_view(in_view):
    corners = lambda level: [INDEX[f"{level}.posteriorInferior"], *lower_plate(level)]
    return np.array([in_view[corners(level)].all() for level in SLIP_LEVELS])


def squared_in_spread(reading, truth):
    """Squared distance of each corner from the truth in units of its stated spread (Mahalanobis)."""
    away = reading.points - truth
    xx, yy, xy = reading.covariance.T
    found = xx * yy - xy**2
    return (yy * away[:, 0] ** 2 - 2 * xy * away[:, 0] * away[:, 1] + xx * away[:, 1] ** 2) / np.maximum(found, 1e-9)


def severe(seed):
    """A far slip or a body that lost a third to six tenths of its height: what the gate must not take for misread."""
    rng = np.random.default_rng([seed, 7])
    if rng.uniform() < 0.5:
        level = str(rng.choice(["L3", "L4", "L5"], p=[0.2, 0.4, 0.4]))
        return Setting(displacement={level: float(rng.uniform(0.25, 0.75))})
    level = str(rng.choice(["T12", "L1", "L2", "L3", "L4"], p=[0.2, 0.3, 0.2, 0.15, 0.15]))
    kind = str(rng.choice(["wedge", "crush", "burst", "biconcave"]))
    return Setting(fractures={level: (kind, float(rng.uniform(0.3, 0.6)))})


def drawn(name, versions, index, kept=None):
    """A film of a list; with a folder `kept` it is drawn once, and its grey levels are sixteen bits afterwards."""
    seed, version = SEEDS[name] + index, versions[index % len(versions)]
    path = kept and Path(kept) / f"{version}-{seed}.pkl"
    if path and path.exists():
        film = pickle.loads(path.read_bytes())
        return replace(film, image=film.image.astype(np.float32) / DEEP)
    film = render(seed, version, *INPUT, severe(seed) if name == "severe" else Setting())
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(pickle.dumps(replace(film, image=np.round(film.image * DEEP).astype(np.uint16))))
        part.rename(path)
    return film


def read_phantom(reader, name, versions, index, kept=None):
    film = drawn(name, versions, index, kept)
    reading = reader.read(film.image)
    height, width = film.image.shape
    in_view = ((film.landmarks >= 0) & (film.landmarks <= [width - 1, height - 1])).all(1)
    error = np.linalg.norm(reading.points - film.landmarks, axis=1) * film.pixel_mm
    error = np.where(in_view, error, np.nan)
    stated = np.where(in_view, squared_in_spread(reading, film.landmarks), np.nan)
    displacement = np.array([film.spine.displacement[level] for level in SLIP_LEVELS])
    return Row(
        error=error[COUNTED],
        above=error[: COUNTED.start],
        stated=stated[COUNTED],
        seen=levels_in_view(in_view)[REPORTED],
        true=film.offsets()[REPORTED],
        read=measured_offsets(reading.points)[REPORTED],
        slipped=displacement[REPORTED] >= SLIP_FROM,
        signals=gate.signals(reading, film.image.shape),
        sacrum=bool(in_view[PLATE].all()),
        complete=bool(in_view[COUNTED].all()),
        variant=film.variant,
        facing_right=reading.facing == film.facing,
    )


def read_share(task):
    model, name, versions, indices, kept = task
    reader = FilmReader(model)
    return [read_phantom(reader, name, versions, index, kept) for index in indices]


def read_phantoms(model, name, versions, count, workers=2, kept=None):
    """Render and read a list on a few processes; the rows come back in the order of their seeds."""
    shares = [(model, name, versions, range(start, count, workers), kept) for start in range(workers)]
    with Pool(workers) as pool:
        parts = pool.map(read_share, shares)
    return [parts[index % workers][index // workers] for index in range(count)]
