"""From attenuation to a grey film in 0..1: scatter, noise, blur, the maker's processing, window, collimation."""

import cv2
import numpy as np


def blur(film, millimetres, pixel):
    sigma = millimetres / pixel
    return film if sigma < 0.2 else cv2.GaussianBlur(film, (0, 0), float(sigma))


def wide_blur(film, millimetres, pixel):
    """A broad Gaussian, computed on a small copy."""
    sigma = millimetres / pixel
    factor = max(1, int(sigma / 3))
    small = cv2.resize(
        film, (max(4, film.shape[1] // factor), max(4, film.shape[0] // factor)), interpolation=cv2.INTER_AREA
    )
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor)
    return cv2.resize(small, film.shape[::-1], interpolation=cv2.INTER_LINEAR)


def expose(attenuation, pixel, rng, noise=(3.2, 5.0)):
    """Transmission with scatter and quantum noise, back to log. Noise per area is the same at every pixel size."""
    transmitted = np.exp(-np.clip(attenuation, 0, 9))
    transmitted = transmitted + rng.uniform(0.02, 0.35) * wide_blur(transmitted, rng.uniform(18, 60), pixel)
    photons = 10 ** rng.uniform(*noise) * 3 * pixel**2
    counts = transmitted * photons
    noisy = counts + rng.standard_normal(counts.shape, dtype=np.float32) * np.sqrt(counts)
    return -np.log(np.clip(noisy / photons, 3e-4, None)).astype(np.float32)


def process(film, pixel, rng, style):
    """Edge enhancement and tone scale; `shell` films use another family of both."""
    if style == "shell":
        levels = [film] + [wide_blur(film, width, pixel) for width in (2.0, 6.0, 18.0, 54.0)]
        gains = rng.uniform(0.5, 2.4, 4)
        out = levels[-1] * rng.uniform(0.35, 1.0)
        for fine, coarse, gain in zip(levels, levels[1:], gains):
            detail = fine - coarse
            limit = rng.uniform(0.1, 0.6)
            out = out + gain * limit * np.tanh(detail / limit)
        film = out
    elif rng.uniform() < 0.75:
        film = film + rng.uniform(0.2, 1.8) * (film - wide_blur(film, rng.uniform(2.5, 25), pixel))
        if rng.uniform() < 0.35:
            film = film - rng.uniform(0.2, 0.8) * wide_blur(film, rng.uniform(25, 70), pixel)
    low, high = np.percentile(film[::3, ::3], [rng.uniform(0, 5), rng.uniform(97.0, 99.95)])
    film = (film - low) / max(high - low, 1e-3)
    if style == "shell":
        slope, middle = rng.uniform(3, 9), rng.uniform(0.35, 0.7)
        curve = lambda value: 1 / (1 + np.exp(-slope * (value - middle)))
        film = (curve(np.clip(film, -0.2, 1.3)) - curve(0)) / (curve(1) - curve(0))
    else:
        film = np.clip(film, 0, 1.05) ** rng.uniform(0.45, 1.7)
    film = np.clip(film, 0, 1)
    if rng.uniform() < (0.4 if style == "shell" else 0.25):
        tiles = (int(rng.integers(2, 8)), int(rng.integers(2, 8)))
        film = (
            cv2.createCLAHE(rng.uniform(1, 4), tiles).apply((film * 65535).astype(np.uint16)).astype(np.float32) / 65535
        )
    return film * rng.uniform(0.6, 1.0) + (rng.uniform(0, 0.15) if rng.uniform() < 0.3 else 0)


def collimate(film, rng, chance):
    """Blades at the edges, sometimes slanted, sometimes far in; outside nearly black or, rarely, white."""
    if rng.uniform() > chance:
        return film
    height, width = film.shape
    deep = 0.16 if rng.uniform() < 0.3 else 0.06
    left, right = rng.uniform(0, deep) * width, (1 - rng.uniform(0, deep)) * width
    top, bottom = rng.uniform(0, deep * 0.7) * height, (1 - rng.uniform(0, deep * 0.4)) * height
    slant = rng.normal(0, 0.012) * height
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(
        mask,
        [
            np.array(
                [[left, top], [right, top + slant], [right - slant, bottom], [left - slant, bottom - slant]]
            ).astype(np.int32)
        ],
        255,
    )
    mask = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), max(0.5, height / 500))
    outside = rng.uniform(0, 0.2) if rng.uniform() < 0.93 else rng.uniform(0.7, 1.0)
    return film * mask + outside * (1 - mask)


def vendor(film, pixel, rng):
    """A maker's chain from exposure to print: equalisation, unsharp masks, a window on the patient, a tone curve."""
    plain = rng.uniform() < 0.5  # the even grey of most wards' screens; else anything a maker may set
    wide = wide_blur(film, rng.uniform(30, 90), pixel)
    film = film - (rng.uniform(0.45, 0.9) if plain else rng.uniform(0.2, 0.9)) * (wide - wide.mean())
    for width in (rng.uniform(1.2, 4), rng.uniform(6, 22)):
        if rng.uniform() < (0.5 if plain else 0.65):
            detail = film - wide_blur(film, width, pixel)
            limit = rng.uniform(0.05, 0.5)  # edges of metal and skin would else ring
            film = film + rng.uniform(0.2, 1.2 if plain else 2.2) * limit * np.tanh(detail / limit)
    patient = film[wide > np.percentile(wide[::3, ::3], rng.uniform(2, 35))]
    low, high = np.percentile(patient[::5], [rng.uniform(0, 6), rng.uniform(95, 99.95)])
    room = high - low
    low, high = low - rng.uniform(0, 0.35) * room, high + rng.uniform(-0.04, 0.25) * room
    film = (film - low) / max(high - low, 1e-3)
    kind = rng.uniform()
    if plain:
        film = np.clip(film, 0, 1.1) ** rng.uniform(0.7, 1.25)
    elif kind < 0.4:
        slope, middle = rng.uniform(2, 6), rng.uniform(0.45, 0.8)
        curve = lambda value: 1 / (1 + np.exp(-slope * (value - middle)))
        film = (curve(np.clip(film, -0.4, 1.4)) - curve(0)) / (curve(1) - curve(0))
    elif kind < 0.75:
        film = np.clip(film, 0, 1.1) ** rng.uniform(0.6, 1.6)
    else:  # a logarithmic table
        bend = rng.uniform(0.5, 5)
        film = np.log1p(bend * np.clip(film, 0, 1.1)) / np.log1p(bend)
    film = np.clip(film, 0, 1)
    if not plain and rng.uniform() < 0.2:
        tiles = (int(rng.integers(2, 9)), int(rng.integers(2, 9)))
        film = (
            cv2.createCLAHE(rng.uniform(1, 3.5), tiles).apply((film * 65535).astype(np.uint16)).astype(np.float32)
            / 65535
        )
    span = rng.uniform(0.4, 0.85) if plain else rng.uniform(0.6, 1.0)
    return film * span + (1 - span) * (rng.uniform(0, 0.8) if rng.uniform() < 0.6 else 0)


def blades(film, rng, chance):
    """Collimation that may reach far in, with the grey of a plate outside; returns the film and the field as a mask.

    Now and then the unexposed rim of the plate prints as a bright bar.
    """
    height, width = film.shape
    field = np.ones((height, width), np.uint8)
    if rng.uniform() < chance:
        deep = rng.choice([0.05, 0.12, 0.22], p=[0.5, 0.3, 0.2])
        left, right = rng.uniform(0, deep) * width, (1 - rng.uniform(0, deep)) * width
        top, bottom = rng.uniform(0, deep) * height, (1 - rng.uniform(0, deep * 0.35)) * height
        lean = rng.normal(0, 0.01) * height
        corners = np.array([[left, top], [right, top + lean], [right - lean, bottom], [left - lean, bottom - lean]])
        field[:] = 0
        cv2.fillPoly(field, [corners.astype(np.int32)], 1)
        soft = cv2.GaussianBlur(field.astype(np.float32), (0, 0), max(0.5, height / 500))
        outside = rng.uniform(0, 0.33) if rng.uniform() < 0.93 else rng.uniform(0.7, 1.0)
        film = film * soft + outside * (1 - soft)
    if rng.uniform() < 0.2:
        bar = max(1, int(rng.uniform(0.005, 0.06) * height))
        rim = np.linspace(0, 1, bar)[:, None] ** 0.5 * rng.uniform(0.5, 1)
        film = film.copy()
        film[-bar:] = film[-bar:] + (rng.uniform(0.8, 1.0) - film[-bar:]) * rim
        if rng.uniform() < 0.5:
            film[:, -max(1, bar // 3) :] = rng.uniform(0.8, 1.0)
    return film, field
