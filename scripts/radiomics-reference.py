"""Known answers for src/kit/radiomics from two independent programs.

    pip install mirp 'setuptools<80' versioneer wheel cython numpy && pip install --no-build-isolation pyradiomics
    python scripts/radiomics-reference.py > test/fixtures/radiomics/reference.json

The digital phantom is that of the image biomarker standardisation initiative (IBSI, CC BY 4.0); its features by mirp
(written by IBSI's authors) are the initiative's published values. The textures are random, made here.
"""

import json
import logging
import sys

import numpy as np
from mirp import extract_features

# mirp speaks on the standard output, which is the answer's.
printed, sys.stdout = sys.stdout, sys.stderr
logging.disable(logging.CRITICAL)
_ = 0
phantom = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [_, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, _, _], [1, 1, 1, 1, 1], [1, 1, _, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, _, _], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ],
    float,
)


def texture(seed, rows, columns):
    """Smooth blobs in a slanted ellipse, as far from an even grid as a vertebra is."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, (rows, columns))
    for _pass in range(3):
        noise = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, -1, 0)) / 4
    y, x = np.mgrid[0:rows, 0:columns]
    u, v = (x - columns / 2 + 0.3 * (y - rows / 2)), (y - rows / 2)
    mask = (u / (0.42 * columns)) ** 4 + (v / (0.38 * rows)) ** 4 < 1
    return np.round(100 + 400 * noise + 0.7 * x, 3), mask


def by_mirp(values, mask, **settings):
    out = extract_features(
        image=values, mask=mask.astype(int), write_features=False, export_features=True,
        base_feature_families=["stat", "ih", "cm", "rlm", "szm", "ngtdm", "ngldm"], **settings,
    )[0]
    return {
        # mirp names the binning last; there is only one here.
        name.removesuffix("_fbn_n32"): float(out[name].iloc[0])
        for name in out.columns
        if name.split("_")[0] in ("stat", "ih", "cm", "rlm", "szm", "ngt", "ngl")
    }


def by_pyradiomics(mask, spacing):
    import SimpleITK as sitk
    from radiomics.shape2D import RadiomicsShape2D

    image = sitk.GetImageFromArray(mask[None].astype(np.float64))
    label = sitk.GetImageFromArray(mask[None].astype(np.uint8))
    for one in (image, label):
        one.SetSpacing((spacing[1], spacing[0], 1.0))
    shape = RadiomicsShape2D(image, label, force2D=True, force2Ddimension=0)
    shape.enableAllFeatures()
    return {name: float(value) for name, value in shape.execute().items()}


def region(values, mask, **more):
    grid = values if values.ndim == 3 else values[None]
    slices, rows, columns = grid.shape
    return {
        "columns": columns, "rows": rows, "slices": slices,
        "values": grid.ravel().tolist(), "mask": mask.astype(int).ravel().tolist(), **more,
    }


spatial = dict(
    glcm_spatial_method=["2d_average", "2d_slice_merge", "3d_average", "3d_volume_merge"],
    glrlm_spatial_method=["2d_average", "2d_slice_merge", "3d_average", "3d_volume_merge"],
    glszm_spatial_method=["2d", "3d"], ngtdm_spatial_method=["2d", "3d"], ngldm_spatial_method=["2d", "3d"],
)
inside = phantom > 0
filled = np.where(inside, phantom, 9.0)
answers = {"phantom": region(filled, inside, mirp=by_mirp(filled, inside, base_discretisation_method="none", **spatial)), "textures": []}
for seed, rows, columns, spacing in [(1, 26, 34, (0.7, 0.7)), (2, 41, 37, (0.31, 0.44))]:
    values, mask = texture(seed, rows, columns)
    answers["textures"].append(
        region(
            values, mask, rowMm=spacing[0], columnMm=spacing[1],
            mirp=by_mirp(
                values, mask, base_discretisation_method="fixed_bin_number", base_discretisation_n_bins=32,
                **{key: method[:1] for key, method in spatial.items()},
            ),
            pyradiomics=by_pyradiomics(mask, spacing),
        )
    )
json.dump(answers, printed, separators=(",", ":"))
