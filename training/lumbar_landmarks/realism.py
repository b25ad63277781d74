"""What drawn films lack: the tones and the clutter of photographed ones, borrowed from chest films that show no lumbar spine.

Frontal chest films (NIH, training split) share nothing with a lateral lumbar film but the detector, the noise, the
processing and living tissue. Their corners are of no use and are not used; only their grey values are.
"""

import csv
from pathlib import Path

import cv2
import numpy as np


def blurred(image, sigma):
    """As a Gaussian blur, at a quarter of the size where nothing finer is left: the wide ones cost most."""
    if sigma < 8:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    height, width = image.shape
    small = cv2.resize(image, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    return cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / 4), (width, height), interpolation=cv2.INTER_LINEAR)


class RealFilms:
    def __init__(self, data, size=(384, 256), most=600, split="train"):
        folder = Path(data) / "chest-nih-512"
        with open(folder / "manifest.csv", newline="") as table:
            names = [row["file"] for row in csv.DictReader(table) if row["split"] == split]
        self.height, self.width = size
        self.films = []
        for name in names[:most]:
            film = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE)
            if film is not None:
                self.films.append(film)

    def patch(self, rng):
        """Any part of any film, turned and mirrored at will, as large as the phantom's film."""
        film = self.films[rng.integers(len(self.films))]
        side = rng.uniform(0.35, 1.0) * min(film.shape)
        height, width = (side, side * self.width / self.height)
        top, left = rng.uniform(0, film.shape[0] - height), rng.uniform(0, film.shape[1] - width)
        part = film[int(top) : int(top + height), int(left) : int(left + width)]
        if rng.uniform() < 0.5:
            part = part[:, ::-1]
        if rng.uniform() < 0.5:
            part = part[::-1]
        part = cv2.resize(np.ascontiguousarray(part), (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        return part.astype(np.float32) / 255


def real_tones(image, other, rng):
    """The other film's lowest frequencies by size, the film's own by place: its window, its fall of light, its haze."""
    share = rng.uniform(0.2, 0.9)
    radius = rng.uniform(0.006, 0.03) * min(image.shape)
    spectrum, foreign = np.fft.rfft2(image), np.fft.rfft2(other)
    rows = np.fft.fftfreq(image.shape[0]) * image.shape[0]
    columns = np.fft.rfftfreq(image.shape[1]) * image.shape[1]
    low = np.exp(-(rows[:, None] ** 2 + columns[None] ** 2) / (2 * radius**2)) * share
    size = np.abs(spectrum)
    mixed = size * (1 - low) + np.abs(foreign) * low
    out = np.fft.irfft2(spectrum / np.maximum(size, 1e-6) * mixed, image.shape)
    return np.clip(out, 0, 1).astype(np.float32)


def real_clutter(image, other, rng):
    """Tissue in front of and behind the spine: attenuation adds up, and so do the greys of a film."""
    detail = other - blurred(other, rng.uniform(8, 50))
    return np.clip(image + detail * rng.uniform(0.15, 0.9), 0, 1)


def washed_out(image, rng):
    """Where the pelvis is over-exposed, or the belly under-exposed, the contrast fades to almost nothing."""
    height, width = image.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    centre_y = height * (rng.uniform(0.55, 1.0) if rng.uniform() < 0.75 else rng.uniform(0, 1))
    centre_x = width * rng.uniform(0.1, 0.9)
    reach_y, reach_x = height * rng.uniform(0.12, 0.45), width * rng.uniform(0.25, 1.2)
    fade = np.exp(-((y - centre_y) ** 2) / (2 * reach_y**2) - (x - centre_x) ** 2 / (2 * reach_x**2))
    fade *= rng.uniform(0.4, 0.93)
    haze = blurred(image, rng.uniform(8, 25))
    level = np.clip(haze + rng.uniform(-0.15, 0.35) * fade, 0, 1)
    return np.clip(level + (image - haze) * (1 - fade), 0, 1)


def like_a_photograph(image, films, rng):
    if rng.uniform() < 0.45:
        image = washed_out(image, rng)
    if films is not None and rng.uniform() < 0.5:
        image = real_clutter(image, films.patch(rng), rng)
    if films is not None and rng.uniform() < 0.4:
        image = real_tones(image, films.patch(rng), rng)
    return image
