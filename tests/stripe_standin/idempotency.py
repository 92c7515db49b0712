"""What was answered to which Idempotency-Key."""
import threading

from .errors import conflict, key_reused
from .periods import DAY

KEPT = DAY


class Keys:
    """begin() -> what was answered before, or None when the caller is to answer and then finish() or drop() the key. A request
    under a key that is still being answered gets 409, one with other parameters 400."""

    def __init__(self):
        self._lock = threading.Lock()
        self._kept = {}

    def begin(self, key, asked, now):
        with self._lock:
            for old in [k for k, entry in self._kept.items() if entry["at"] <= now - KEPT and entry["answer"]]:
                del self._kept[old]
            entry = self._kept.get(key)
            if entry is None:
                self._kept[key] = {"asked": asked, "answer": None, "at": now}
                return None
            if entry["asked"] != asked:
                raise key_reused(key)
            if entry["answer"] is None:
                raise conflict()
            return entry["answer"]

    def finish(self, key, answer):
        with self._lock:
            if key in self._kept:
                self._kept[key]["answer"] = answer

    def drop(self, key):
        """As if it had never been sent: its parameters were wrong, or it was pruned."""
        with self._lock:
            self._kept.pop(key, None)

    def prune(self):
        """Forgets all that are answered."""
        with self._lock:
            self._kept = {key: entry for key, entry in self._kept.items() if entry["answer"] is None}

    def known(self, key):
        return key in self._kept
