"""The parameters of Stripe's operations as a flat table, and requests held against it.

A line of the table is a path and what may stand there, as "recurring[interval]": "string(day,month,week,year) required".
Paths are those of a form: a[b] is a member, a[] an element of a list, a{} a value of a map with free keys. Alternatives are
joined by " | "; "required" is meant within what is sent of the parent; "clearable" takes the empty string; a list of words
that ends in "…" is a part of Stripe's. schema.json holds the operations that the product uses and of those the parameters
that the stand-in acts on; where Stripe's own schema is at hand, each request is held against that too."""
import json
import os
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TABLE = HERE / "schema.json"
SUBSET = Path(os.environ.get("OVERREAD_STRIPE_SCHEMA") or ROOT.parent / "shared/data/stripe/stripe-subset.json")
PATH_STEP = re.compile(r"\[([^\[\]]*)\]|(\{\})")
ALTERNATIVE = re.compile(r"(string|integer|number|boolean|any)(?:\((.*)\))?")
LONGEST = 5000


def load_table():
    return json.loads(TABLE.read_text())


def load_subset():
    """Stripe's schema, or None where it is not at hand."""
    return json.loads(SUBSET.read_text()) if SUBSET.is_file() else None


# --- The table as a tree ----------------------------------------------------------------------------------------------

class Node:
    """What may stand at one place: scalars, members, elements, values of a map."""

    def __init__(self):
        self.kinds, self.members, self.element, self.value = [], {}, None, None
        self.required = self.clearable = False

    def step(self, name):
        """The node below for a path's step, made where it is missing."""
        if name == "[]":
            self.element = self.element or Node()
            return self.element
        if name == "{}":
            self.value = self.value or Node()
            return self.value
        return self.members.setdefault(name, Node())


def steps(path):
    """"a[b][]{}" -> ["a", "b", "[]", "{}"]"""
    head = re.match(r"[^\[{]*", path).group()
    return [head] + [one or other or "[]" for one, other in PATH_STEP.findall(path[len(head):])]


def tree(lines):
    root = Node()
    for path, text in lines.items():
        node = root
        for name in steps(path):
            node = node.step(name)
        words = text.rsplit(")", 1)
        flags = words[-1].split() if len(words) > 1 else [w for w in text.split() if w in ("required", "clearable")]
        node.required, node.clearable = "required" in flags, "clearable" in flags
        for alternative in text.split(" | "):
            match = ALTERNATIVE.match(alternative)
            if match:
                node.kinds.append((match.group(1), match.group(2).split(",") if match.group(2) else None))
    return root


def flatten(subset, operation):
    """The lines of an operation of Stripe's schema."""
    lines = {}

    def resolve(spec):
        while "use" in spec:
            spec = {**subset["shared"][spec["use"]], **{name: value for name, value in spec.items() if name != "use"}}
        return spec

    def walk(spec, path, required):
        spec = resolve(spec)
        scalars, clearable = [], bool(spec.get("clearable"))
        for one in map(resolve, spec.get("anyOf", [spec])):
            clearable = clearable or bool(one.get("clearable"))
            if one["t"] == "object":
                for name, member in one["props"].items():
                    walk(member, f"{path}[{name}]", name in one.get("req", []))
            elif one["t"] == "array":
                walk(one["items"], path + "[]", False)
            elif one["t"] == "map":
                walk(one["values"], path + "{}", False)
            else:
                scalars.append(one["t"] + (f"({','.join(map(str, one['enum']))})" if "enum" in one else ""))
        text = " ".join([" | ".join(scalars)] + ["required"] * required + ["clearable"] * clearable).strip()
        if text:
            lines[path] = text

    for name, spec in operation["params"].items():
        walk(spec, name, name in operation.get("required", []))
    return lines


def covers(ours, theirs):
    """Whether a line of our table says what Stripe's says, or a part of its words."""
    def parts(text):
        match = re.fullmatch(r"([^()]*\()(.*),…(\).*)", text)
        return (match.group(1), set(match.group(2).split(",")), match.group(3)) if match else None
    part = parts(ours)
    if not part:
        return ours == theirs
    whole = re.fullmatch(r"([^()]*\()(.*)(\).*)", theirs)
    return bool(whole) and (part[0], part[2]) == whole.group(1, 3) and part[1] < set(whole.group(2).split(","))


# --- Requests ---------------------------------------------------------------------------------------------------------

class Problem(Exception):
    def __init__(self, message, param, code="parameter_unknown"):
        super().__init__(message)
        self.message, self.param, self.code = message, param, code


def scalar(node, text, shown):
    if text == "" and node.clearable:
        return ""
    for kind, words in node.kinds:
        if words:
            if text in words:
                return text
        elif kind == "integer":
            if re.fullmatch(r"-?\d{1,18}", text):
                return int(text)
        elif kind == "number":
            if re.fullmatch(r"-?\d{1,15}(\.\d{1,12})?", text):
                return float(text)
        elif kind == "boolean":
            if text in ("true", "false"):
                return text == "true"
        elif len(text) <= LONGEST:
            return text
    if not node.kinds:
        raise Problem(f"Invalid {'array' if node.element else 'object'}", shown, "parameter_invalid")
    wanted = " or ".join(f"one of {', '.join(words)}" if words else kind for kind, words in node.kinds)
    raise Problem(f"Invalid {shown}: must be {wanted}", shown, "parameter_invalid")


def insert(root, params, key, text):
    """Puts one pair of the form into the nested parameters."""
    head = re.match(r"[^\[]*", key).group()
    names = [head] + re.findall(r"\[([^\[\]]*)\]", key[len(head):])
    if head + "".join(f"[{name}]" for name in names[1:]) != key:
        raise Problem(f"Received unknown parameter: {key}", key)
    node, holder = root, params
    for depth, name in enumerate(names):
        if name in node.members:
            child, place = node.members[name], name
        elif node.element is not None and depth and (name == "" or re.fullmatch(r"\d{1,3}", name)):
            child, place = node.element, int(name) if name else None
        elif node.value is not None and depth and name:
            child, place = node.value, name
        else:
            raise Problem(f"Received unknown parameter: {key}", key)
        if depth + 1 == len(names):
            _put(holder, place, scalar(child, text, key), key)
            return
        holder = _below(holder, place, child, key)
        node = child


def _put(holder, place, value, key):
    if isinstance(holder, _List):
        place = len(holder.slots) if place is None else place
        holder = holder.slots
    if place in holder:
        raise Problem(f"Received {key} twice", key, "parameter_invalid")
    holder[place] = value


def _below(holder, place, child, key):
    if isinstance(holder, _List):
        if place is None:
            raise Problem(f"Lists of objects are numbered: {key}", key)
        holder = holder.slots
    if place not in holder:
        holder[place] = _List() if child.element is not None and not child.members else {}
    if not isinstance(holder[place], (_List, dict)):
        raise Problem(f"Received {key} twice in two shapes", key, "parameter_invalid")
    return holder[place]


class _List:
    """A list in the making: elements may come in any order."""

    def __init__(self):
        self.slots = {}


def _finish(node, value, shown):
    """Lists in place of what was in the making; what is required must be there."""
    if isinstance(value, _List):
        if sorted(value.slots) != list(range(len(value.slots))):
            raise Problem(f"The elements of {shown} are not numbered from 0", shown, "parameter_invalid")
        return [_finish(node.element, value.slots[i], f"{shown}[{i}]") for i in range(len(value.slots))]
    if not isinstance(value, dict):
        return value
    for name, member in node.members.items():
        if member.required and name not in value:
            missing = f"{shown}[{name}]" if shown else name
            raise Problem(f"Missing required param: {missing}.", missing, "parameter_missing")
    return {name: _finish(node.members.get(name) or node.value, one, f"{shown}[{name}]" if shown else name)
            for name, one in value.items()}


def parse(root, pairs):
    """The nested, typed parameters of a form's pairs. Raises Problem."""
    params = {}
    for key, text in pairs:
        insert(root, params, key, text)
    return _finish(root, params, "")


class Schema:
    """parse(operation, pairs) -> (parameters or None, problem or None, what goes on the list of violations)."""

    def __init__(self, use_subset=True):
        table = load_table()
        self.version = table["api_version"]
        self.subset = load_subset() if use_subset else None
        self.trees = {name: tree(lines) for name, lines in table["operations"].items()}
        self._full = {}

    def full(self, operation):
        if self.subset and operation not in self._full:
            self._full[operation] = tree(flatten(self.subset, self.subset["endpoints"][operation]))
        return self._full.get(operation)

    def parse(self, operation, pairs):
        try:
            if self.full(operation):
                parse(self.full(operation), pairs)
        except Problem as problem:
            return None, problem, f"{operation}: {problem.message}"
        try:
            return parse(self.trees[operation], pairs), None, None
        except Problem as problem:
            known = " (Stripe knows it: tests/stripe_standin/schema.json does not)" if self.full(operation) else ""
            return None, problem, f"{operation}: {problem.message}{known}"


# --- Objects ----------------------------------------------------------------------------------------------------------

def differences(subset, kind, value):
    """What of an object is not as Stripe's schema has it: a list of words."""
    found = []

    def walk(spec, one, path):
        while "use" in spec:
            spec = {**subset["shared"][spec["use"]], **{name: member for name, member in spec.items() if name != "use"}}
        if one is None:
            if not spec.get("nullable"):
                found.append(f"{path} is null")
        elif "anyOf" in spec:
            walk(next((s for s in spec["anyOf"] if _fits(s, one)), spec["anyOf"][0]), one, path)
        elif "ref" in spec:
            if spec["ref"] in subset["objects"]:
                walk({**subset["objects"][spec["ref"]], "nullable": False}, one, path)
        elif isinstance(one, dict) and spec.get("expand") and one.get("object") in subset["objects"]:
            walk(subset["objects"][one["object"]], one, path)
        elif spec["t"] == "object":
            if not isinstance(one, dict):
                found.append(f"{path} is no object")
                return
            found.extend(f"{path}.{name} is missing" for name in spec.get("req", []) if name not in one)
            found.extend(f"{path}.{name} is unknown" for name in one if name not in spec["props"])
            for name, member in one.items():
                if name in spec["props"]:
                    walk(spec["props"][name], member, f"{path}.{name}")
        elif spec["t"] in ("array", "list"):
            elements = one["data"] if spec["t"] == "list" else one
            for i, element in enumerate(elements):
                walk(spec["items"], element, f"{path}[{i}]")
        elif spec["t"] == "map":
            for name, member in one.items():
                walk(spec["values"], member, f"{path}[{name}]")
        elif not _fits(spec, one):
            found.append(f"{path} is {one!r}, not {spec['t']}")
        elif "enum" in spec and one not in spec["enum"]:
            found.append(f"{path} is {one!r}, not of {spec['enum']}")

    walk({"ref": kind}, value, kind)
    return found


def _fits(spec, one):
    types = {"string": str, "integer": int, "boolean": bool, "number": (int, float), "object": dict, "array": list, "map": dict}
    if spec.get("t") in ("integer", "number") and isinstance(one, bool):
        return False
    return spec.get("t", "any") == "any" or isinstance(one, types.get(spec["t"], object))
