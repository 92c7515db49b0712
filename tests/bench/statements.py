"""The product's own statements, out of core/*/*.sql, as pgbench scripts and for the fastify server."""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "api"))
from support.statements import PARAMETER, SQL  # noqa: E402

VARIABLE = re.compile(r"(?<!:):\w")
PIPELINE = 8


def call(name, *arguments):
    """The statement with pgbench's variables, or expressions of them, in place of $1, $2, ...
    A variable that is never set is sent as NULL: `:none`."""
    assert not VARIABLE.search(SQL[name]), f"pgbench would take a part of {name} for a variable"
    return PARAMETER.sub(lambda match: arguments[int(match.group(1)) - 1], SQL[name]) + ";\n"


def guarded(token_sha256, roles, *statements):
    return call("authenticate", token_sha256, roles) + "".join(statements)


def in_blocks(pairs):
    """Each pair is a transaction of its own."""
    return "".join(f"BEGIN;\n{pair}COMMIT;\n" for pair in pairs)


def in_pipelines(pairs):
    """Each pair is one pipeline: one round trip, one implicit transaction."""
    return "".join(f"\\startpipeline\n{pair}\\endpipeline\n" for pair in pairs)


# --- Reading: one session a client, its hash fetched before the first transaction --------------------------------------

def reader_scripts(statement):
    """Three ways to run authenticate + one statement: (per script, text)."""
    prologue = ("\\if :started = 0\n"
                "SELECT encode(sha256(('board-' || :client_id)::bytea), 'hex') AS hash \\gset\n"
                "\\set started 1\n\\endif\n")
    pair = guarded(":hash", ":roles", statement)
    return {
        "plain": (1, prologue + in_blocks([pair])),
        "pair": (1, prologue + in_pipelines([pair])),
        "eight": (PIPELINE, prologue + "\\startpipeline\n" + pair * PIPELINE + "\\endpipeline\n"),
    }


# --- Submitting: each transaction takes the next read ---------------------------------------------------------------------

def submission_pairs(suffix):
    """The three round trips of one submission, for the read in :nN of the person in :pN. The token's hash and the id
    are computed in the statement, for pgbench has no strings to compute with; the job takes the read's id."""
    token = f"encode(sha256(('reader-' || :p{suffix})::bytea), 'hex')"
    read = f"('0192f000-0000-7000-8000-' || :n{suffix})"
    return [
        guarded(token, ":roles", call("read_prepare", read)),
        guarded(token, ":roles", call("read_submit", read, ":answer", ":answer_sha256", read)),
        guarded(token, ":roles", call("read_grade", read, ":points", ":max_points", ":correct", ":grade", ":plugin",
                                      ":version", ":rules", ":plugin_sha256", ":input_sha256")),
    ]


def take(suffix):
    """The next read of this client. Reads that follow one another are different people's, so that clients do not meet
    on a person's rows."""
    return (f"\\set p{suffix} (:taken * :clients + :client_id) % :people\n"
            f"\\set n{suffix} 100000000000 + :taken * :clients + :client_id\n"
            "\\set taken :taken + 1\n")


def submission_scripts():
    many = "".join(take(i) for i in range(PIPELINE))
    blocks = "".join(in_blocks(submission_pairs(i)) for i in range(PIPELINE))
    return {
        "plain": (1, take("") + in_blocks(submission_pairs(""))),
        "pair": (1, take("") + in_pipelines(submission_pairs(""))),
        # Each pair commits by itself: eight submissions in one transaction would not be eight durable answers.
        "eight": (PIPELINE, many + "\\startpipeline\n" + blocks + "\\endpipeline\n"),
    }
