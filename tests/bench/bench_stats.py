"""PI-CAI's metric as picai_eval computes it (numpy, scikit-learn), over the lists that bench_stats takes.

    bench_stats.py LISTS.json SECONDS        prints one line of JSON, as bench_stats does
    bench_stats.py --write LISTS.json KIND   writes lists of 1500 cases; KIND: ordinal (PI-RADS) or continuous

Written anew after reading its definition: AUROC over cases (roc_curve, auc), average precision over lesions
(precision_recall_curve; confidence 0 is a missed lesion and earns no precision), and true and false positives at every
threshold, each threshold one pass over all lesions."""
import csv
import json
import random
import resource
import sys
import time
from pathlib import Path

PICAI = Path(__file__).resolve().parents[3] / "shared/data/picai_cases.csv"


def cases(rng):
    """(target, lesions, routine PI-RADS) of the 1500 PI-CAI cases where they are at hand, else of as many like them."""
    if PICAI.exists():
        with PICAI.open() as file:
            return [(int(row["case_cspca"]), int(row["n_truth_lesions"]), int(row["routine_pirads_max"]))
                    for row in csv.DictReader(file)]
    made = []
    for number in range(1500):
        target = int(number < 425)
        made.append((target, target + (rng.random() < 0.08) * target,
                     rng.choices(range(1, 6), (7, 7, 19, 146, 246) if target else (136, 472, 132, 206, 129))[0]))
    return made


def lists(kind):
    """The highest PI-RADS is the first lesion's, or a false positive; further lesions are found two times in three."""
    rng = random.Random(20261124)
    results, targets, scores = {}, {}, {}
    for number, (target, lesions, pirads) in enumerate(cases(rng)):
        def confidence(category):
            return category if kind == "ordinal" else round(category / 5 - rng.random() / 5, 6)

        top = confidence(pirads)
        rows = [[1, top if n == 0 and pirads > 1 else confidence(rng.randint(2, 4)) if rng.random() < 0.67 else 0, 0.5]
                for n in range(lesions)]
        rows += [[0, confidence(rng.randint(2, 5)), 0.0] for _ in range(rng.randrange(2))]
        if not lesions and pirads > 1:
            rows.append([0, top, 0.0])
        name = f"{number:04}"
        results[name], targets[name] = rows, target
        scores[name] = max([row[1] for row in rows], default=0)
    return {"lesion_results": results, "case_target": targets, "case_pred": scores}


def prepare(document):
    """What its Metrics does with what it is given: every dictionary in the order of the cases, and weights."""
    subjects = sorted(document["lesion_results"])
    results = {one: document["lesion_results"][one] for one in subjects}
    return {"subjects": subjects, "results": results, "weights": {one: [1] * len(results[one]) for one in subjects},
            "target": {one: document["case_target"][one] for one in subjects},
            "score": {one: document["case_pred"][one] for one in subjects}, "case_weights": {one: 1 for one in subjects}}


def flat(lists):
    rows = [(lesion, confidence, overlap) for one in lists["subjects"] for lesion, confidence, overlap in lists["results"][one]]
    return numpy.array([row[0] for row in rows]), numpy.array([row[1] for row in rows])


def area(lists):
    fpr, tpr, _ = roc_curve(y_true=[lists["target"][one] for one in lists["subjects"]],
                            y_score=[lists["score"][one] for one in lists["subjects"]],
                            sample_weight=[lists["case_weights"][one] for one in lists["subjects"]])
    return auc(fpr, tpr)


def average_precision(lists):
    truth, confidence = flat(lists)
    weights = [weight for one in lists["subjects"] for weight in lists["weights"][one]]
    precision, recall, thresholds = precision_recall_curve(truth, confidence, sample_weight=weights)
    precision[:-1][thresholds == 0] = 0
    return -numpy.sum(numpy.diff(recall) * precision[:-1])


def counts(lists):
    truth, confidence = flat(lists)
    thresholds = numpy.unique(confidence)[::-1]
    hits, false = numpy.zeros(len(thresholds)), numpy.zeros(len(thresholds))
    for n, threshold in enumerate(thresholds):
        called = (confidence >= threshold).astype(int)
        hits[n] = numpy.sum(truth * called)
        false[n] = numpy.sum(called - truth * called)
    return thresholds, hits, false


def evaluate(document):
    """score, lesion_TPR and lesion_FPR: each of them a property that begins with the lists."""
    lists = prepare(document)
    auroc, average = area(lists), average_precision(lists)
    thresholds, hits, _ = counts(lists)
    sensitivity = hits / sum(int(lesion) for lesion in flat(lists)[0])
    false = counts(lists)[2] / len(lists["subjects"])
    points = sum(1 for threshold, _, _ in zip(thresholds, sensitivity, false) if threshold > 0)
    return float(auroc), float(average), points


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(path, seconds):
    document = json.loads(Path(path).read_text())
    auroc, average, points = evaluate(document)  # warms up
    took, used, start = [], cpu(), time.perf_counter()
    while (begin := time.perf_counter()) - start < seconds:
        evaluate(document)
        took.append(time.perf_counter() - begin)
    elapsed, used = time.perf_counter() - start, cpu() - used
    took.sort()
    return {"per_s": len(took) / elapsed, "p50_us": took[len(took) // 2] * 1e6, "p99_us": took[len(took) * 99 // 100] * 1e6,
            "cpu_us": used / len(took) * 1e6, "count": len(took), "auroc": auroc, "average_precision": average, "points": points}


if __name__ == "__main__":
    if sys.argv[1] == "--write":
        Path(sys.argv[2]).write_text(json.dumps(lists(sys.argv[3])))
    else:
        import numpy
        from sklearn.metrics import auc, precision_recall_curve, roc_curve
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
