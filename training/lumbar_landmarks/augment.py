"""What may happen to a film between the generator and the net, redrawn each time a film is seen."""

import cv2
import numpy as np

from .dataset import normalise


def augment(image, points, rng):
    """`image` uint8 letterboxed, `points` with NaN where not in view; returns normalised image and points."""
    height, width = image.shape
    matrix = random_affine(rng, width, height, (-0.22, 0.18), 10, 0.08)
    matrix[:, 2] += [rng.uniform(-0.09, 0.09) * width, rng.uniform(-0.07, 0.07) * height]
    if rng.uniform() < 0.5:
        image, points = image[:, ::-1], points * [-1, 1] + [width - 1, 0]
    fill = int(rng.uniform(0, 40)) if rng.uniform() < 0.3 else 0
    out = cv2.warpAffine(np.ascontiguousarray(image), matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=fill)
    points = points @ matrix[:, :2].T + matrix[:, 2]
    return finish(out, points, rng)


def augment_film(image, points, rng, height, width):
    """A real film of any size, `points` NaN where not marked: moved, bent and cut anew into height x width each time.

    Few such films exist, so each is stretched further than a phantom, and bent: the net shall not know it again.
    """
    rows, columns = image.shape
    fit = min(height / rows, width / columns)
    if rng.uniform() < 0.5:
        image, points = image[:, ::-1], points * [-1, 1] + [columns - 1, 0]
    matrix = random_affine(rng, columns, rows, (-0.25, 0.35), 14, 0.14)
    matrix *= fit
    matrix[:, 2] += [(width - columns * fit) / 2, (height - rows * fit) / 2]
    matrix[:, 2] += [rng.uniform(-0.12, 0.12) * width, rng.uniform(-0.1, 0.1) * height]
    bend = rng.normal(0, rng.uniform(0, 4.5), (2, 5, 4)).astype(np.float32)
    bend = np.stack([cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC) for part in bend])
    inverse = cv2.invertAffineTransform(matrix).astype(np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x + bend[0], y + bend[1]
    source_x = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    source_y = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    border = cv2.BORDER_CONSTANT if rng.uniform() < 0.8 else cv2.BORDER_REPLICATE
    fill = int(rng.uniform(0, 60)) if rng.uniform() < 0.3 else 0
    if fit < 1:  # what area resampling does at reading
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / fit)
    out = cv2.remap(np.ascontiguousarray(image), source_x, source_y, cv2.INTER_LINEAR, borderMode=border, borderValue=fill)
    straight = points @ matrix[:, :2].T + matrix[:, 2]
    moved = straight.copy()
    for _ in range(4):  # the place q that is bent back to the straight one: q + bend(q) = straight
        at = np.clip(np.nan_to_num(moved).round().astype(int), 0, [width - 1, height - 1])
        moved = straight - bend[:, at[:, 1], at[:, 0]].T
    return finish(out, moved, rng)


def random_affine(rng, width, height, zoom, degrees, aspect):
    matrix = cv2.getRotationMatrix2D(
        (width / 2, height / 2), rng.uniform(-degrees, degrees), np.exp(rng.uniform(*zoom))
    )
    stretch = np.exp(rng.uniform(-aspect, aspect))
    matrix[0] *= stretch
    matrix[0, 2] += (1 - stretch) * width / 2
    return matrix


def wash_out(out, rng):
    """Part of the film over- or underexposed: contrast fades towards the local tone, as pelvis and abdomen do."""
    height, width = out.shape
    strength = np.clip(rng.normal(0, 0.7, (4, 3)), 0, 1).astype(np.float32)
    strength = np.clip(cv2.resize(strength, (width, height), interpolation=cv2.INTER_CUBIC), 0, 0.9)
    tone = cv2.blur(out, (width // 6, width // 6))
    return out + strength * (tone + rng.uniform(-0.3, 0.3) * strength - out)


def finish(out, points, rng):
    """Tone, noise, patches and cuts; the normalised image, and NaN for corners that are no longer on it."""
    height, width = out.shape
    draw = rng.uniform
    out = out.astype(np.float32) / 255
    if rng.uniform() < 0.7:
        out = out ** np.exp(draw(-0.6, 0.6))
    if rng.uniform() < 0.3:  # another window: everything but the air looks light
        out = np.where(out > 0.03, draw(0.2, 0.5) + out * draw(0.3, 0.7), out)
    if rng.uniform() < 0.2:
        out = wash_out(out, rng)
    if rng.uniform() < 0.3:
        out = cv2.GaussianBlur(out, (0, 0), draw(0.4, 1.5))
    if rng.uniform() < 0.35:
        out = out + rng.standard_normal(out.shape, dtype=np.float32) * draw(0.005, 0.05)
    if rng.uniform() < 0.3:
        for _ in range(rng.integers(1, 4)):
            y, x = int(draw(0, height)), int(draw(0, width))
            out[y : y + int(draw(8, 50)), x : x + int(draw(8, 50))] = draw(0, 1)
    if rng.uniform() < 0.15:  # cut off above, below or at a side
        edge = rng.integers(0, 4)
        part = draw(0.02, 0.12)
        if edge == 0:
            out[: int(part * height)] = 0
            points = hide(points, points[:, 1] < part * height)
        elif edge == 1:
            out[int((1 - part) * height) :] = 0
            points = hide(points, points[:, 1] > (1 - part) * height)
        elif edge == 2:
            out[:, : int(part * width)] = 0
        else:
            out[:, int((1 - part) * width) :] = 0
    outside = ((points < 1) | (points > [width - 2, height - 2])).any(-1)
    return normalise(out), hide(points, outside)


def hide(points, which):
    points = points.copy()
    points[which] = np.nan
    return points
