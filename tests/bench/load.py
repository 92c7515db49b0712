"""Runs one load for some seconds: wrk or pgbench, and what it cost whom."""
import json
import os
import re
import resource
import signal
import statistics
import subprocess
from dataclasses import dataclass, field, fields
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Measured:
    """Times in milliseconds, processor time in microseconds for one of what is counted, memory in MiB."""
    per_s: float
    p50: float = None
    p99: float = None
    loader_us: float = None
    server_us: float = None
    postgres_us: float = None
    peak: float = None
    grader_peak: float = None
    mb_per_s: float = None
    others: float = None  # share of the machine that went to processes which are none of ours
    count: int = field(default=0, repr=False)

    @property
    def cpu_us(self):
        """Of everybody who took part."""
        return sum(part or 0 for part in (self.loader_us, self.server_us, self.postgres_us))


def median(measured):
    def middle(name):
        values = [getattr(one, name) for one in measured if getattr(one, name) is not None]
        return statistics.median(values) if values else None

    return Measured(**{one.name: middle(one.name) for one in fields(Measured)})


# --- Processes ----------------------------------------------------------------------------------------------------------

def children(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def family(pid):
    return [pid] + [one for child in children(pid) for one in family(child)]


def cpu_seconds(pid, reaped=False):
    """User and system time of one process, and of its children that have ended when asked."""
    try:
        values = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(int(value) for value in values[11:15 if reaped else 13]) / TICK


def machine_cpu():
    """Seconds that all cores were busy, and had."""
    values = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(values) - values[3] - values[4]) / TICK, sum(values) / TICK


def peak_mib(pid):
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024


class Watch:
    """Processor time and peak memory, of the server with its graders or workers, and of PostgreSQL, during a load. beside:
    another process whose processor time is the load's."""

    def __init__(self, server_pid, postmaster, beside=None):
        self.server, self.postmaster, self.beside = server_pid, postmaster, beside

    def _server_cpu(self):
        return sum(cpu_seconds(pid) for pid in family(self.server)) if self.server else 0

    def _postgres_cpu(self):
        if not self.postmaster:
            return 0
        return cpu_seconds(self.postmaster, reaped=True) + sum(cpu_seconds(pid) for pid in children(self.postmaster))

    def __enter__(self):
        for pid in family(self.server) if self.server else []:
            try:
                Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak counts from here
            except OSError:
                pass  # then it counts from the process's start
        self.before = (self._server_cpu(), self._postgres_cpu(), self._loader_cpu())
        self.machine_before = machine_cpu()
        return self

    def _loader_cpu(self):
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime + (cpu_seconds(self.beside) if self.beside else 0)

    def __exit__(self, *_):
        after = (self._server_cpu(), self._postgres_cpu(), self._loader_cpu())
        self.spent = [now - then for now, then in zip(after, self.before)]
        busy, whole = (now - then for now, then in zip(machine_cpu(), self.machine_before))
        self.others = max(0, busy - sum(self.spent)) / whole
        self.peaks = [peak_mib(pid) for pid in family(self.server)] if self.server else []

    def measured(self, count, seconds, **more):
        server, postgres, loader = (spent / max(count, 1) * 1e6 for spent in self.spent)
        return Measured(per_s=count / seconds, count=count, loader_us=loader,
                        server_us=server if self.server else None, postgres_us=postgres if self.postmaster else None,
                        peak=self.peaks[0] if self.peaks else None,
                        grader_peak=max(self.peaks[1:], default=None) if self.peaks else None, others=self.others,
                        **more)


def run(command, seconds, during=None):
    """during: what is done meanwhile; the command is interrupted at its end, which has wrk stop and say what it measured."""
    command = [str(part) for part in command]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            if during:
                during()
                process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=seconds + 60)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)[:300]}\n{out[-2000:]}{err[-2000:]}")
    return out


# --- The generators -------------------------------------------------------------------------------------------------------

def wrk(watch, url, script, arguments, connections, seconds, during=None):
    """For so many seconds, or until during() is done."""
    threads = min(2, connections)
    with watch:
        said = run(["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", HERE / script,
                    url, "--", *arguments], seconds, during)
    counted = json.loads(said.splitlines()[-1])
    if counted["refused"] or counted["broken"] or counted.get("beyond") or not counted["count"]:
        raise RuntimeError(f"{url} {script}: {counted}")
    return watch.measured(counted["count"], counted["us"] / 1e6, p50=counted["p50_us"] / 1e3, p99=counted["p99_us"] / 1e3,
                          mb_per_s=counted["bytes"] / counted["us"])


def pgbench(watch, world, script, per_script, variables, clients, seconds):
    """per_script: how many of what is counted one run of the script does; its latency is that of all of them."""
    folder = world.server.folder / "pgbench"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    path = folder / "script.sql"
    path.write_text(script)
    settings = [part for name, value in variables.items() for part in ("-D", f"{name}={value}")]
    with watch:
        said = run(["pgbench", "-n", "-M", "prepared", "-c", clients, "-j", min(2, clients), "-T", seconds, "-f", path,
                    "--random-seed=1", "-l", f"--log-prefix={folder}/log", *settings, "-h", world.pg.folder, "-U",
                    "overread_app", "overread"], seconds)
    failed = int(re.search(r"number of failed transactions: (\d+)", said).group(1))
    count = int(re.search(r"number of transactions actually processed: (\d+)", said).group(1)) * per_script
    rate = float(re.search(r"tps = ([\d.]+)", said).group(1)) * per_script
    if failed or not count:
        raise RuntimeError(said)
    times = sorted(int(line.split()[2]) for log in folder.glob("log.*") for line in log.open())
    return watch.measured(count, count / rate, p50=times[len(times) // 2] / 1e3, p99=times[len(times) * 99 // 100] / 1e3)
