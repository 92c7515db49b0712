#!/usr/bin/python3
"""Writes the two real ProstateX cases as case folders: prostatex_case.py SHARED_DATA_DIR OUT_DIR

The images are PROSTATEx (TCIA), the truth is PI-CAI's. The project ships neither: this reads them where somebody has
put them, in the layout that SOURCE.md there describes.
"""
import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

CASES = {"prostatex-0000": ("11373_1001396", "ProstateX-0000"), "prostatex-0001": ("10795_1000811", "ProstateX-0001")}
SERIES = (("T2W axial", "t2w", r"t2.*tra"), ("ADC", "adc", r"ADC"), ("DWI calculated high b", "hbv", r"CALC_?BVAL"))
CITATION = (
    "Saha A, Bosma JS, Twilt JJ, et al. Artificial intelligence and radiologists in prostate cancer detection on MRI "
    "(PI-CAI). Lancet Oncol 2024;25:879-887. Litjens G, Debats O, Barentsz J, Karssemeijer N, Huisman H. ProstateX "
    "Challenge data. The Cancer Imaging Archive 2017, doi 10.7937/K9TCIA.2017.MURS5CL.")
ATTRIBUTION = (
    "Truth: PI-CAI labels (DIAGNijmegen/picai_labels), CC BY-NC 4.0, reformatted, non-commercial use only. Images: "
    "PROSTATEx, The Cancer Imaging Archive, CC BY 3.0; Litjens et al., IEEE TMI 2014;33:1083-1092; Clark K et al., "
    "J Digit Imaging 2013;26:1045-1057.")


def rows(path, case_id):
    with path.open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["case_id"] == case_id]


def numbers(text):
    return [float(word) for word in text.split()]


def image_bounds(row):
    """The box about the outer corners of all T2W slices."""
    origin, spacing, axes = (numbers(row[f"t2w_{name}"]) for name in ("origin_lps_mm", "spacing_mm", "direction_lps"))
    size = [int(row[f"t2w_n{axis}"]) for axis in "xyz"]
    ends = [(-0.5, size[0] - 0.5), (-0.5, size[1] - 0.5), (0, size[2] - 1)]
    corners = [[origin[k] + sum(index * spacing[n] * axes[3 * n + k] for n, index in enumerate((i, j, s)))
                for k in range(3)] for i in ends[0] for j in ends[1] for s in ends[2]]
    return [[round(min(c[k] for c in corners), 3), round(max(c[k] for c in corners), 3)] for k in range(3)]


def orthonormal(*axes):
    """Gram-Schmidt: the table has four decimals, the plugin wants right angles."""
    made = []
    for axis in axes:
        for other in made:
            along = sum(a * b for a, b in zip(axis, other))
            axis = [a - along * b for a, b in zip(axis, other)]
        length = sum(a * a for a in axis) ** 0.5
        made.append([a / length for a in axis])
    return [[round(a, 9) for a in axis] for axis in made]


def gland(row):
    """The AI gland's box is along the image's axes, and so is the ellipsoid."""
    axes = numbers(row["t2w_direction_lps"])
    return {"centre": numbers(row["gland_ai_centroid_lps_mm"]),
            "semi_axes": [extent / 2 for extent in numbers(row["gland_ai_extent_mm"])],
            "axes": orthonormal(axes[0:3], axes[3:6], axes[6:9]), "margin_mm": 10}


def lesion(row, pirads):
    """No sectors: the table has a place in the gland's box only, from which the posterolateral border does not follow."""
    place = {name: [float(row[f"{name}_{axis}_mm"]) for axis in "lps"] for name in ("centroid", "interior")}
    semi_axes = [float(row[f"semi_{axis}_mm"]) for axis in "abc"]
    made = {"id": f"L{row['lesion_no']}", "centre": place["centroid"], "semi_axes": semi_axes,
            "axes": orthonormal(*(numbers(row[f"axis_{axis}_lps"]) for axis in "abc")), "zone": row["zone"],
            "isup": int(row["isup"]), "size_mm": float(row["max_diameter_mm"]), "volume_ml": float(row["volume_ml"])}
    if row["centroid_in_mask"] == "0":
        made["target"] = place["interior"]
    if pirads:
        made["pirads"] = pirads
    return made


def truth(row, lesion_rows):
    # The categories of the routine read have no place; with one of each it is clear which is whose.
    routine = row["lesion_pirads"].split()
    pirads = int(routine[0]) if len(routine) == len(lesion_rows) == 1 else None
    return {"cspca": row["case_cspca"] == "1", "lesions": [lesion(one, pirads) for one in lesion_rows],
            "pirads": int(row["routine_pirads_max"]), "volume_ml": float(row["prostate_volume_ml"]),
            "psa_ng_ml": float(row["psa_ng_ml"])}


def report(row, lesion_rows):
    words = [f"Routine read: PI-RADS {' and '.join(row['lesion_pirads'].split())}. "
             f"Biopsy ({row['histopath_type']}): Gleason {' and '.join(row['lesion_gleason'].split())}, "
             f"highest ISUP grade group {row['case_isup']}."]
    for one in lesion_rows:
        side = "left" if float(one["centroid_l_mm"]) > numbers(row["gland_ai_centroid_lps_mm"])[0] else "right"
        zone = {"PZ": "peripheral", "TZ": "transition"}[one["zone"]]
        words.append(f"Delineated lesion {one['lesion_no']}: {one['volume_ml']} ml, {one['max_diameter_mm']} mm, "
                     f"{zone} zone, {side} of the gland's centre.")
    if not lesion_rows:
        words.append("No clinically significant cancer was delineated.")
    return " ".join(words)


def worst_gleason(row):
    graded = zip(row["lesion_isup"].split(), row["lesion_gleason"].split(), strict=True)
    return max(graded, key=lambda pair: int(pair[0]))[1]


def copy_series(source, target):
    """The folder's series, each copied to t2w, adc, hbv; True when every file says that it is de-identified and holds no
    burned-in text."""
    safe = True
    for _, role, pattern in SERIES:
        (folder,) = [path for path in source.iterdir() if re.search(pattern, path.name)
                     and (role == "adc") == ("ADC" in path.name)]
        shutil.rmtree(target / role, ignore_errors=True)
        shutil.copytree(folder, target / role)
        for file in (target / role).glob("*.dcm"):
            dump = subprocess.run(["dcmdump", "-q", "+P", "0012,0062", "+P", "0028,0301", file], capture_output=True,
                                  text=True, check=True)
            safe &= "[YES]" in dump.stdout and "[NO]" in dump.stdout
    return safe


def clinical(row):
    psa, volume = float(row["psa_ng_ml"]), float(row["prostate_volume_ml"])
    return {"age_years": int(row["age"]), "psa_ng_ml": psa, "prostate_volume_ml": volume,
            "psa_density_ng_ml2": round(psa / volume, 2)}


def write_case(data, out, slug, case_id, name):
    (row,) = rows(data / "picai_cases.csv", case_id)
    lesion_rows = rows(data / "picai_lesions.csv", case_id)
    folder = out / slug
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "format": "overread-case/1", "slug": slug, "modality": "prostate_mri", "plugin": "prostate_mri",
        "title": f"Prostate MRI {name}", "clinical": clinical(row), "difficulty": 3, "synthetic": False,
        "truth_kind": "histology",
        "provenance": {"source": f"PROSTATEx {name}, PI-CAI {case_id}", "citation": CITATION,
                       "licence": "CC BY-NC 4.0", "attribution": ATTRIBUTION},
        "series": [{"name": title, "role": role, "directory": role} for title, role, _ in SERIES],
        "config": {"match": {"mode": "distance", "distance_mm": 10}, "cspca_definition": "isup_ge_2",
                   "image": {"bounds_lps_mm": image_bounds(row)}, "gland": gland(row)}}
    if not copy_series(data / "dicom" / "prostatex" / name, folder):
        manifest["deidentified_by"] = "TCIA"
    secret = {"truth": truth(row, lesion_rows), "expert_report": report(row, lesion_rows),
              "histology": {"kind": row["histopath_type"], "gleason": worst_gleason(row), "isup": int(row["case_isup"])}}
    (folder / "truth.json").write_text(json.dumps(secret, indent=1) + "\n")
    (folder / "case.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(folder)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    data, out = map(Path, sys.argv[1:])
    for slug, (case_id, name) in CASES.items():
        write_case(data, out, slug, case_id, name)


if __name__ == "__main__":
    main()
