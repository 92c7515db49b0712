"""The README's blocks of commands, and a shell to run them in."""
import os
import re
import shlex
import subprocess

from support.server import OVERREAD, ROOT

MARK = "\x1edone "


def commands(heading):
    """The blocks of commands below a heading of the README, without their indentation."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## )", text, re.M | re.S)[1]
    blocks = re.findall(r"(?:^    .*\n)+", section, re.M)
    return [re.sub(r"^    ", "", block, flags=re.M) for block in blocks]


class Shell:
    """One that keeps its variables from one block to the next, as a reader's does."""

    def __init__(self, folder, **variables):
        (folder / ".curlrc").write_text("max-time = 120\n")  # nothing hangs for ever
        self.process = subprocess.Popen(["bash", "--noprofile", "--norc", "-o", "pipefail"], cwd=folder, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env={**os.environ, "no_proxy": "*", "CURL_HOME": str(folder), **variables})

    def run(self, block):
        """Its output, a string a line. Fails when the last command has."""
        self.process.stdin.write(f"{block}\nprintf '\\n{MARK}%s\\n' $?\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.startswith(MARK):
                assert line == MARK + "0\n", (block, lines)
                return [one for one in lines if one]
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"the shell ended: {block}\n{lines}")

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def overread(self, config):
        """`overread` is the command, with this configuration."""
        self.run(f'overread() {{ {shlex.quote(str(OVERREAD))} --config {shlex.quote(str(config))} "$@"; }}')
