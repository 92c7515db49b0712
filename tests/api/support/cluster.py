"""A private PostgreSQL cluster for one test session, shaped like the one ops/up makes."""
import os
import pwd
import select
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import psycopg2

ROLE = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
# fsync off: what a test kills is a process, never the machine, and the page cache outlives a process.
SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{folder}'
max_connections = 200
shared_buffers = 64MB
fsync = off
full_page_writes = off
timezone = 'UTC'
jit = off
log_line_prefix = '%m [%p] %u@%d '
"""


def binary(name):
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
    if not folders:
        raise RuntimeError("PostgreSQL is not installed: run ops/test, which installs what the tests need")
    return str((Path("/usr/lib/postgresql/15/bin") if Path("/usr/lib/postgresql/15/bin") in folders else folders[-1]) / name)


class Line:
    """query() as a cluster has it, but over one connection, until close(): for who asks hundreds of times."""

    def __init__(self, cluster, **who):
        self._connection = cluster(**who)

    def query(self, sql, parameters=None):
        with self._connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def has_ended(self):
        """Has a statement found out, or has the server said good-bye since?"""
        return self._connection.closed or bool(select.select([self._connection], [], [], 0)[0])

    def close(self):
        self._connection.close()


class Cluster:
    """Call it for a superuser connection: pg() or pg(user="overread_app"). In autocommit mode unless told otherwise."""

    def __init__(self):
        self.servers = set()  # those that run on it, and were ready
        self._lines = threading.local()
        # PostgreSQL refuses to run as root, and a socket's path must be short.
        self.owner = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="overread-pg-", dir="/tmp"))
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        if self.owner:
            os.chown(self.folder, self.owner.pw_uid, self.owner.pw_gid)
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(SETTINGS.format(folder=self.folder))
        self.start()
        self.create_database("overread")

    def _run(self, name, *arguments):
        owner = {"user": self.owner.pw_uid, "group": self.owner.pw_gid, "extra_groups": []} if self.owner else {}
        # Output goes to a file: a postmaster that inherits a pipe would keep its reader waiting for ever.
        with tempfile.TemporaryFile() as output:
            result = subprocess.run([binary(name), *map(str, arguments)], cwd="/", stdin=subprocess.DEVNULL,
                                    stdout=output, stderr=subprocess.STDOUT, timeout=120, **owner)
            output.seek(0)
            if result.returncode != 0:
                tail = self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""
                raise RuntimeError(f"{name} failed: {output.read().decode(errors='replace')}{tail}")

    def conninfo(self, user, database="overread"):
        return f"host={self.folder} dbname={database} user={user}"

    def __call__(self, user="postgres", database="overread", autocommit=True):
        connection = psycopg2.connect(self.conninfo(user, database))
        connection.autocommit = autocommit
        return connection

    def query(self, sql, parameters=None, **who):
        """All rows of one statement, [] when it has none. As superuser in the common database over a connection that each thread
        keeps: a new one costs PostgreSQL a process, and tests look again and again. What begins with SET has one of its own."""
        if not who and not sql.startswith("SET "):
            return self._line().query(sql, parameters)
        line = Line(self, **who)
        try:
            return line.query(sql, parameters)
        finally:
            line.close()

    def _line(self):
        line = getattr(self._lines, "line", None)
        if line is None or line.has_ended():
            self._lines.line = line = Line(self)
        return line

    def create_database(self, name):
        """Roles once, and an empty database of that name whose owner is overread_owner."""
        for role in ("overread_owner", "overread_app"):
            if not self.query("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,), database="postgres"):
                self.query(f"CREATE ROLE {role} {ROLE}", database="postgres")
        self.query(f"CREATE DATABASE {name} OWNER overread_owner", database="postgres")
        self.query(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT ON DATABASE {name} TO overread_app;"
                   "REVOKE CREATE ON SCHEMA public FROM PUBLIC", database=name)

    def running(self):
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
            return state != "Z"
        except (FileNotFoundError, ProcessLookupError, IndexError, ValueError):
            return False

    def start(self):
        """Ends when the servers that run on it have found it again."""
        self._run("pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", "60", "start")
        for server in self.servers:
            if server.running():
                server.wait_ready()

    def stop(self, mode="fast"):
        """fast: sessions are ended; immediate: as after a crash."""
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", "60", "stop")

    def ensure_running(self):
        if not self.running():
            self.start()

    def destroy(self):
        if self.running():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)
