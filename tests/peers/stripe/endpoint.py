#!/usr/bin/python3
"""Signatures that Stripe's own client made, at the webhook endpoint of the build in OVERREAD_BUILD: good deliveries are taken and
kept byte for byte, bad ones are refused and leave nothing."""
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "api"))
sys.dont_write_bytecode = True

from support.cluster import Cluster  # noqa: E402
from support.server import Server  # noqa: E402

SECRETS = ["whsec_4fPLc0bQJYqzN7", "whsec_of+the/rotation=="]
VERSION = json.loads((HERE.parents[1] / "stripe_standin/schema.json").read_text())["api_version"]


def cases():
    """Made just before they are sent: their times run out."""
    done = subprocess.run(["node", "cases.mjs", VERSION, *SECRETS], cwd=HERE, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


def kept(pg, payload):
    """Under the id of that payload: nothing, or its very bytes?"""
    return [raw == payload for raw, in pg.query("SELECT raw FROM stripe_events WHERE event = %s", (json.loads(payload)["id"],))]


def deliver(http, pg, case):
    """What is wrong about it, or None."""
    headers = {"Content-Type": "application/json; charset=utf-8", **({"Stripe-Signature": case["header"]} if case["header"] else {})}
    reply = http.post("/v1/stripe/webhook", content=case["payload"].encode(), headers=headers)
    if case["good"]:
        good = reply.status_code == 200 and reply.json() == {"state": "queued"} and kept(pg, case["payload"]) == [True]
    else:
        good = (reply.status_code == 400 and reply.json()["code"] == "signature_invalid" and reply.json()["field"] == "Stripe-Signature"
                and kept(pg, case["payload"]) == [])
    return None if good else f"{case['name']}: {reply.status_code} {reply.text}"


def main():
    pg = Cluster()
    try:
        # Nobody listens there: what is taken waits to be worked on, which is of no matter here.
        server = Server(pg, stripe_key="sk_test_peer", stripe_url="http://127.0.0.1:9", stripe_webhook_secret=",".join(SECRETS))
        try:
            server.cli("migrate")
            server.start()
            made = cases()
            with server.client() as http:
                wrong = [words for words in (deliver(http, pg, case) for case in made) if words]
            server.stop()
        finally:
            server.destroy()
    finally:
        pg.destroy()
    good = sum(case["good"] for case in made)
    print(f"{good} good and {len(made) - good} bad deliveries at the endpoint: {len(wrong)} wrong", *wrong, sep="\n")
    sys.exit(1 if wrong or not 0 < good < len(made) else 0)


main()
