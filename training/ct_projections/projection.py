"""A lateral film of a CT: the patient turned a little, rays from a point, an exposure and a vendor's processing."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from .volume import AIR

PIXEL = 0.4  # mm on the detector
MU_WATER = 0.0192  # per mm, about 70 keV


@dataclass(frozen=True)
class Pose:
    yaw: float  # degrees about the long axis
    roll: float  # degrees about the front-back axis: the spine runs away from the detector
    tilt: float  # degrees within the film
    source: float  # mm from the focal spot to the detector
    behind: float  # mm from the patient's middle to the detector
    shift: tuple  # mm of the central ray off the patient's middle: (anterior, superior)
    facing: str  # the side of the film that the patient's front is on


@dataclass(frozen=True)
class Exposure:
    bone: float  # how much more bone takes away than its density says: low for hard rays
    noise: float
    blur: float  # pixels
    gamma: float
    window: tuple  # percentiles
    unsharp: float  # how much detail of some millimetres is lifted
    level: float  # how much of what is large is taken away, so that lung and belly fit into one film


def turned(scan, pose, thin=2):
    """The volume in the pose, resampled, every second sagittal plane; and how its points move with it."""
    volume = scan.hounsfield
    usable = volume.shape[0] // thin * thin
    volume = volume[:usable].reshape(-1, thin, *volume.shape[1:]).mean(1)
    spacing = scan.spacing * [thin, 1, 1]
    yaw, roll = np.radians([pose.yaw, pose.roll])
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]]) @ np.array(
        [[np.cos(roll), 0, -np.sin(roll)], [0, 1, 0], [np.sin(roll), 0, np.cos(roll)]]
    )
    middle = np.array(volume.shape) * spacing / 2
    # Voxel k reaches from k to k + 1 times the spacing.
    matrix = np.diag(1 / spacing) @ turn.T @ np.diag(spacing)
    offset = (middle - turn.T @ middle) / spacing + matrix @ np.full(3, 0.5) - 0.5
    moved = ndimage.affine_transform(volume, matrix, offset, order=1, cval=AIR)
    return moved, spacing, middle, lambda points: (points - middle) @ turn.T + middle


def attenuation(hounsfield, bone):
    water = np.clip(1 + hounsfield / 1000, 0, 3)
    # Trabecular bone begins not far above soft tissue.
    return MU_WATER * (water + (bone - 1) * np.clip(hounsfield - 70, 0, 2000) / 1000)


def project(scan, pose, exposure, rng):
    """The grey film in 0..1, and a function from points of the patient in mm to its pixels (centre of the first: 0, 0)."""
    volume, spacing, middle, move = turned(scan, pose)
    mu = attenuation(volume, exposure.bone).astype(np.float32)
    size = np.array(volume.shape) * spacing
    largest = pose.source / (pose.source - pose.behind - size[0] / 2)
    columns, rows = (int(length * largest / PIXEL) for length in size[1:])
    axis = middle[1:] + pose.shift

    def flat(points):
        """Onto the detector, in pixels: x to the front, y to the feet."""
        depth = pose.behind + (points[:, 0] - middle[0])
        scale = pose.source / (pose.source - depth)
        away = (points[:, 1:] - axis) * scale[:, None] / PIXEL
        return np.stack([columns / 2 + away[:, 0], rows / 2 - away[:, 1]], 1) - 0.5

    film = np.zeros((rows, columns), np.float32)
    for k in range(volume.shape[0]):
        x = (k + 0.5) * spacing[0]
        plane = np.ascontiguousarray(mu[k].T[::-1])
        if not plane.any():
            continue
        # Three voxel centres fix where the plane falls.
        voxels = np.float32([[0, 0], [plane.shape[1] - 1, 0], [0, plane.shape[0] - 1]])
        patient = np.stack(
            [
                np.full(3, x),
                (voxels[:, 0] + 0.5) * spacing[1],
                (plane.shape[0] - 0.5 - voxels[:, 1]) * spacing[2],
            ],
            1,
        )
        place = cv2.getAffineTransform(voxels, flat(patient).astype(np.float32))
        film += cv2.warpAffine(plane, place, (columns, rows), flags=cv2.INTER_LINEAR) * np.float32(spacing[0])
    tilt = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), pose.tilt, 1)
    film = cv2.warpAffine(film, tilt, (columns, rows), flags=cv2.INTER_LINEAR)
    grey = developed(film, exposure, rng)
    if pose.facing == "left":
        grey = np.ascontiguousarray(grey[:, ::-1])

    def to_film(points):
        on = flat(move(points)) @ tilt[:, :2].T + tilt[:, 2]
        return np.stack([columns - 1 - on[:, 0], on[:, 1]], 1) if pose.facing == "left" else on

    return grey, to_film


def smoothed(plane, millimetres):
    """Wide blurs are made on a small copy."""
    small = cv2.resize(plane, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), millimetres / PIXEL / 4)
    return cv2.resize(small, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)


def developed(film, exposure, rng):
    """Noise of few quanta behind thick parts, the detector's blur, a window and a tone scale; bone is bright."""
    quanta = np.exp(-film) + 1e-5
    noisy = quanta + exposure.noise * np.sqrt(quanta) * cv2.GaussianBlur(
        rng.standard_normal(film.shape).astype(np.float32), (0, 0), 0.7
    )
    depth = -np.log(np.clip(noisy, 1e-5, None))
    depth = cv2.GaussianBlur(depth, (0, 0), exposure.blur)
    depth = depth + exposure.unsharp * (depth - smoothed(depth, 4))
    depth = depth - exposure.level * smoothed(depth, 25)
    seen = depth[film > 0.3]
    low, high = np.percentile(seen, exposure.window)
    return np.clip((depth - low) / (high - low), 0, 1) ** exposure.gamma
