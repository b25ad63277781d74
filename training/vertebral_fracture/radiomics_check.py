"""The service's radiomics against mirp and pyradiomics on real crops: the largest relative difference per family.

    python -m training.vertebral_fracture.radiomics_check --data DATA --crops 24

Needs `pip install mirp` and pyradiomics (see scripts/radiomics-reference.py). Fails beyond 1e-6.
"""

import argparse
import logging
import sys
from pathlib import Path

import numpy as np

from .crops import mask_of
from .radiomics import radiomics_of
from .real_films import unlabelled

LIMIT = 1e-6
# mirp's short names in the order of ours.
STATISTICS = "mean var skew kurt median p10 p90 iqr mad rmad medad cov qcod min max range energy rms".split()
HISTOGRAM = (
    "mean var skew kurt median p10 p90 iqr mad rmad medad cov qcod min max mode range entropy uniformity "
    "max_grad max_grad_g min_grad min_grad_g"
).split()
GLCM = (
    "joint_max joint_avg joint_var joint_entr diff_avg diff_var diff_entr sum_avg sum_var sum_entr energy contrast "
    "dissimilarity inv_diff inv_diff_norm inv_diff_mom inv_diff_mom_norm inv_var corr auto_corr clust_tend clust_shade "
    "clust_prom info_corr1 info_corr2"
).split()
RUNS = "sre lre lgre hgre srlge srhge lrlge lrhge glnu glnu_norm rlnu rlnu_norm r_perc gl_var rl_var rl_entr".split()
ZONES = "sze lze lgze hgze szlge szhge lzlge lzhge glnu glnu_norm zsnu zsnu_norm z_perc gl_var zs_var zs_entr".split()
TONES = "coarseness contrast busyness complexity strength".split()
DEPENDENCES = (
    "lde hde lgce hgce ldlge ldhge hdlge hdhge glnu glnu_norm dcnu dcnu_norm dc_perc gl_var dc_var dc_entr dc_energy"
).split()
FAMILIES = {
    "firstOrder": ("stat_", "", STATISTICS),
    "histogram": ("ih_", "", HISTOGRAM),
    "glcm": ("cm_", "_d1_2d_avg", GLCM),
    "glrlm": ("rlm_", "_2d_avg", RUNS),
    "glszm": ("szm_", "_2d", ZONES),
    "ngtdm": ("ngt_", "_2d", TONES),
    "ngldm": ("ngl_", "_d1_a0.0_2d", DEPENDENCES),
}


def scaled(crop):
    """0 to 100 between the crop's 1st and 99th percentile, as radiomicsOf has it."""
    values = np.sort(crop.astype(float).ravel())
    low, high = values[int(np.floor(0.01 * (values.size - 1)))], values[int(np.ceil(0.99 * (values.size - 1)))]
    return 100 * (crop.astype(float) - low) / (high - low)


def by_mirp(crop, mask):
    from mirp import extract_features

    out = extract_features(
        image=scaled(crop)[None], mask=mask.astype(int)[None], write_features=False, export_features=True,
        base_feature_families=["stat", "ih", "cm", "rlm", "szm", "ngtdm", "ngldm"],
        base_discretisation_method="fixed_bin_number", base_discretisation_n_bins=32,
        glcm_spatial_method="2d_average", glrlm_spatial_method="2d_average",
        glszm_spatial_method="2d", ngtdm_spatial_method="2d", ngldm_spatial_method="2d",
    )[0]
    return {name.removesuffix("_fbn_n32"): out[name].iloc[0] for name in out.columns}


def by_pyradiomics(mask):
    import SimpleITK as sitk
    from radiomics.shape2D import RadiomicsShape2D

    image = sitk.GetImageFromArray(mask[None].astype(np.float64))
    label = sitk.GetImageFromArray(mask[None].astype(np.uint8))
    shape = RadiomicsShape2D(image, label, force2D=True, force2Ddimension=0)
    shape.enableAllFeatures()
    return {f"shape2d.{name[0].lower()}{name[1:]}": float(value) for name, value in shape.execute().items()}


def relative(own, other):
    return abs(own - other) / max(abs(other), 1e-6)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--crops", type=int, default=24)
    options = arguments.parse_args()
    logging.disable(logging.CRITICAL)
    found, _ = unlabelled(options.data)
    chosen = [found[int(i)] for i in np.linspace(0, len(found) - 1, min(options.crops, len(found)))]
    masks = [mask_of(one.corners) for one in chosen]
    names, rows, _ = radiomics_of(np.stack([one.crop for one in chosen]), np.stack(masks))
    # Time is taken over all of them: the first few of a process are compiled as they run.
    _, _, milliseconds = radiomics_of(np.stack([one.crop for one in found]), np.stack([mask_of(one.corners) for one in found]))
    worst = {family: (0.0, "") for family in ("shape2d", *FAMILIES)}
    for one, mask, row in zip(chosen, masks, rows, strict=True):
        own = dict(zip(names, row, strict=True))
        mirp = by_mirp(one.crop, mask)
        for family, (prefix, suffix, short) in FAMILIES.items():
            ours = [name for name in names if name.startswith(f"{family}.")]
            for name, other in zip(ours, short, strict=True):
                worst[family] = max(worst[family], (relative(own[name], float(mirp[f"{prefix}{other}{suffix}"])), name))
        for name, value in by_pyradiomics(mask).items():
            worst["shape2d"] = max(worst["shape2d"], (relative(own[name], value), name))
    films = len({one.film for one in chosen})
    print(f"REAL: {len(chosen)} vertebrae of {films} lateral films (unifesp), corners by the shipped corner finder")
    for family, (difference, name) in worst.items():
        count = sum(name.startswith(f"{family}.") for name in names)
        by = "pyradiomics 3.0.1" if family == "shape2d" else "mirp 2.7"
        print(f"  {family}: {count} features, against {by} at most {difference:.1e} ({name or 'equal'}), relative")
    print(f"  extraction of {len(found)} vertebrae: median {np.median(milliseconds):.1f} ms, 95th percentile {np.percentile(milliseconds, 95):.1f} ms of the processor a vertebra")
    sys.exit(0 if max(difference for difference, _ in worst.values()) <= LIMIT else 1)


if __name__ == "__main__":
    main()
