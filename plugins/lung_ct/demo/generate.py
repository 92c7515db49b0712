#!/usr/bin/python3
"""Draws synthetic chest CT cases for the plugin lung_ct: case folders for `overread library import`.

    generate.py DIR --seed N --count N

The same seed gives the same bytes. A phantom is two ellipsoid lungs in an ellipsoid chest with straight vessels and, as
a rule, nodules; nobody will take it for a patient. Every third case has nothing suspicious. Needs DCMTK's dump2dcm.
"""

import argparse
import array
import hashlib
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

SIDE, SLICES = 128, 32
PIXEL_MM, SLICE_MM = 1.5, 2.5
AIR, LUNG, TISSUE, BONE = -1000, -860, 40, 450
INTERCEPT = -1024
CHEST = (88.0, 66.0)
LUNG_SEMI = (36.0, 52.0, 70.0)
LUNG_AT = 45.0
HU = {"solid": 40, "part_solid": -560, "ground_glass": -640, "juxtapleural": 40, "benign": 650}


def uid(seed, number, what):
    """A UUID (RFC 9562, version 8: by hash) as the decimal number under 2.25."""
    digest = bytearray(hashlib.sha256(f"overread lung phantom {seed} {number} {what}".encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return "2.25." + str(int.from_bytes(digest, "big"))


# --- What a case holds ------------------------------------------------------------------------------------------------

def tenths(rng, low, high):
    return rng.randint(round(low * 10), round(high * 10))


def nodule(rng, name, kind, mean, category, side, status="baseline", **more):
    """mean: in tenths of a millimetre. side: 1 left, -1 right. Positions are relative to the phantom's centre."""
    spread = rng.randint(0, max(1, mean // 12))
    longest, shortest = mean + spread, mean - spread
    if kind == "juxtapleural":
        p, s = rng.uniform(-15, 15), rng.uniform(-18, 18)
        at_edge = math.sqrt(1 - (p / LUNG_SEMI[1]) ** 2 - (s / LUNG_SEMI[2]) ** 2)
        place = [side * (LUNG_AT + LUNG_SEMI[0] * at_edge - mean / 40), p, s]
    else:
        place = [side * (LUNG_AT + rng.uniform(-16, 16)), rng.uniform(-28, 28), rng.uniform(-22, 22)]
    return {"id": name, "place": [round(x, 1) for x in place], "type": kind, "status": status, "mean": mean,
            "long": longest, "short": shortest, "category": category, **more}


def solid_at_baseline(mean):
    return "2" if mean < 60 else "3" if mean < 80 else "4A" if mean < 150 else "4B"


def part_solid_at_baseline(solid):
    return "3" if solid < 60 else "4A" if solid < 80 else "4B"


def draw_case(rng, number):
    """(nodules, months since the prior examination or None, what the prior said)"""
    side = rng.choice((-1, 1))
    kind = number % 6
    if kind == 1:
        mean = tenths(rng, 8.5, 16.5)
        return [nodule(rng, "N1", "solid", mean, solid_at_baseline(mean), side, malignant=True,
                       histology="adenocarcinoma (synthetic)")], None, None
    if kind == 2:
        return [], None, None
    if kind == 3:
        mean = tenths(rng, 13, 20)
        solid = tenths(rng, 4, 9.5)
        return [nodule(rng, "N1", "part_solid", mean, part_solid_at_baseline(solid), side, solid=solid,
                       malignant=True, histology="invasive adenocarcinoma with a lepidic part (synthetic)")], None, None
    if kind == 4:
        mean = tenths(rng, 6, 9.5)
        before = mean - rng.randint(17, 30)
        category = "4B" if mean >= 80 else "4A"
        grown = nodule(rng, "N1", "solid", mean, category, side, "growing", prior=before, malignant=True,
                       histology="squamous cell carcinoma (synthetic)")
        where = "left" if side > 0 else "right"
        return [grown], 12, (f"One solid nodule in the {where} lung, mean diameter {before / 10:.1f} mm at "
                             f"L {grown['place'][0]:.0f} P {grown['place'][1]:.0f} mm from the chest's centre.")
    if kind == 5:
        first = nodule(rng, "N1", "juxtapleural", tenths(rng, 6, 9.5), "2", side, malignant=False,
                       follow_up="unchanged (synthetic)")
        second = nodule(rng, "N2", "benign", tenths(rng, 6, 11), "1", -side, malignant=False,
                        follow_up="unchanged (synthetic)")
        return [first, second], None, None
    mean = tenths(rng, 6.2, 7.8)
    first = nodule(rng, "N1", "solid", mean, solid_at_baseline(mean), side, malignant=False,
                   follow_up="unchanged at 6 months (synthetic)")
    second = nodule(rng, "N2", "ground_glass", tenths(rng, 12, 24), "2", -side)
    return [first, second], None, None


# --- The picture ------------------------------------------------------------------------------------------------------

def axis(count, step):
    return [(i - (count - 1) / 2) * step for i in range(count)]


def background(rng, z):
    """One slice of chest, lungs, spine and noise, as Hounsfield units."""
    xs = ys = axis(SIDE, PIXEL_MM)
    noise = rng.randbytes(SIDE * SIDE)
    pixels = array.array("h", bytes(2 * SIDE * SIDE))
    at = 0
    for y in ys:
        for x in xs:
            if (x / CHEST[0]) ** 2 + (y / CHEST[1]) ** 2 > 1:
                value = AIR
            elif math.hypot(x, y - 50) < 11:
                value = BONE
            else:
                inside = (((abs(x) - LUNG_AT) / LUNG_SEMI[0]) ** 2 + (y / LUNG_SEMI[1]) ** 2
                          + (z / LUNG_SEMI[2]) ** 2)
                value = LUNG if inside < 1 else TISSUE
            pixels[at] = value + (noise[at] - 128) // 5
            at += 1
    return pixels


def paint(volume, centre, semi, value, only_lung=False):
    """Blends an ellipsoid in, with an edge as soft as a voxel."""
    xs, zs = axis(SIDE, PIXEL_MM), axis(SLICES, SLICE_MM)
    mean = sum(semi) / 3
    near = [[i for i, x in enumerate(grid) if abs(x - centre[k]) <= semi[k] + step]
            for k, (grid, step) in enumerate(((xs, PIXEL_MM), (xs, PIXEL_MM), (zs, SLICE_MM)))]
    for k in near[2]:
        for j in near[1]:
            for i in near[0]:
                distance = math.sqrt(((xs[i] - centre[0]) / semi[0]) ** 2 + ((xs[j] - centre[1]) / semi[1]) ** 2
                                     + ((zs[k] - centre[2]) / semi[2]) ** 2)
                share = min(1.0, max(0.0, 0.5 - (distance - 1) * mean / PIXEL_MM))
                old = volume[k][j * SIDE + i]
                if share > 0 and not (only_lung and old > -500):
                    volume[k][j * SIDE + i] = round(old + share * (value - old))


def paint_vessels(rng, volume):
    for side in (-1, 1):
        for _ in range(9):
            start = (side * (LUNG_AT - 26), rng.uniform(-12, 12), rng.uniform(-20, 20))
            end = (side * (LUNG_AT + rng.uniform(0, 26)), rng.uniform(-38, 38), rng.uniform(-34, 34))
            radius = rng.uniform(1.2, 2.4)
            for step in range(36):
                part = step / 36
                place = [a + (b - a) * part for a, b in zip(start, end)]
                thin = radius * (1 - part / 2)
                paint(volume, place, (thin, thin, thin * 1.3), 20, only_lung=True)


def draw_volume(rng, nodules):
    volume = [background(rng, z) for z in axis(SLICES, SLICE_MM)]
    paint_vessels(rng, volume)
    for one in nodules:
        semi = (one["long"] / 20, one["short"] / 20, one["mean"] / 20)
        # Nothing but lung around a nodule, so that no vessel hides or feigns its edge.
        if one["type"] != "juxtapleural":
            paint(volume, one["place"], [x + 4 for x in semi], LUNG)
        paint(volume, one["place"], semi, HU[one["type"]])
        if "solid" in one:
            paint(volume, one["place"], [one["solid"] / 20] * 3, 40)
    return volume


# --- The files ----------------------------------------------------------------------------------------------------------

def dump_text(seed, number, slice_number, age, sex, first, raw):
    no = "(no value available)"
    return "\n".join([
        "(0008,0005) CS [ISO_IR 192]", "(0008,0008) CS [ORIGINAL\\PRIMARY\\AXIAL]", "(0008,0016) UI =CTImageStorage",
        f"(0008,0018) UI [{uid(seed, number, f'slice {slice_number}')}]", f"(0008,0020) DA {no}",
        f"(0008,0030) TM {no}", f"(0008,0050) SH {no}", "(0008,0060) CS [CT]", "(0008,0070) LO [Overread]",
        f"(0008,0090) PN {no}", "(0008,1030) LO [Synthetic chest phantom]", "(0008,103e) LO [CT chest (synthetic)]",
        "(0008,1090) LO [Phantom generator]", f"(0010,0010) PN [SYNTHETIC^LUNG {number:03d}]",
        f"(0010,0020) LO [SYN-LUNG-{number:03d}]", f"(0010,0030) DA {no}", f"(0010,0040) CS [{sex}]",
        f"(0010,1010) AS [{age:03d}Y]", "(0012,0062) CS [YES]", "(0012,0063) LO [Synthetic phantom, no patient]",
        "(0018,0015) CS [CHEST]", f"(0018,0050) DS [{SLICE_MM}]", "(0018,0060) DS [120]",
        f"(0018,0088) DS [{SLICE_MM}]", "(0018,5100) CS [HFS]", f"(0020,000d) UI [{uid(seed, number, 'study')}]",
        f"(0020,000e) UI [{uid(seed, number, 'series')}]", f"(0020,0010) SH [SYN-LUNG-{number:03d}]",
        "(0020,0011) IS [1]", "(0020,0012) IS [1]", f"(0020,0013) IS [{slice_number + 1}]",
        "(0020,0032) DS [" + "\\".join(f"{x:.3f}" for x in first) + "]", "(0020,0037) DS [1\\0\\0\\0\\1\\0]",
        f"(0020,0052) UI [{uid(seed, number, 'frame of reference')}]", f"(0020,1040) LO {no}",
        "(0020,4000) LT [SYNTHETIC PHANTOM - NOT A PATIENT]", "(0028,0002) US 1", "(0028,0004) CS [MONOCHROME2]",
        f"(0028,0010) US {SIDE}", f"(0028,0011) US {SIDE}", f"(0028,0030) DS [{PIXEL_MM}\\{PIXEL_MM}]",
        "(0028,0100) US 16", "(0028,0101) US 12", "(0028,0102) US 11", "(0028,0103) US 0", "(0028,0301) CS [NO]",
        "(0028,1050) DS [-600]", "(0028,1051) DS [1500]", f"(0028,1052) DS [{INTERCEPT}]", "(0028,1053) DS [1]",
        "(0028,1054) LO [HU]", f"(7fe0,0010) OW ={raw}", ""])


def write_series(folder, seed, number, age, sex, centre, volume):
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        raw, text = pathlib.Path(work, "pixels.raw"), pathlib.Path(work, "slice.dump")
        for k, pixels in enumerate(volume):
            stored = array.array("H", (min(4095, max(0, value - INTERCEPT)) for value in pixels))
            if sys.byteorder == "big":
                stored.byteswap()
            raw.write_bytes(stored.tobytes())
            first = [centre[0] + axis(SIDE, PIXEL_MM)[0], centre[1] + axis(SIDE, PIXEL_MM)[0],
                     centre[2] + axis(SLICES, SLICE_MM)[k]]
            text.write_text(dump_text(seed, number, k, age, sex, first, raw), encoding="utf-8")
            subprocess.run(["dump2dcm", "-q", "+te", str(text), str(folder / f"{k + 1:03d}.dcm")], check=True)


def bounds(centre):
    reach = [SIDE * PIXEL_MM / 2, SIDE * PIXEL_MM / 2, SLICES * SLICE_MM / 2]
    return [[round(c - r, 3), round(c + r, 3)] for c, r in zip(centre, reach)]


def truth_nodule(one, centre):
    ret = {"id": one["id"], "centre": [round(a + b, 1) for a, b in zip(centre, one["place"])],
           "semi_axes": [one["long"] / 20, one["short"] / 20, one["mean"] / 20],
           "type": one["type"], "status": one["status"], "mean_diameter_mm": one["mean"] / 10,
           "long_mm": one["long"] / 10, "short_mm": one["short"] / 10, "category": one["category"]}
    for ours, theirs in (("solid", "solid_mm"), ("prior", "prior_diameter_mm")):
        if ours in one:
            ret[theirs] = one[ours] / 10
    for name in ("malignant", "histology", "follow_up"):
        if name in one:
            ret[name] = one[name]
    return ret


RANKS = ["1", "2", "3", "4A", "4B"]
MANAGEMENT = {"1": "ldct_12_months", "2": "ldct_12_months", "3": "ldct_6_months", "4A": "ldct_3_months",
              "4B": "pet_ct_or_tissue"}


def report_of(truth, months):
    words = [f"Synthetic phantom. {'No nodule.' if not truth['nodules'] else ''}".strip()]
    for one in truth["nodules"]:
        l, p, s = one["centre"]
        solid = f", solid component {one['solid_mm']} mm" if "solid_mm" in one else ""
        prior = f", {one['prior_diameter_mm']} mm {months} months ago" if "prior_diameter_mm" in one else ""
        words.append(f"{one['id']}: {one['type'].replace('_', ' ')} nodule at L {l}, P {p}, S {s} mm, mean diameter "
                     f"{one['mean_diameter_mm']} mm{solid}{prior}, {one['status']}: Lung-RADS {one['category']}.")
    words.append(f"Examination: Lung-RADS {truth['category']}.")
    return " ".join(words)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def generate(folder, seed, number):
    rng = random.Random(seed * 100003 + number)
    age, sex, pack_years = rng.randint(50, 79), rng.choice("FM"), rng.randint(20, 60)
    centre = [round(rng.uniform(-4, 4), 1), round(rng.uniform(-10, 10), 1), round(rng.uniform(-260, -120), 1)]
    nodules, months, prior_report = draw_case(rng, number)
    category = max((one["category"] for one in nodules), key=RANKS.index, default="1")
    truth = {"nodules": [truth_nodule(one, centre) for one in nodules], "category": category,
             "management": MANAGEMENT[category]}
    lungs = [{"centre": [round(centre[0] + side * LUNG_AT, 1), centre[1], centre[2]], "semi_axes": list(LUNG_SEMI)}
             for side in (-1, 1)]
    config = {"match": {"mode": "distance", "distance_mm": 6}, "image": {"bounds_lps_mm": bounds(centre)},
              "lungs": lungs}
    clinical = {"age_years": age, "pack_years": pack_years}
    if months:
        config["prior"] = {"interval_months": months, "report": prior_report}
        clinical["prior_months"] = months
        clinical["prior_report"] = prior_report
    write_series(folder / "ct", seed, number, age, sex, centre, draw_volume(rng, nodules))
    write_json(folder / "case.json", {
        "format": "overread-case/1", "slug": folder.name, "modality": "lung_ct", "plugin": "lung_ct",
        "title": f"Synthetic chest phantom {number:03d}", "clinical": clinical,
        "difficulty": 1 + number % 5, "synthetic": True, "truth_kind": "synthetic",
        "provenance": {"source": f"Overread lung phantom generator, seed {seed}, case {number}", "citation": "",
                       "licence": "CC0-1.0", "attribution": "Synthetic: made by a program, no patient is behind it"},
        "series": [{"name": "CT chest", "role": "ct", "directory": "ct"}], "config": config})
    write_json(folder / "truth.json", {
        "truth": truth, "expert_report": report_of(truth, months),
        "histology": {"kind": "synthetic",
                      "nodules": [{"id": one["id"], "malignant": one.get("malignant", False)} for one in nodules]}})


def main():
    parser = argparse.ArgumentParser(description="Draws synthetic chest CT cases for the plugin lung_ct.")
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=6)
    arguments = parser.parse_args()
    if not 1 <= arguments.count <= 999:
        parser.error("--count must be 1 to 999")
    for number in range(1, arguments.count + 1):
        folder = arguments.directory / f"demo-lung-{number:03d}"
        generate(folder, arguments.seed, number)
        print(folder)


if __name__ == "__main__":
    main()
