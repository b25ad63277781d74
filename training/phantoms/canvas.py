"""A film under way: attenuation summed along the ray, in natural-log units, on a grid of `pixel` mm."""

import cv2
import numpy as np

cv2.setNumThreads(1)


def sigmoid(value):
    return 1 / (1 + np.exp(-np.clip(value, -30, 30)))


def smooth_noise(rng, shape, cells, amplitude=1.0):
    """Noise with about `cells` bumps over the height, whatever the number of pixels."""
    height, width = shape
    grid = rng.standard_normal((max(2, int(cells)), max(2, int(cells * width / height)))).astype(np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(amplitude)


def smooth_profile(rng, count, knots, amplitude=1.0):
    """The same along one line: `count` values that wander over about `knots` bumps."""
    line = rng.standard_normal((1, max(2, int(knots)))).astype(np.float32)
    return cv2.resize(line, (count, 1), interpolation=cv2.INTER_CUBIC)[0] * np.float32(amplitude)


def fractal_noise(rng, shape, coarsest=3, octaves=6, persistence=0.55):
    """Octaves of smooth noise, about unit deviation."""
    out, weight, total = np.zeros(shape, np.float32), 1.0, 0.0
    for octave in range(octaves):
        cells = coarsest * 2**octave
        if cells > shape[0]:
            break
        out += smooth_noise(rng, shape, cells, weight)
        total += weight**2
        weight *= persistence
    return out / np.sqrt(total)


class Canvas:
    def __init__(self, shape, pixel):
        self.shape, self.pixel = shape, pixel
        self.sum = np.zeros(shape, np.float32)
        height, width = shape
        self.x = (np.arange(width, dtype=np.float32) * pixel)[None]
        self.y = (np.arange(height, dtype=np.float32) * pixel)[:, None]

    def window(self, points, margin):
        """Slices and mm grids of the part of the film around `points`; None when it lies outside."""
        points = np.atleast_2d(points)
        low = np.floor((points.min(0) - margin) / self.pixel).astype(int)
        high = np.ceil((points.max(0) + margin) / self.pixel).astype(int) + 1
        x0, y0 = np.maximum(low, 0)
        x1, y1 = min(high[0], self.shape[1]), min(high[1], self.shape[0])
        if x1 - x0 < 2 or y1 - y0 < 2:
            return None
        return (slice(y0, y1), slice(x0, x1)), self.x[:, x0:x1], self.y[y0:y1]

    def blur(self, millimetres):
        """Gaussian blur of the whole film by a width in mm."""
        sigma = millimetres / self.pixel
        if sigma > 0.15:
            self.sum = cv2.GaussianBlur(self.sum, (0, 0), float(sigma))

    def polygon(self, points, soften=0.0):
        """Coverage 0..1 of a polygon in mm, with its window; None when outside."""
        found = self.window(points, 2 + 3 * soften)
        if found is None:
            return None
        where, _, _ = found
        mask = np.zeros((where[0].stop - where[0].start, where[1].stop - where[1].start), np.uint8)
        corners = np.round((np.asarray(points) / self.pixel - [where[1].start, where[0].start]) * 16).astype(np.int32)
        cv2.fillPoly(mask, [corners], 255, lineType=cv2.LINE_AA, shift=4)
        mask = mask.astype(np.float32) / 255
        if soften / self.pixel > 0.3:
            mask = cv2.GaussianBlur(mask, (0, 0), float(soften / self.pixel))
        return where, mask

    def fill(self, points, amount, soften=0.0):
        found = self.polygon(points, soften)
        if found is not None:
            self.sum[found[0]] += np.float32(amount) * found[1]

    def line(self, points, width, amount, closed=False, profile="tube"):
        """A polyline of `width` mm; a tube is thickest in its middle, a wall is even."""
        points = np.asarray(points, dtype=np.float64)
        found = self.window(points, width + 3 * self.pixel)
        if found is None:
            return
        where, _, _ = found
        mask = np.zeros((where[0].stop - where[0].start, where[1].stop - where[1].start), np.uint8)
        corners = np.round((points / self.pixel - [where[1].start, where[0].start]) * 16).astype(np.int32)
        pixels = width / self.pixel
        cv2.polylines(mask, [corners], closed, 255, max(1, int(round(pixels))), cv2.LINE_AA, 4)
        value = mask.astype(np.float32) * np.float32(min(1.0, pixels) / 255)
        if profile == "tube" and pixels > 2.5:
            value = cv2.GaussianBlur(value, (0, 0), pixels * 0.22)
        self.sum[where] += np.float32(amount) * value

    def capsule(self, start, end, radius, amount, wall=0.35):
        """A rounded rod from start to end: the chord of a tube, part of it in its wall."""
        start, end = np.asarray(start, float), np.asarray(end, float)
        found = self.window([start, end], radius + 2 * self.pixel)
        if found is None:
            return
        where, x, y = found
        axis = end - start
        t = np.clip(((x - start[0]) * axis[0] + (y - start[1]) * axis[1]) / max(axis @ axis, 1e-6), 0, 1)
        distance = np.hypot(x - start[0] - t * axis[0], y - start[1] - t * axis[1]) / radius
        chord = np.sqrt(np.clip(1 - distance * distance, 0, 1))
        rim = np.exp(-(((distance - 0.9) / 0.14) ** 2))
        self.sum[where] += np.float32(amount) * (chord * (1 - wall) + wall * rim)

    def ellipse_coordinates(self, centre, radii, turn, margin=1.3):
        """Window and normalised squared distance of an ellipse; None when outside."""
        centre = np.asarray(centre, float)
        found = self.window(centre, max(radii) * margin)
        if found is None:
            return None
        where, x, y = found
        dx, dy = x - centre[0], y - centre[1]
        c, s = np.cos(turn), np.sin(turn)
        return where, ((dx * c + dy * s) / radii[0]) ** 2 + ((dy * c - dx * s) / radii[1]) ** 2
