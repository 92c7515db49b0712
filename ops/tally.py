#!/usr/bin/env python3
"""Reads a test runner's own report and prints "passed failed skipped", for ops/test to add up."""
import json
import sys
import xml.etree.ElementTree as ElementTree


def meson(path):
    """One JSON object a line, as meson test writes testlog.json."""
    results = [json.loads(line)["result"] for line in open(path, encoding="utf-8")]
    passed = sum(result in ("OK", "EXPECTEDFAIL") for result in results)
    skipped = results.count("SKIP")
    return passed, len(results) - passed - skipped, skipped


def junit(path):
    passed = failed = skipped = 0
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


if __name__ == "__main__":
    print(*{"meson": meson, "junit": junit}[sys.argv[1]](sys.argv[2]))
