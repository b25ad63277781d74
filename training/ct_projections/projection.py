"""A lateral film of a CT: the patient turned a little, rays from a point, an exposure and a vendor's processing."""

from dataclasses import dataclass

import cv2
import numpy as np

PIXEL = 0.4  # mm on the detector
MU_WATER = 0.0192  # per mm, about 70 keV
PATIENT = 0.3  # least attenuation along a ray that met more than clothes


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
    window: tuple  # percentiles of what the blades leave open
    edges: float  # how much detail of a millimetre is lifted: a CT's voxels are softer than any film
    unsharp: float  # the same of some millimetres
    level: float  # how much of what is large is taken away, so that lung and belly fit into one film


@dataclass(frozen=True)
class Field:
    """What the blades leave open, in pixels of the detector."""

    left: int
    top: int
    columns: int
    rows: int


class View:
    """Where a pose puts points of the patient (right, anterior, superior, in mm) on the detector, in pixels."""

    def __init__(self, scan, pose):
        yaw, roll = np.radians([pose.yaw, pose.roll])
        self.turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]]) @ np.array(
            [[np.cos(roll), 0, -np.sin(roll)], [0, 1, 0], [np.sin(roll), 0, np.cos(roll)]]
        )
        self.pose, self.middle = pose, scan.size / 2
        largest = pose.source / (pose.source - pose.behind - scan.size[0] / 2)
        self.columns, self.rows = (int(length * largest / PIXEL) for length in scan.size[1:])
        tilt = cv2.getRotationMatrix2D(((self.columns - 1) / 2, (self.rows - 1) / 2), pose.tilt, 1)
        mirror = np.array([[-1, 0, self.columns - 1], [0, 1, 0]]) if pose.facing == "left" else np.eye(2, 3)
        self.placed = np.vstack([mirror, [0, 0, 1]]) @ np.vstack([tilt, [0, 0, 1]])

    def to_film(self, points):
        """Pixels (the centre of the first: 0, 0): x towards the patient's front before it is mirrored, y to the feet."""
        turned = (np.asarray(points, float) - self.middle) @ self.turn.T
        scale = self.pose.source / (self.pose.source - self.pose.behind - turned[:, 0])
        away = (turned[:, 1:] - self.pose.shift) * scale[:, None] / PIXEL
        on = np.stack([self.columns / 2 + away[:, 0], self.rows / 2 - away[:, 1]], 1) - 0.5
        return on @ self.placed[:2, :2].T + self.placed[:2, 2]

    def longer(self, field):
        """By how much rays cross sagittal planes longer than straight through."""
        y, x = np.mgrid[field.top : field.top + field.rows, field.left : field.left + field.columns].astype(np.float32)
        back = np.linalg.inv(self.placed)
        right = (back[0, 0] * x + back[0, 1] * y + back[0, 2] + 0.5 - self.columns / 2) * PIXEL
        up = -(back[1, 0] * x + back[1, 1] * y + back[1, 2] + 0.5 - self.rows / 2) * PIXEL
        normal = self.turn[:, 0]
        along = np.abs(-self.pose.source * normal[0] + right * normal[1] + up * normal[2])
        return np.sqrt(self.pose.source**2 + right**2 + up**2) / along


def attenuation(hounsfield, bone):
    water = np.clip(1 + hounsfield / 1000, 0, 3)
    # Trabecular bone begins not far above soft tissue.
    return MU_WATER * (water + (bone - 1) * np.clip(hounsfield - 70, 0, 2000) / 1000)


def project(scan, view, field, bone):
    """What rays lose on their way to each pixel of the field. A plane, however turned, falls on the detector by a homography."""
    planes = scan.hounsfield
    film = np.zeros((field.rows, field.columns), np.float32)
    rows, columns = planes.shape[2], planes.shape[1]
    voxels = np.float32([[0, 0], [columns - 1, 0], [columns - 1, rows - 1], [0, rows - 1]])
    for k, plane in enumerate(planes):
        if plane.max() <= -900:
            continue
        corners = np.stack(
            [
                np.full(4, (k + 0.5) * scan.spacing[0]),
                (voxels[:, 0] + 0.5) * scan.spacing[1],
                (rows - 0.5 - voxels[:, 1]) * scan.spacing[2],
            ],
            1,
        )
        place = cv2.getPerspectiveTransform(voxels, (view.to_film(corners) - [field.left, field.top]).astype(np.float32))
        mu = attenuation(np.ascontiguousarray(plane.T[::-1]), bone)
        film += cv2.warpPerspective(mu, place, (field.columns, field.rows), flags=cv2.INTER_LINEAR)
    return film * np.float32(scan.spacing[0]) * view.longer(field).astype(np.float32)


def smoothed(plane, millimetres):
    """Wide blurs are made on a small copy."""
    small = cv2.resize(plane, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), millimetres / PIXEL / 4)
    return cv2.resize(small, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)


def developed(film, exposure, rng):
    """Noise of few quanta behind thick parts, the detector's blur, a window and a tone scale; bone is bright."""
    sharp = film + exposure.edges * (film - cv2.GaussianBlur(film, (0, 0), 1.2 / PIXEL))
    quanta = np.exp(-np.clip(sharp, 0, None)) + 1e-5
    noisy = quanta + exposure.noise * np.sqrt(quanta) * cv2.GaussianBlur(
        rng.standard_normal(film.shape).astype(np.float32), (0, 0), 0.7
    )
    depth = -np.log(np.clip(noisy, 1e-5, None))
    depth = cv2.GaussianBlur(depth, (0, 0), exposure.blur)
    depth = depth + exposure.unsharp * (depth - smoothed(depth, 4))
    depth = depth - exposure.level * smoothed(depth, 25)
    low, high = np.percentile(depth[film > PATIENT], exposure.window)
    return np.clip((depth - low) / (high - low), 0, 1) ** exposure.gamma
