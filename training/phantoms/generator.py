"""Lateral lumbar phantoms: `render(seed, version, ...)` gives a film, its corners and what is known about it.

Versions A, B and D are trained on, and T, which bends real CT projections to the drawn geometry. D draws bodies from
the statistics of real outlines, with arches, pelvis and processing of its own; V shows CTs deformed in space, in which
nothing but metal, gas and end plates is drawn. F is the view from the front, which a reader must refuse. Version C
shares the anatomy tables, nothing of the rendering of bone, texture and processing, and is never trained on: it stands
in for another hospital.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from . import arches, bones, chest, ct_films, ct_tissue, detector, frontal, hardware, outlined, pelvis, tissue
from .canvas import Canvas, fractal_noise, smooth_noise
from .geometry import FROM_BELOW, LANDMARKS, Prevalence, build_spine, measured_offsets

STYLE = {"A": "solid", "B": "sliced", "C": "shell", "T": "sliced", "D": "outlined", "V": "outlined", "F": "outlined"}
# A scanned volume ends below these levels, although the film may show them.
BEYOND_CT = np.array([name.startswith(("T10", "T11")) for name in LANDMARKS])


@dataclass(frozen=True)
class Film:
    image: np.ndarray  # float32 in 0..1, bone bright
    landmarks: np.ndarray  # (34, 2) in pixels; may lie outside the film; NaN where the volume behind it ends
    pixel_mm: float
    spine: object
    facing: str  # the side of the film that the patient's front is on
    implants: bool
    version: str
    seed: int
    view: str = "lumbar"  # or thoracolumbar: cut off above the sacrum
    mineral_loss: float = float("nan")  # 0: dense bone, 1: nearly transparent; NaN where bone is a scan's own
    known: np.ndarray = None  # (34,) False where the film may show a corner of which nothing is known

    @property
    def variant(self):
        return self.spine.variant.kind

    def offsets(self):
        return measured_offsets(self.landmarks)


@dataclass(frozen=True)
class Setting:
    """What a caller may pin; None is drawn at random."""

    prevalence: Prevalence = field(default_factory=Prevalence)
    displacement: dict = None
    fractures: dict = None
    film_height_mm: float = None
    aspect: float = None  # width / height
    facing: str = None
    variant: str = None  # one of variants.KINDS
    view: str = None  # lumbar or thoracolumbar
    implants: float = 0.28  # chance
    clean: bool = False  # no rulings, seams, letters or blades; ordinary contrast


def generator_hash():
    """Identity of the generator: the hash of its sources."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def log_uniform(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def render(seed, version="A", height=384, width=256, setting=Setting(), projections=None, volumes=None):
    """The film fits into height x width; its own aspect is drawn, the rest of that canvas is not rendered."""
    style = STYLE[version]
    rng = np.random.default_rng([seed, ord(version)])
    # a scanned volume ends at T11 or T12, so films with CT tissue are cut shorter
    short = version in "TV"
    if version != "V":
        spine = build_spine(rng, setting.prevalence, setting.displacement, setting.fractures, setting.variant)
    film_height = setting.film_height_mm or (rng.uniform(190, 320) if short else rng.uniform(225, 430))
    view = setting.view or draw_view(rng, version, film_height)
    narrow = version in "DV" and rng.uniform() < 0.35
    aspect = setting.aspect or (
        rng.uniform(0.37, 0.52) if narrow else rng.choice([rng.uniform(0.4, 0.7), rng.uniform(0.6, 0.95)])
    )
    rows = min(height, int(width / aspect))
    shape = (rows, min(width, int(round(rows * aspect))))
    pixel = film_height / rows
    canvas = Canvas(shape, pixel)
    in_volume, known = None, np.ones(len(LANDMARKS), bool)
    if version == "V":
        spine, points, known, view = ct_films.draw(canvas, volumes, rng, view)
    else:
        spine = place(spine, canvas, rng, view)

    if version == "F":
        return frontal_film(canvas, spine, setting, rng, seed)
    if version == "T":
        in_volume = ct_tissue.draw(canvas, spine.landmarks(), projections, rng)
    if version in "TV":
        column = tissue.column_of(canvas, spine)
    else:
        column = (
            tissue.draw_body(canvas, spine, rng, (110, 260), (-0.1, 0.6))
            if version == "D"
            else tissue.draw_body(canvas, spine, rng)
        )
        if version == "D":
            chest.draw_chest(canvas, column, spine, rng)
            chest.draw_stomach(canvas, column, spine, rng)
            chest.draw_fat_planes(canvas, column, spine, rng)
        else:
            tissue.draw_lungs(canvas, column, spine, rng)
    if version not in "DV" or rng.uniform() < 0.5:
        tissue.draw_gas(canvas, column, rng, style)
    tissue.draw_limbs(canvas, column, rng)
    tissue.draw_clothing(canvas, rng)
    soft = canvas.sum
    canvas.sum = np.zeros(shape, np.float32)
    frail = float(np.clip(rng.beta(2, 2.2), 0, 1))
    if version == "D":
        spine = draw_outlined_skeleton(canvas, spine, rng, setting, frail)
    elif version == "V":
        texture = bone_texture(shape, pixel, rng, style)
        ct_films.sharpen(canvas, spine, rng, ct_films.look_of(canvas, rng, spine, texture))
    else:
        draw_skeleton(canvas, spine, rng, style, setting, frail, bare=version == "T")
    if version == "T":  # the CT has its own bones: only sharpen them
        canvas.sum *= rng.uniform(0, 0.7)
    canvas.blur(rng.uniform(0.15, 0.9))
    tissue.draw_vessels(canvas, spine, rng)
    implants = hardware.draw_implants(canvas, spine, rng, setting.implants)
    canvas.sum = np.clip(soft, 0, None) + canvas.sum
    if version in "DV" and not setting.clean and rng.uniform() < 0.06:
        hardware.draw_corset(canvas, spine, rng)
    canvas.blur(rng.uniform(0.1, 0.45))

    quiet = (4.6, 5.6) if version in "DV" else (3.7, 5.2)
    film = detector.expose(canvas.sum, pixel, rng, (4.6, 5.2) if setting.clean else quiet)
    film = detector.vendor(film, pixel, rng) if version in "DV" else detector.process(film, pixel, rng, style)
    facing = setting.facing or str(rng.choice(["left", "right"]))
    landmarks = (points if version == "V" else spine.landmarks()) / pixel - 0.5
    if in_volume is not None:
        inside = in_volume(landmarks)
        known = inside | ~BEYOND_CT
        landmarks[~inside] = np.nan
    if facing == "left":
        film = film[:, ::-1].copy()
        landmarks = landmarks * [-1, 1] + [shape[1] - 1, 0]
    if not setting.clean:
        film = hardware.draw_grid(film, pixel, rng, 0.33)
        film = hardware.draw_stitch(film, rng, 0.25)
        if version in "DV":
            film, field = detector.blades(film, rng, 0.45)
            landmarks[~within(landmarks, field)] = np.nan
        else:
            film = detector.collimate(film, rng, 0.4)
        film = hardware.draw_markers(film, pixel, rng, 0.4)
    return Film(
        np.clip(film, 0, 1).astype(np.float32),
        landmarks.astype(np.float32),
        float(pixel),
        spine,
        facing,
        bool(implants),
        version,
        int(seed),
        view,
        float("nan") if short else frail,
        known,
    )


def frontal_film(canvas, spine, setting, rng, seed):
    """Version F: the view from the front, which has no corners."""
    frontal.draw(canvas, spine, rng)
    film = detector.expose(canvas.sum, canvas.pixel, rng, (4.4, 5.4))
    film = detector.vendor(film, canvas.pixel, rng)
    if not setting.clean:
        film, _ = detector.blades(film, rng, 0.4)
        film = hardware.draw_markers(film, canvas.pixel, rng, 0.4)
    nowhere = np.full((len(LANDMARKS), 2), np.nan, np.float32)
    film = np.clip(film, 0, 1).astype(np.float32)
    known = np.ones(len(LANDMARKS), bool)
    return Film(film, nowhere, float(canvas.pixel), spine, "front", False, "F", int(seed), "frontal", known=known)


def within(points, field):
    """Which points lie on the exposed field, or beyond the film, which is another matter."""
    height, width = field.shape
    x, y = np.nan_to_num(points).round().astype(int).T
    outside = (x < 0) | (y < 0) | (x >= width) | (y >= height)
    return outside | (field[y.clip(0, height - 1), x.clip(0, width - 1)] > 0)


def draw_view(rng, version, film_height):
    """Now and then a thoracolumbar film, which ends above the sacrum; a scanned volume and C show the sacrum."""
    chance = {"A": 0.08, "B": 0.08, "D": 0.12, "V": 0.1}.get(version, 0)
    return "thoracolumbar" if film_height < 360 and rng.uniform() < chance else "lumbar"


def place(spine, canvas, rng, view="lumbar"):
    """Tilt the patient and choose where the film is cut; S1 is on nearly all lumbar films, on no thoracolumbar one."""
    height, width = canvas.y[-1, 0], canvas.x[0, -1]
    turn = bones.rotation(np.radians(rng.normal(0, 6)))
    middle = spine.bodies["L3"].mean(0)
    turned = lambda points: (np.asarray(points) - middle) @ turn.T
    if view == "thoracolumbar":
        lowest = str(rng.choice(["L1", "L2", "L3", "L4", "L5"], p=[0.1, 0.25, 0.35, 0.2, 0.1]))
        anchor, low = spine.bodies[lowest][0], rng.uniform(0.93, 1.0) + (0.06 if lowest == "L5" else 0)
    else:
        anchor = spine.sacrum[0][3]
        draw = rng.uniform()  # collimated just below S1, as usual, or with hips and all
        low = rng.uniform(0.84, 0.97) if draw < 0.25 else rng.uniform(0.60, 0.90)
        # never so low a sacrum on a tall film that most of the spine is cut off, nor the reverse
        reach = 215 * spine.scale
        low = max(low, min(0.92, (reach - rng.uniform(-10, 70)) / height))
    goal = np.array(
        [width * (rng.uniform(0.32, 0.6) if width < 0.53 * height else rng.uniform(0.22, 0.66)), low * height]
    )
    shift = np.array([goal[0], goal[1] - turned(anchor)[1]])
    if view == "thoracolumbar":
        centres = np.array([turned(quad).mean(0) for quad in spine.bodies.values()])
        seen = np.abs(centres[:, 1] + shift[1] - height / 2) < height / 2
        shift[0] -= centres[seen, 0].mean()
    return spine.moved(lambda points: turned(points) + shift)


def scoliotic(spine, beam, divergence, rng):
    """Bodies off the middle plane change size on the film; returns the spine as projected, tilt and turn of each."""
    amount = abs(rng.normal(0, 7)) if rng.uniform() < 0.8 else rng.uniform(10, 45)  # mm aside at the apex
    apex, length, phase = rng.uniform(-1, 9), rng.uniform(4, 9), rng.choice([-1, 1])
    aside = {name: phase * amount * np.cos(np.pi * (k - apex) / length) for k, name in enumerate(FROM_BELOW)}
    foot = phase * amount * np.cos(np.pi * (-1 - apex) / length)
    lean = rng.normal(0, 0.06)
    tilt, turn, bodies = {}, {}, {}
    coupling = rng.uniform(0.3, 1.6)
    previous = foot
    for name in FROM_BELOW:
        offset = aside[name] - foot
        tilt[name] = np.arctan((aside[name] - previous) / 34) + lean
        turn[name] = np.clip(coupling * 0.02 * aside[name] * rng.normal(1, 0.15), -0.5, 0.5)
        scale = 1 + offset * divergence
        bodies[name] = (spine.bodies[name] - beam) * scale + beam
        previous = aside[name]
    moved = spine.moved(lambda points: points)
    moved.bodies = bodies
    return moved, tilt, turn


def draw_outlined_skeleton(canvas, spine, rng, setting, frail):
    """Generator D: all bones; returns the spine as projected."""
    shape, pixel = canvas.shape, canvas.pixel
    density = log_uniform(rng, 0.003, 0.0115) * (1.25 - 0.6 * frail)
    cortex = log_uniform(rng, 0.01, 0.034) * (1.15 - 0.35 * frail)
    if setting.clean:
        density, cortex = max(density, 0.006), max(cortex, 0.012)
    beam = np.array([canvas.x.mean(), canvas.y.mean()]) + rng.normal(0, 30, 2)
    divergence = 1 / rng.uniform(850, 1900)
    spine, tilts, turns = scoliotic(spine, beam, divergence, rng)
    width = rng.uniform(40, 54) * spine.scale
    body = density * width
    arch = body * rng.uniform(0.7, 1.9) + rng.uniform(0.04, 0.14)
    tilt, turn = np.radians(rng.normal(0, 3)), np.radians(rng.normal(0, 4))
    look = {
        "density": density,
        "cortex": cortex,
        "texture": bone_texture(shape, pixel, rng, "outlined"),
        "beam": beam,
        "width": width,
        "edge": rng.uniform(0.25, 0.8),
        "wall": rng.uniform(0.5, 1.4),
        "divergence": divergence,
        "arch": arch,
        "arch_wall": rng.uniform(0.1, 0.7),
        "arch_half": rng.uniform(14, 20) * spine.scale,
        "pelvis": body * rng.uniform(0.4, 1.2) + 0.04,
        "pelvis_line": log_uniform(rng, 0.1, 0.55),
        "line": log_uniform(rng, 0.3, 1.4),
    }
    spurs = rng.uniform() < 0.4

    def shape_of(name):
        fracture = spine.fractures.get(name)
        spur = rng.uniform(0, 0.15, 2) if spurs and rng.uniform() < 0.6 else (0, 0)
        crushed = fracture and fracture[0] != "biconcave"
        return {
            "profile": outlined.profile_of(name, fracture, spur, rng),
            "tilt": tilt + tilts.get(name, 0) + np.radians(rng.normal(0, 1)),
            "rotation": turn + turns.get(name, 0) + np.radians(rng.normal(0, 1.5)),
            "crush": rng.uniform(0, 1.2) if crushed else 0,
        }

    bones.draw_ribs(canvas, spine.bodies, rng, look, spine.variant.lowest_rib)
    behind = Canvas(shape, pixel)
    pelvis.draw_sacrum_layer(canvas, behind, spine, rng, look, shape_of("S1"))
    pelvis.draw_pelvis_layer(canvas, spine, rng, look)
    pelvis.draw_wide_processes(canvas, spine, rng, look)
    for name in FROM_BELOW:
        quad = spine.bodies[name]
        if canvas.window(quad, 60) is None:
            continue
        own = {**look, "density": density * rng.uniform(0.88, 1.12), "cortex": cortex * rng.uniform(0.85, 1.15)}
        one = shape_of(name)
        spine.hollow[name] = outlined.hollow_of(quad, one["profile"])
        outlined.draw_outlined(canvas, quad, rng, own, one)
        lysis = spine.displacement[name] > 0.07 and name in ("L4", "L5") and rng.uniform() < 0.6
        gap = spine.displacement[name] * rng.uniform(0.6, 1.1) if lysis else 0
        own = {**own, "tilt": one["tilt"], "turn": one["rotation"]}
        arches.draw_arch(behind, quad, rng, own, name.startswith("T") and name != "T12", gap)
    most = arch * rng.uniform(1.0, 2.6)  # overlapping processes are one plate of bone: their sum saturates
    behind.sum = np.where(behind.sum > 0, most * np.tanh(behind.sum / most), behind.sum)
    behind.blur(rng.uniform(0.2, 0.7))
    canvas.sum += behind.sum * (1 + 0.6 * look["texture"])
    if rng.uniform() < 0.12:  # gas in a worn disc
        hardware.draw_vacuum(canvas, spine, rng, body)
    return spine


def draw_skeleton(canvas, spine, rng, style, setting, frail, bare=False):
    """All bones, or with `bare` only the bodies; `frail` 0 to 1 is loss of mineral: less core, thinner plates."""
    shape = canvas.shape
    density = log_uniform(rng, 0.003, 0.022) * (1.25 - 0.6 * frail)
    cortex = log_uniform(rng, 0.008, 0.034) * (1.2 - 0.4 * frail)
    if setting.clean:
        density, cortex = max(density, 0.008), max(cortex, 0.013)
    texture = bone_texture(shape, canvas.pixel, rng, style)
    beam = np.array([canvas.x.mean(), canvas.y.mean()]) + rng.normal(0, 25, 2)
    width = rng.uniform(42, 54) * spine.scale
    arch = log_uniform(rng, 0.12, 0.6) if rng.uniform() < 0.35 else density * width * rng.uniform(0.5, 1.5) + 0.08
    look = {
        "density": density,
        "cortex": cortex,
        "texture": texture,
        "beam": beam,
        "rind": rng.uniform(0.05, 0.5),
        "width": width,
        "edge": rng.uniform(0.3, 0.9),
        "plate": rng.uniform(0.5, 1.1),
        "back_wall": rng.uniform(0.1, 0.8),
        "wall": rng.uniform(0.6, 1.6),
        "core": rng.uniform(0.6, 2.5),
        "divergence": rng.uniform(0.0005, 0.0012),
        "arch": arch,
        "arch_wall": rng.uniform(0.2, 0.6),
        "line": log_uniform(rng, 0.3, 1.6),
    }
    tilt, turn = np.radians(rng.normal(0, 5)), np.radians(rng.normal(0, 5))
    curve = np.radians(rng.normal(0, 2.2))  # scoliosis: tilt changes from level to level
    spurs = rng.uniform() < 0.35
    if not bare:
        bones.draw_pelvis(canvas, spine.sacrum, rng, look, spine.scale)
        bones.draw_ribs(canvas, spine.bodies, rng, look, spine.variant.lowest_rib)

    def shape_of(name, number):
        fracture = spine.fractures.get(name)
        cavity = (rng.uniform(0.01, 0.08), rng.uniform(0.01, 0.08))
        if fracture and fracture[0] == "biconcave":
            cavity = (fracture[1] * rng.uniform(0.2, 0.33), fracture[1] * rng.uniform(0.33, 0.42))
        return {
            "cavity": cavity,
            "waist": (rng.uniform(0.01, 0.06), rng.uniform(0.03, 0.1)),
            "spur": (rng.uniform(0, 0.16), rng.uniform(0, 0.16)) if spurs and rng.uniform() < 0.6 else (0, 0),
            "rounding": rng.uniform(0.02, 0.12),
            "opening": abs(rng.normal(0, 1.4)),
            "tilt": tilt + curve * (number - 3) + np.radians(rng.normal(0, 1)),
            "rotation": turn + np.radians(rng.normal(0, 1.5)),
            "crush": rng.uniform(0, 0.4) if fracture and fracture[0] != "biconcave" else 0,
        }

    sacrum = spine.sacrum[:1] if bare else spine.sacrum
    bones.draw_sacrum(canvas, sacrum, rng, look, style, shape_of("S1", 0), bare)
    arches = Canvas(shape, canvas.pixel)
    for number, name in enumerate(FROM_BELOW):
        quad = spine.bodies[name]
        own = {**look, "density": density * rng.uniform(0.88, 1.12), "cortex": cortex * rng.uniform(0.85, 1.15)}
        shape = shape_of(name, number)
        bones.BODY[style](canvas, quad, rng, own, shape)
        if not bare:  # with tissue from a CT only the corners follow the drawing
            spine.hollow[name] = sum(shape["cavity"])
        if bare:
            continue
        lysis = spine.displacement[name] > 0.07 and name == "L5" and rng.uniform() < 0.7
        bones.draw_posterior(
            arches, quad, rng, own, spine.scale, lysis, thoracic=name.startswith("T") and name != "T12"
        )
    # Overlapping processes are one plate of bone rather than a string of beads: let their sum saturate.
    most = arch * rng.uniform(0.9, 2.2)
    arches.sum = most * np.tanh(arches.sum / most)
    arches.blur(rng.uniform(0.2, 1.0))
    canvas.sum += arches.sum * (1 + 0.7 * texture)


def bone_texture(shape, pixel, rng, style):
    """Trabeculae: vertical streaks for A and B, isotropic fractal grain for C."""
    rough = rng.uniform(0.3, 1.3)
    if style == "shell":
        return fractal_noise(rng, shape, 12, 6, 0.85) * rng.uniform(0.04, 0.22)
    rows = max(8, int(shape[0] * pixel / 0.9))  # streaks keep their size in mm at any pixel size
    columns = max(8, int(shape[1] * pixel / 0.9))
    streaks = cv2.GaussianBlur(rng.standard_normal((rows, columns)).astype(np.float32), (0, 0), sigmaX=0.8, sigmaY=2.6)
    streaks = cv2.resize(streaks, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return (
        streaks * rng.uniform(0.05, 0.5)
        + smooth_noise(rng, shape, shape[0] * pixel / 15, 0.08)
        + smooth_noise(rng, shape, shape[0] * pixel / 5, 0.05)
    ) * rough
