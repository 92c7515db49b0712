#!/usr/bin/python3
"""Measures and prints the table of ops/bench, which builds and then calls this."""
import argparse
import concurrent.futures
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import load
import statements
from renewals import AT_ONCE, PATIENCE, Renewals
from world import BOARD_PEOPLE, CASES, READERS, ROOT, TENANTS, World

BUILD = Path(os.environ["OVERREAD_BUILD"])
HERE = Path(__file__).resolve().parent
FASTIFY = HERE / "fastify"
FASTIFY_POOL = 8  # for each of its workers: as many connections as a loop of ours opens
GRADES_IN_FLIGHT = 16


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


class Bench:
    def __init__(self, options):
        self.options = options
        self.rows = []      # (group, name, Measured, name of what it is compared with or None)
        self.notes = []
        self.world = World()
        self.postmaster = int((self.world.pg.data / "postmaster.pid").read_text().split()[0])
        self.started = []
        self.renewing = None
        self.others = []    # shares of the machine that went elsewhere during the measurements

    def watch(self, pid=None, postgres=True, beside=None):
        return load.Watch(pid or self.world.server.pid, self.postmaster if postgres else None, beside)

    def start(self, command, **options):
        """Another server, in a session of its own like ours: the kernel shares the cores between sessions."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, **options)
        self.started.append(process)
        return process

    def interleave(self, title, runs, before=None):
        """runs: name -> a function that measures once. Each in turn, as often as was asked for; medians."""
        measured = {name: [] for name in runs}
        for repetition in range(self.options.repetitions):
            for name, measure in runs.items():
                say(f"{title}, {repetition + 1} of {self.options.repetitions}: {name}")
                if before:
                    before()
                measured[name].append(measure())
        self.others += [one.others for values in measured.values() for one in values if one.others is not None]
        self.rows.append((title, {name: load.median(values) for name, values in measured.items()}))

    # --- a ------------------------------------------------------------------------------------------------------------

    def submissions(self):
        world, folder = self.world, self.world.server.folder
        canned = world.canned()
        lines, bodies = folder / "submissions", folder / "bodies"
        world.submissions(lines)
        world.bodies(bodies)
        variables = {name: value for name, value in canned.items() if name != "bytes"}
        variables.update(roles="trainee,educator,expert", people=READERS, taken=0)

        def ours():
            measured = load.wrk(self.watch(), world.server.url, "submit.lua", [lines, bodies, 2], self.options.connections,
                                self.options.seconds)
            graded = world.graded()  # and those that were under way at the end
            if not measured.count <= graded <= measured.count + self.options.connections:
                raise RuntimeError(f"{measured.count} submissions were answered, {graded} reads are graded")
            return measured

        def theirs(way):
            per_script, script = statements.submission_scripts()[way]
            clients = 1 if way == "eight" else self.options.connections
            measured = load.pgbench(self.watch(), world, script, per_script, {**variables, "clients": clients}, clients,
                                    self.options.seconds)
            if measured.count > READERS * CASES or measured.count > world.graded():
                raise RuntimeError(f"{measured.count} submissions of pgbench made {world.graded()} grades")
            measured.server_us = measured.peak = measured.grader_peak = None
            return measured

        self.interleave("(a) submit a graded read", {
            "overread, POST /v1/reads/{id}/submission": ours,
            "pgbench, plain": lambda: theirs("plain"),
            "pgbench, a pipeline a pair": lambda: theirs("pair"),
            "pgbench, pipelines of 8, 1 client": lambda: theirs("eight")}, before=world.reset)

    # --- b ------------------------------------------------------------------------------------------------------------

    def lists(self):
        self.world.reset()
        none = ":none"
        routes = {
            "(b) case list": ("/v1/cases", statements.call("case_list", none, none, none, none, ":unread", none, ":limit"),
                              {"unread": "false", "limit": 21}),
            "(b) board": ("/v1/board?modality=prostate_mri", statements.call("board_tenant", ":modality", ":limit"),
                          {"modality": "prostate_mri", "limit": 20})}
        fastify = self.start_fastify()
        if fastify:
            self.same_answers(fastify, [path for path, _, _ in routes.values()])
        for title, (path, statement, variables) in routes.items():
            self.list_route(title, path, statement, {**variables, "roles": "*", "started": 0}, fastify)

    def list_route(self, title, path, statement, variables, fastify):
        options = self.options

        def over_http(url, pid):
            return load.wrk(self.watch(pid), url, "get.lua", [path, options.connections], options.connections,
                            options.seconds)

        def theirs(way):
            per_script, script = statements.reader_scripts(statement)[way]
            measured = load.pgbench(self.watch(), self.world, script, per_script, variables,
                                    1 if way == "eight" else options.connections, options.seconds)
            measured.server_us = measured.peak = measured.grader_peak = None
            return measured

        runs = {f"overread, GET {path}": lambda: over_http(self.world.server.url, self.world.server.pid),
                "pgbench, plain": lambda: theirs("plain"),
                "pgbench, a pipeline a pair": lambda: theirs("pair"),
                "pgbench, pipelines of 8, 1 client": lambda: theirs("eight")}
        if fastify:
            runs["fastify + pg, 2 workers"] = lambda: over_http(*fastify)
        self.interleave(title, runs)

    def start_fastify(self):
        if not shutil.which("node") or not (FASTIFY / "node_modules/fastify").is_dir():
            self.notes.append("fastify + pg: left out, npm or its packages are not there.")
            return None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        sql = self.world.server.folder / "statements.json"
        sql.write_text(json.dumps(statements.SQL))
        environment = {**os.environ, "PORT": str(port), "PGHOST": str(self.world.pg.folder), "POOL": str(FASTIFY_POOL),
                       "WORKERS": "2", "STATEMENTS": str(sql), "NODE_ENV": "production"}
        process = self.start(["node", "server.js"], cwd=FASTIFY, env=environment)
        if process.stdout.readline().strip() != "ready":
            raise RuntimeError("the fastify server did not start")
        return f"http://127.0.0.1:{port}", process.pid

    def same_answers(self, fastify, paths):
        import httpx
        for path in paths:
            replies = [httpx.get(url + path, headers={"Authorization": "Bearer board-0"}, trust_env=False).json()
                       for url in (self.world.server.url, fastify[0])]
            if replies[0] != replies[1]:
                raise RuntimeError(f"{path}: overread and fastify answer differently")

    # --- c ------------------------------------------------------------------------------------------------------------

    def images(self):
        found, whose = self.world.images()
        process = self.start([BUILD / "tests/bench/h2o_static", Path(self.world.server.config["state_dir"]) / "images",
                              str(min(os.cpu_count(), 9))])
        alone = f"http://127.0.0.1:{int(process.stdout.readline())}"

        def measure(url, pid):
            return load.wrk(self.watch(pid, postgres=False), url[0], "get.lua", [url[1], 1], self.options.connections,
                            self.options.seconds)

        for what, path, below, size in found:
            self.interleave(f"(c) {what} of {whose}, T2W, {size / 1024:.0f} KiB", {
                "overread, GET /v1/cases/{case}/images/{file}":
                    lambda path=path: measure((self.world.server.url, path), self.world.server.pid),
                "libh2o alone, the same file": lambda below=below: measure((alone, "/" + below), process.pid)})

    # --- d ------------------------------------------------------------------------------------------------------------

    def grades(self):
        def measure(how):
            said = json.loads(load.run([BUILD / "tests/bench/bench_grade", how, BUILD / "plugins",
                                        BUILD / "core/grading/overread-grader", ROOT / "plugins/prostate_mri/golden",
                                        self.options.seconds, GRADES_IN_FLIGHT], self.options.seconds))
            return load.Measured(per_s=said["per_s"], p50=said["p50_us"] / 1e3, p99=said["p99_us"] / 1e3,
                                 server_us=said["cpu_us"], peak=said["peak_kib"] / 1024,
                                 grader_peak=said["worker_peak_kib"] / 1024 or None, count=said["count"])

        self.interleave("(d) grades", {
            f"through a worker, {GRADES_IN_FLIGHT} in flight": lambda: measure("worker"),
            "the plugin called in process": lambda: measure("inprocess")})

    # --- e ------------------------------------------------------------------------------------------------------------

    def reader_statistics(self):
        script = HERE / "bench_stats.py"
        has_sklearn = subprocess.run([sys.executable, "-c", "import numpy, sklearn"], capture_output=True, check=False).returncode == 0
        if not has_sklearn:
            self.notes.append("picai_eval's metric in Python: left out, python3-numpy or python3-sklearn is not there.")
        for kind in ("ordinal", "continuous"):
            lists = self.world.server.folder / f"lists-{kind}.json"
            load.run([sys.executable, script, "--write", lists, kind], 10)
            said = {}

            def measure(command, name, lists=lists, said=said):
                said[name] = one = json.loads(load.run([*command, lists, self.options.seconds], self.options.seconds))
                return load.Measured(per_s=one["per_s"], p50=one["p50_us"] / 1e3, p99=one["p99_us"] / 1e3,
                                     server_us=one["cpu_us"], count=one["count"])

            runs = {"overread, core/scoreboard": lambda: measure([BUILD / "tests/bench/bench_stats"], "ours")}
            if has_sklearn:
                runs["Python: numpy, scikit-learn"] = lambda: measure([sys.executable, script], "theirs")
            self.interleave(f"(e) PI-CAI's metric and FROC over 1500 cases, {kind} confidences", runs)
            for name in ("auroc", "average_precision", "points"):
                if has_sklearn and abs(said["ours"][name] - said["theirs"][name]) > 1e-9:
                    raise RuntimeError(f"{kind}: {name} is {said['ours'][name]} here and {said['theirs'][name]} in Python")

    # --- f, g, h ------------------------------------------------------------------------------------------------------

    def sign_in(self, seconds):
        """Right passwords of ever other people: what throttling lets through, and what costs the most."""
        return load.wrk(self.watch(), self.world.server.url, "login.lua", [READERS, self.world.password(), 2],
                        self.options.connections, seconds)

    def sign_ins(self):
        cores = os.cpu_count()

        def alone():
            said = json.loads(load.run([BUILD / "tests/bench/bench_argon2", cores, self.options.seconds], self.options.seconds))
            return load.Measured(per_s=said["per_s"], p50=said["p50_us"] / 1e3, p99=said["p99_us"] / 1e3,
                                 server_us=said["cpu_us"], count=said["count"])

        self.interleave("(f) sign in", {"overread, POST /v1/sessions": lambda: self.sign_in(self.options.seconds),
                                        f"Argon2id alone, {cores} threads": alone})

    def case_list(self):
        return load.wrk(self.watch(), self.world.server.url, "get.lua", ["/v1/cases", self.options.connections],
                        self.options.connections, self.options.seconds)

    def flood(self):
        self.world.reset()

        def during():
            # Begins before and ends after what is measured.
            with concurrent.futures.ThreadPoolExecutor() as pool:
                flood = pool.submit(self.sign_in, self.options.seconds + 2)
                time.sleep(1)
                measured = self.case_list()
                flooded_by.append(flood.result().per_s)
                return measured

        flooded_by = []

        alone, flooded = "overread, GET /v1/cases", "the same while people sign in"
        self.interleave("(g) case list during a flood of sign-ins", {alone: self.case_list, flooded: during})
        medians = self.rows[-1][1]
        self.notes.append(f"(g) p99 of the case list is {medians[flooded].p99 / medians[alone].p99:.2f} times what it is without the "
                          f"flood, of {self.options.connections} connections that sign in without a pause "
                          f"({statistics.median(flooded_by):.0f} a second).")

    def renewals(self):
        self.world.reset()
        renewals = self.renewing = Renewals(self.world, self.options.renewals)
        say(f"making {renewals.count} tenants who pay")
        renewals.begin()
        bursts = []

        def during():
            renewals.renew()
            measured = load.wrk(self.watch(beside=renewals.standin.pid), self.world.server.url, "get.lua",
                                ["/v1/cases", self.options.connections], self.options.connections, PATIENCE,
                                during=lambda: bursts.append(renewals.burst()))
            renewals.check()
            return measured

        alone, renewed = "overread, GET /v1/cases", f"the same while {renewals.count} tenants renew"
        self.interleave("(h) case list during a burst of renewals", {alone: self.case_list, renewed: during})
        medians = self.rows[-1][1]

        def middle(name):
            return statistics.median(getattr(one, name) for one in bursts)

        self.notes += [
            f"(h) p99 of the case list is {medians[renewed].p99 / medians[alone].p99:.2f} times what it is without them (aim: at most "
            f"2), from the first webhook until the last was worked",
            f"on. {renewals.count} renewals were {middle('count'):.0f} webhooks over {AT_ONCE} connections, taken in {middle('seconds'):.1f} s "
            f"({middle('count') / middle('seconds'):.0f} a second, p50 {middle('p50_ms'):.1f} ms, p99 {middle('p99_ms'):.1f} ms, "
            f"{middle('again'):.0f} sent again),",
            f"all worked on after {middle('worked_on'):.1f} s; then the product had every new period. On the same cores the stand-in "
            f"for Stripe took {middle('standin_cpu'):.1f} s of processor",
            f"time, the sender {middle('cpu'):.1f} s; both count among the load, in the ratio by CPU."]

    # --- Words --------------------------------------------------------------------------------------------------------

    def machine(self):
        model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True)
        built = {one["name"]: one["value"] for one in json.loads((BUILD / "meson-info/intro-buildoptions.json").read_text())}
        version = self.world.pg.query("SHOW server_version")[0][0]
        links = self.world.pg.query("SELECT application_name, count(*) FROM pg_stat_activity WHERE usename = 'overread_app'"
                                    " AND application_name LIKE 'overread%%' GROUP BY 1 ORDER BY 1")
        connections = ", ".join(f"{count} {name.removeprefix('overread ')}" for name, count in links)
        o = self.options
        return [f"{time.strftime('%Y-%m-%d %H:%M')}, overread {commit.stdout.strip()} ({built['buildtype']}), "
                f"{os.cpu_count()} x {model.group(1) if model else 'processor'}, Linux {os.uname().release}",
                f"PostgreSQL {version} as ops/up sets it (fsync on, shared_buffers 256MB), over a Unix socket, all as "
                f"overread_app; autovacuum off, vacuum between",
                f"{o.connections} connections to each server, wrk with 2 threads, everything on the same cores; "
                f"{o.repetitions} x {o.seconds} s each, interleaved, medians",
                f"The server: {os.cpu_count()} loops, PostgreSQL connections: {connections}; log level info, to a file",
                f"{CASES} demo cases; {READERS} readers in {TENANTS} tenants with a record of 40 reads; a tenant of "
                f"{BOARD_PEOPLE} on the board"]

    def table(self):
        line = "{:<46}{:>9}{:>8}{:>8}{:>7}{:>8}{:>8}{:>8}{:>8}{:>8}"
        yield line.format("", "per s", "p50 ms", "p99 ms", "MB/s", "CPU us", "PG us", "MiB", "ratio", "by CPU")
        for title, medians in self.rows:
            yield ""
            yield title
            first = next(iter(medians.values()))
            for name, m in medians.items():
                yield line.format(
                    "  " + name, number(m.per_s, 0), number(m.p50, 2), number(m.p99, 2),
                    number(m.mb_per_s, 0) if "(c)" in title else "",
                    number(m.server_us if m.server_us is not None else m.loader_us, 0), number(m.postgres_us, 0),
                    memory(m), *(("", "") if m is first else (f"{first.per_s / m.per_s:.2f}",
                                                              f"{m.cpu_us / first.cpu_us:.2f}"))).rstrip()

    def explain(self):
        others = statistics.median(self.others) if self.others else 0
        warning = [f"Other processes took {others:.0%} of this machine (median of the measurements)" +
                   ("." if others < 0.05 else ": what is per second is not to be trusted, the processor times are.")]
        return NOTES + self.notes + warning

    def finish(self):
        for process in self.started:
            process.terminate()
            process.wait(20)
        try:
            self.world.destroy()
        finally:
            if self.renewing:
                self.renewing.end()


def number(value, digits):
    return "" if value is None else f"{value:,.{digits}f}"


def memory(m):
    if m.peak is None:
        return ""
    return f"{m.peak:.0f}+{m.grader_peak:.0f}" if m.grader_peak else f"{m.peak:.0f}"


NOTES = [
    "per s: requests, submissions or grades. ratio: the group's first line divided by this one. by CPU: the same by the",
    "processor time that one costs all who take part, load generator included; it holds on a busy machine too.",
    "CPU us: processor time for one, of the server with its graders or workers; of pgbench itself in its lines. PG us: of",
    "PostgreSQL. MiB: peak resident memory (VmHWM) during the load, + that of the largest grader or node worker.",
    "",
    "pgbench runs the statements of core/*/*.sql with -M prepared, -c as many clients as there are connections, -j 2:",
    "  plain: authenticate and the statement between BEGIN and COMMIT, four round trips a pair.",
    "  a pipeline a pair: \\startpipeline, authenticate, the statement, \\endpipeline: one round trip, one implicit",
    "    transaction, as the server does it.",
    "  pipelines of 8, 1 client: -c 1 -j 1. (b) eight pairs and one sync, which share an implicit transaction; p50 and p99",
    "    are those of all eight. (a) eight submissions, each pair between BEGIN and COMMIT, for each answer must be durable.",
    "  A submission is three pairs: read_prepare, read_submit, read_grade; pgbench writes a canned grade, computes nothing,",
    "  and takes the reads in the order in which the HTTP load takes them. The hash of the token is computed in SQL there.",
    "  The HTTP load submits each case's right answer, and the grader grades it; pgbench always writes the answer and the",
    "  grade of the case with the feedback of median length. Every measurement of (a) starts from the same tables.",
    "(e) The lists are in memory: as C arrays here, as dictionaries of lists there, which is what picai_eval takes; both give",
    "the same AUROC and average precision to 1e-9, or there is no table.",
    f"fastify + pg: a cluster of 2 workers, no log, pools of {FASTIFY_POOL}; BEGIN, authenticate, the statement, COMMIT.",
]


def parse():
    parser = argparse.ArgumentParser(prog="ops/bench", add_help=False)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="abcdefgh")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--renewals", type=int, default=1000)
    options = parser.parse_args()
    options.seconds = options.seconds or (2 if options.quick else 4)
    options.repetitions = options.repetitions or (1 if options.quick else 3)
    if set(options.only) - set("abcdefgh") or not 2 <= options.connections <= 100 or not 1 <= options.seconds <= 10 \
            or not 1 <= options.renewals <= 5000:
        parser.error("--only takes letters of abcdefgh, --connections 2 to 100, --seconds 1 to 10, --renewals 1 to 5000")
    return options


def main():
    options = parse()
    say("making a cluster, the demo library and some thousand readers")
    bench = Bench(options)
    try:
        for letter, measure in zip("abcdefgh", (bench.submissions, bench.lists, bench.images, bench.grades, bench.reader_statistics,
                                               bench.sign_ins, bench.flood, bench.renewals)):
            if letter in options.only:
                measure()
        print("\n".join([*bench.machine(), "", *bench.table(), "", *bench.explain()]))
    finally:
        bench.finish()


if __name__ == "__main__":
    main()
