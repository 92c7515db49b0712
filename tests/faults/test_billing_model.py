"""Random lives of a trust and a trainee: in the end we hold what Stripe holds, and nobody has paid twice.

OVERREAD_MODEL_RUNS: how many, by default few, and 500 with OVERREAD_THOROUGH (ops/test --thorough); OVERREAD_MODEL_SEED: of the first. A failure tells its seed and all its steps.
OVERREAD_MODEL_REPORT: a file that gets a line of JSON for each, with what it has seen."""
import json
import os
import time

import pytest

from faults.billing_model import PEOPLE, Model

RUNS = int(os.environ.get("OVERREAD_MODEL_RUNS") or (500 if os.environ.get("OVERREAD_THOROUGH") else 6))
FIRST = int(os.environ.get("OVERREAD_MODEL_SEED") or 1)
STEPS = 18


@pytest.fixture(scope="module")
def people(_server, pg):
    """Who may join the trust."""
    return [str(row[0]) for row in pg.query(
        "INSERT INTO people (person_id, email, name) SELECT gen_random_uuid(), 'model-' || n || '@example.org', 'Person ' || n"
        " FROM generate_series(1, %s) n RETURNING person_id", (PEOPLE,))]


@pytest.fixture
def lives(market, people):
    """The market with nobody in it but the two who buy."""
    def renew_clients():
        market.boss, market.me = market.buyers.trust(market), market.buyers.trainee(market)

    market.renew_clients = renew_clients
    for person in people:
        market.pg.query("SELECT member_leave(%s, %s, 'removed') FROM memberships WHERE tenant_id = %s AND person_id = %s",
                        (market.boss.tenant, person, market.boss.tenant, person))
    return market


@pytest.mark.parametrize("seed", range(FIRST, FIRST + RUNS))
def test_whatever_happens_in_the_end_we_hold_what_stripe_holds(lives, people, seed):
    model, begin = Model(lives, seed, people), time.monotonic()
    try:
        model.run(STEPS)
        assert lives.server.cli("audit", "verify", "--tenant", lives.boss.slug, check=False).returncode == 0
    except BaseException:
        print("\n".join(model.trace))
        print(lives.server.tail(40, lives.server.mark))
        lives.stripe.faults.clear()  # what did not strike any more is no failure of its own
        raise
    else:
        if os.environ.get("OVERREAD_MODEL_REPORT"):
            with open(os.environ["OVERREAD_MODEL_REPORT"], "a", encoding="utf-8") as report:
                report.write(json.dumps({"seed": seed, "seconds": round(time.monotonic() - begin, 2), **model.counts()}) + "\n")
    finally:
        model.pg.close()
