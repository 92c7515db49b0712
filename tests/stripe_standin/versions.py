"""Objects as other API versions have them, and as a version to come might."""
import copy

OLD = "2024-06-20"


def old_shape(thing):
    """As before 2025-03-31.basil: periods on the subscription, subscription and charge on the invoice."""
    if isinstance(thing, list):
        return [old_shape(one) for one in thing]
    if not isinstance(thing, dict):
        return thing
    made = {name: old_shape(value) for name, value in thing.items()}
    if made.get("object") == "subscription":
        first = thing["items"]["data"][0]
        made |= {name: first[name] for name in ("current_period_start", "current_period_end")}
        del made["billing_mode"]
    elif made.get("object") == "subscription_item":
        del made["current_period_start"], made["current_period_end"]
    elif made.get("object") == "invoice":
        parent = made.pop("parent")
        made |= {"subscription": parent["subscription_details"]["subscription"], "paid": made["status"] == "paid", "charge": None,
                 "payment_intent": None}
    elif made.get("object") == "event":
        made["api_version"] = OLD
    return made


def unknown_fields(thing):
    """Each object has members nobody has heard of."""
    if isinstance(thing, list):
        return [unknown_fields(one) for one in thing]
    if not isinstance(thing, dict):
        return thing
    made = {name: unknown_fields(value) for name, value in thing.items()}
    if "object" in made:
        made |= {"zz_new": {"object": "zz_thing", "values": [1, None, "x"]}, "zz_flag": True}
    return made


def with_value(thing, name, value, kind=None):
    """Each object (of that kind) that has the member has that value there."""
    if isinstance(thing, list):
        return [with_value(one, name, value, kind) for one in thing]
    if not isinstance(thing, dict):
        return thing
    made = {key: with_value(one, name, value, kind) for key, one in thing.items()}
    if name in made and kind in (None, made.get("object")):
        made[name] = copy.deepcopy(value)
    return made


def deleted(thing):
    return {"id": thing["id"], "object": thing["object"], "deleted": True}
