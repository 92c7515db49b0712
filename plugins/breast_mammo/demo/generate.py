#!/usr/bin/python3
"""Writes synthetic screening mammograms as case folders: generate.py DIR [--seed N] [--count N]

No patient is behind them. The same seed gives the same bytes: chance comes from splitmix64 and the arithmetic is
+ - * / only. Of each three cases one is without cancer. Needs dump2dcm (DCMTK)."""
import argparse
import array
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

COLUMNS, ROWS, SPACING_MM = 300, 400, 0.6
WIDTH_MM, HEIGHT_MM = COLUMNS * SPACING_MM, ROWS * SPACING_MM
VIEWS = [("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO")]
MASK64 = (1 << 64) - 1
WORDS = {"mass": "mass", "calcification": "group of calcifications", "asymmetry": "asymmetry",
         "architectural_distortion": "architectural distortion"}


class Chance:
    """splitmix64 (Steele, Lea and Flood 2014), seeded by words."""

    def __init__(self, *words):
        name = "/".join(str(word) for word in words).encode()
        self.state = int.from_bytes(hashlib.sha256(name).digest()[:8], "big")

    def bits(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK64
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK64
        return z ^ (z >> 31)

    def between(self, low, high):
        return low + self.bits() % (high - low + 1)

    def pick(self, items):
        return items[self.between(0, len(items) - 1)]

    def unit(self):
        return (self.bits() >> 11) / float(1 << 53)


# --- The case ---------------------------------------------------------------------------------------------------

def malignant_finding(chance):
    kind = chance.pick(["mass", "mass", "calcification", "architectural_distortion", "asymmetry"])
    birads = 5 if kind == "mass" and chance.between(0, 2) else 4
    histology = {"mass": "invasive carcinoma of no special type, grade %d" % chance.between(1, 3),
                 "calcification": "ductal carcinoma in situ, high grade",
                 "architectural_distortion": "invasive lobular carcinoma, grade 2",
                 "asymmetry": "invasive lobular carcinoma, grade 2"}[kind]
    return {"type": kind, "birads": birads, "malignant": True, "histology": histology}


def benign_finding(chance, recalled):
    if recalled:
        return {"type": "mass", "birads": 4, "malignant": False, "histology": "fibroadenoma"}
    kind = chance.pick(["mass", "calcification"])
    histology = {"mass": "intramammary lymph node, typical", "calcification": "coarse, typically benign"}[kind]
    return {"type": kind, "birads": 2, "malignant": False, "histology": histology}


def place(chance, breast, finding):
    """The same depth in both views; the height in CC is lateral or medial, in MLO upper or lower."""
    depth = chance.between(28, 62) / 100.0 * breast["depth"]
    if finding["type"] == "calcification":
        semi = [chance.between(12, 18) / 2.0, chance.between(10, 16) / 2.0]
    elif finding["type"] == "mass":
        semi = [chance.between(12, 22) / 2.0, chance.between(12, 20) / 2.0]
    else:
        semi = [chance.between(20, 28) / 2.0, chance.between(20, 26) / 2.0]
    finding["views"] = {}
    for view in ("CC", "MLO"):
        height = chance.between(-45, 45) / 100.0 * breast["half_height"]
        # One decimal: what the truth says is what is drawn.
        x = round((depth if finding["laterality"] == "L" else WIDTH_MM - depth), 1)
        y = round(HEIGHT_MM / 2 + height, 1)
        finding["views"][view] = {"position": [x, y], "semi_axes": semi}
    finding["size_mm"] = 2 * max(semi)


def without_cancer(seed, number):
    """One case of each three, at a place that differs."""
    return (number - 1) % 3 == Chance(seed, "group", (number - 1) // 3).between(0, 2)


def worst(findings, side):
    order = [1, 2, 3, 6, 0, 4, 5]
    return max([1] + [f["birads"] for f in findings if f["laterality"] == side], key=order.index)


def make_case(seed, number):
    chance = Chance(seed, number, "case")
    breast = {"depth": float(chance.between(95, 130)), "half_height": float(chance.between(72, 95)),
              "density": chance.pick("aabbbccd")}
    findings = []
    if not without_cancer(seed, number):
        findings.append(dict(malignant_finding(chance), laterality=chance.pick("LR")))
    elif chance.between(0, 1):
        findings.append(dict(benign_finding(chance, chance.between(0, 1) == 1), laterality=chance.pick("LR")))
    if findings and findings[0]["malignant"] and chance.between(0, 2) == 0:
        other = "R" if findings[0]["laterality"] == "L" else "L"
        findings.append(dict(benign_finding(chance, False), laterality=other))
    for index, finding in enumerate(findings):
        finding["id"] = "F%d" % (index + 1)
        place(chance, breast, finding)
    breasts = {side: {"birads": worst(findings, side), "density": breast["density"]} for side in "LR"}
    truth = {"malignant": any(f["malignant"] for f in findings),
             "recall": any(b["birads"] in (0, 4, 5) for b in breasts.values()),
             "breasts": breasts, "findings": findings}
    return {"number": number, "seed": seed, "breast": breast, "truth": truth, "age": chance.between(50, 69),
            "contrast": chance.between(75, 130) / 100.0}


# --- The image: 12 bits, chest wall at the left edge; the right breast is turned over afterwards ------------------

class Noise:
    """Smooth chance: a lattice of values, blended between."""

    def __init__(self, chance, cell):
        self.cell, self.across = cell, COLUMNS // cell + 2
        self.values = [chance.unit() - 0.5 for _ in range(self.across * (ROWS // cell + 2))]

    def at(self, column, row):
        i, j = column // self.cell, row // self.cell
        u, v = (column % self.cell) / self.cell, (row % self.cell) / self.cell
        u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
        k = j * self.across + i
        values = self.values
        upper = values[k] + (values[k + 1] - values[k]) * u
        lower = values[k + self.across] + (values[k + self.across + 1] - values[k + self.across]) * u
        return upper + (lower - upper) * v


def draw_breast(case, side, view):
    chance = Chance(case["seed"], case["number"], side, view)
    coarse, middle, fine = Noise(chance, 48), Noise(chance, 16), Noise(chance, 5)
    depth, half = case["breast"]["depth"], case["breast"]["half_height"]
    glandular = {"a": 120.0, "b": 330.0, "c": 560.0, "d": 780.0}[case["breast"]["density"]]
    pixels = [0.0] * (COLUMNS * ROWS)
    for row in range(ROWS):
        y = (row + 0.5) * SPACING_MM - HEIGHT_MM / 2
        for column in range(COLUMNS):
            x = (column + 0.5) * SPACING_MM
            inside = 1 - (x * x) / (depth * depth) - (y * y) / (half * half)
            value = 40.0 + 12 * chance.unit()
            if inside > 0:
                edge = min(1.0, inside * 9)  # thinner towards the skin
                gland = max(0.0, inside - 0.15) * (1 + 1.5 * coarse.at(column, row))
                texture = 170 * middle.at(column, row) + 90 * fine.at(column, row)
                value += edge * (850 + texture * (0.5 + gland) + glandular * gland) + (180 if inside < 0.03 else 0)
            if view == "MLO" and x < 55 - 0.42 * (y + HEIGHT_MM / 2):  # the pectoral muscle
                value = max(value, 1750 + 60 * middle.at(column, row) + 12 * chance.unit())
            pixels[row * COLUMNS + column] = value
    return pixels


def add_line(pixels, x, y, dx, dy, bright):
    """A line that fades out, from (x, y) in pixels, by steps of half a pixel."""
    steps = int(2 * max(abs(dx), abs(dy))) or 1
    for step in range(steps):
        column, row = int(x + dx * step / steps), int(y + dy * step / steps)
        if 0 <= column < COLUMNS and 0 <= row < ROWS:
            pixels[row * COLUMNS + column] += bright * (1 - step / steps)


def add_rays(pixels, chance, x, y, semi, count, bright):
    for _ in range(count):
        dx, dy = chance.unit() * 2 - 1, chance.unit() * 2 - 1
        longest = max(abs(dx), abs(dy), 0.1)
        add_line(pixels, x, y, dx / longest * semi[0] * 1.5, dy / longest * semi[1] * 1.5, bright)


def add_blob(pixels, x, y, semi, bright, sharp):
    for row in range(max(0, int(y - semi[1])), min(ROWS, int(y + semi[1]) + 2)):
        for column in range(max(0, int(x - semi[0])), min(COLUMNS, int(x + semi[0]) + 2)):
            u, v = (column + 0.5 - x) / semi[0], (row + 0.5 - y) / semi[1]
            inside = 1 - u * u - v * v
            if inside > 0:
                pixels[row * COLUMNS + column] += bright * min(1.0, inside * sharp)


def add_specks(pixels, chance, x, y, semi, count, bright):
    for _ in range(count):
        column = int(x + (chance.unit() * 2 - 1) * semi[0] * 0.8)
        row = int(y + (chance.unit() * 2 - 1) * semi[1] * 0.8)
        if 0 <= column < COLUMNS - 1 and 0 <= row < ROWS - 1:
            pixels[row * COLUMNS + column] += bright
            pixels[row * COLUMNS + column + chance.between(0, 1)] += bright * 0.6
            pixels[(row + chance.between(0, 1)) * COLUMNS + column] += bright * 0.6


def draw_finding(pixels, case, finding, view):
    if view not in finding["views"]:
        return
    chance = Chance(case["seed"], case["number"], finding["id"], view)
    spot = finding["views"][view]
    x_mm = spot["position"][0] if finding["laterality"] == "L" else WIDTH_MM - spot["position"][0]
    x, y = x_mm / SPACING_MM, spot["position"][1] / SPACING_MM
    semi = [s / SPACING_MM for s in spot["semi_axes"]]
    contrast, kind = case["contrast"], finding["type"]
    if kind == "mass":
        add_blob(pixels, x, y, semi, 620 * contrast, 1.6 if finding["malignant"] else 5.0)
        if finding["malignant"]:
            add_rays(pixels, chance, x, y, semi, 26, 150 * contrast)
    elif kind == "calcification":
        count = 24 if finding["malignant"] else 5
        add_specks(pixels, chance, x, y, semi, count, (1300 if finding["malignant"] else 1700) * contrast)
    elif kind == "asymmetry":
        add_blob(pixels, x, y, semi, 420 * contrast, 1.1)
    else:
        add_rays(pixels, chance, x, y, semi, 44, 210 * contrast)


def render(case, side, view):
    pixels = draw_breast(case, side, view)
    for finding in case["truth"]["findings"]:
        if finding["laterality"] == side:
            draw_finding(pixels, case, finding, view)
    stored = array.array("H")
    for row in range(ROWS):
        line = pixels[row * COLUMNS:(row + 1) * COLUMNS]
        stored.extend(max(0, min(4095, int(v))) for v in (line if side == "L" else reversed(line)))
    if sys.byteorder == "big":
        stored.byteswap()
    return stored.tobytes()


# --- DICOM, in the words of dump2dcm ------------------------------------------------------------------------------

def uid(case, what):
    """A UUID (RFC 9562, version 8: by hash) as a decimal number under 2.25, as PS3.5 B.2 has it."""
    name = "overread mammography phantom %d %d %s" % (case["seed"], case["number"], what)
    digest = bytearray(hashlib.sha256(name.encode()).digest()[:16])
    digest[6] = (digest[6] & 0x0F) | 0x80
    digest[8] = (digest[8] & 0x3F) | 0x80
    return "2.25.%d" % int.from_bytes(digest, "big")


VIEW_CODES = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}
ORIENTATION = {"LCC": "A\\R", "RCC": "P\\L", "LMLO": "A\\FR", "RMLO": "P\\FL"}


def code_item(sequence, value, meaning, more=""):
    return ("(%s) SQ (Sequence with undefined length)\n(fffe,e000) na (Item with undefined length)\n"
            "(0008,0100) SH [%s]\n(0008,0102) SH [SCT]\n(0008,0104) LO [%s]\n%s"
            "(fffe,e00d) na (ItemDelimitationItem)\n(fffe,e0dd) na (SequenceDelimitationItem)\n"
            % (sequence, value, meaning, more))


EMPTY_SEQUENCE = "(%s) SQ (Sequence with undefined length)\n(fffe,e0dd) na (SequenceDelimitationItem)\n"


def dump(case, side, view, index, raw):
    number, name = case["number"], side + view
    elements = [
        ("0008,0005", "CS", "ISO_IR 192"), ("0008,0008", "CS", "ORIGINAL\\PRIMARY"),
        ("0008,0016", "UI", "1.2.840.10008.5.1.4.1.1.1.2"), ("0008,0018", "UI", uid(case, name)),
        ("0008,0020", "DA", None), ("0008,0030", "TM", None), ("0008,0050", "SH", None), ("0008,0060", "CS", "MG"),
        ("0008,0068", "CS", "FOR PRESENTATION"), ("0008,0070", "LO", "Overread"), ("0008,0090", "PN", None),
        ("0008,1030", "LO", "Synthetic screening mammogram"), ("0008,103e", "LO", "%s %s (synthetic)" % (side, view)),
        ("0008,1090", "LO", "Phantom generator"), ("0010,0010", "PN", "SYNTHETIC^MAMMOGRAM %03d" % number),
        ("0010,0020", "LO", "SYN-MG-%03d" % number), ("0010,0030", "DA", None), ("0010,0040", "CS", "F"),
        ("0010,1010", "AS", "%03dY" % case["age"]), ("0012,0062", "CS", "YES"),
        ("0012,0063", "LO", "Synthetic phantom, no patient"), ("0018,0015", "CS", "BREAST"),
        ("0018,1164", "DS", "%.1f\\%.1f" % (SPACING_MM, SPACING_MM)), ("0018,1508", "CS", "MAMMOGRAPHIC"),
        ("0018,7004", "CS", "DIRECT"), ("0020,000d", "UI", uid(case, "study")),
        ("0020,000e", "UI", uid(case, "series " + name)), ("0020,0010", "SH", "SYN-MG-%03d" % number),
        ("0020,0011", "IS", str(index + 1)), ("0020,0013", "IS", "1"), ("0020,0020", "CS", ORIENTATION[name]),
        ("0020,0062", "CS", side), ("0020,4000", "LT", "SYNTHETIC PHANTOM - NOT A PATIENT"),
        ("0028,0004", "CS", "MONOCHROME2"), ("0028,0030", "DS", "%.1f\\%.1f" % (SPACING_MM, SPACING_MM)),
        ("0028,0301", "CS", "NO"), ("0028,1040", "CS", "LOG"), ("0028,1050", "DS", "1300"),
        ("0028,1051", "DS", "2400"), ("0028,1052", "DS", "0"), ("0028,1053", "DS", "1"), ("0028,1054", "LO", "US"),
        ("0028,1300", "CS", "NO"), ("0028,1350", "CS", "NO"), ("0028,2110", "CS", "00"),
        ("0040,0318", "CS", "BREAST"), ("2050,0020", "CS", "IDENTITY")]
    lines = ["(%s) %s %s\n" % (tag, vr, "[%s]" % value if value is not None else "(no value available)")
             for tag, vr, value in elements]
    lines += ["(%s) %s %d\n" % item for item in (
        ("0028,0002", "US", 1), ("0028,0010", "US", ROWS), ("0028,0011", "US", COLUMNS), ("0028,0100", "US", 16),
        ("0028,0101", "US", 12), ("0028,0102", "US", 11), ("0028,0103", "US", 0), ("0028,1041", "SS", -1))]
    lines += [code_item("0008,2218", "76752008", "Breast"), EMPTY_SEQUENCE % "0040,0555",
              code_item("0054,0220", *VIEW_CODES[view], more=EMPTY_SEQUENCE % "0054,0222"),
              "(7fe0,0010) OW =%s\n" % raw]
    return "".join(lines)


def write_image(case, side, view, index, directory):
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        raw, text = pathlib.Path(scratch, "raw"), pathlib.Path(scratch, "text")
        raw.write_bytes(render(case, side, view))
        text.write_text(dump(case, side, view, index, raw), encoding="utf-8")
        subprocess.run(["dump2dcm", "-q", "+rl", "+te", str(text), str(directory / "1.dcm")], check=True, timeout=60)


# --- case.json and truth.json -------------------------------------------------------------------------------------

def case_json(case):
    image = {"size_mm": [WIDTH_MM, HEIGHT_MM], "pixels": [COLUMNS, ROWS]}
    return {
        "format": "overread-case/1", "slug": "demo-mammo-%03d" % case["number"], "modality": "breast_mammo",
        "plugin": "breast_mammo", "title": "Synthetic screening mammogram %03d" % case["number"],
        "clinical": {"age_years": case["age"], "indication": "screening, no symptoms, no earlier images"},
        "difficulty": 2 if case["contrast"] > 1.1 else 3 if case["contrast"] > 0.9 else 4, "synthetic": True,
        "truth_kind": "synthetic",
        "provenance": {"source": "Overread mammography phantoms, seed %d, case %d" % (case["seed"], case["number"]),
                       "citation": "", "licence": "CC0-1.0",
                       "attribution": "Synthetic: made by a program, no patient is behind it"},
        "series": [{"name": "%s %s" % item, "role": "%s_%s" % (item[0].lower(), item[1].lower()),
                    "directory": "%s_%s" % (item[0].lower(), item[1].lower())} for item in VIEWS],
        "config": {"views": {side: {"CC": image, "MLO": image} for side in "LR"},
                   "match": {"mode": "distance", "distance_mm": 15}, "recall_rule": "birads_0_4_5", "setting": "screening",
                   "ask": ["density"]}}


def report(case):
    truth = case["truth"]
    words = ["Synthetic phantom. Breast composition %s." % case["breast"]["density"]]
    for finding in truth["findings"]:
        places = ", ".join("%s %.0f, %.0f mm" % (view, *spot["position"]) for view, spot in finding["views"].items())
        words.append("%s: %s of %.0f mm in the %s breast (%s), BI-RADS %d. It was made as %s: %s." % (
            finding["id"], WORDS[finding["type"]], finding["size_mm"],
            "left" if finding["laterality"] == "L" else "right", places, finding["birads"],
            "cancer" if finding["malignant"] else "a benign finding", finding["histology"]))
    if not truth["findings"]:
        words.append("No finding: BI-RADS 1 on both sides.")
    words.append("Recall." if truth["recall"] else "No recall.")
    return " ".join(words)


def truth_json(case):
    findings = case["truth"]["findings"]
    histology = {"kind": "synthetic", "findings": [{"id": f["id"], "histology": f["histology"]} for f in findings]}
    return {"truth": case["truth"], "expert_report": report(case), "histology": histology if findings else None}


def write_case(case, directory):
    folder = directory / case_json(case)["slug"]
    for index, (side, view) in enumerate(VIEWS):
        write_image(case, side, view, index, folder / ("%s_%s" % (side.lower(), view.lower())))
    for name, content in (("case.json", case_json(case)), ("truth.json", truth_json(case))):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def positive(text):
    number = int(text)
    if not 1 <= number <= 999:
        raise argparse.ArgumentTypeError("1 to 999")
    return number


def main():
    parser = argparse.ArgumentParser(description="Writes synthetic screening mammograms as case folders.")
    parser.add_argument("directory", metavar="DIR", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=positive, default=6)
    args = parser.parse_args()
    for number in range(1, args.count + 1):
        write_case(make_case(args.seed, number), args.directory)


if __name__ == "__main__":
    main()
