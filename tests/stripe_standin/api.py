"""A request of the product, from its bytes to an answer: key, version, route, schema, idempotency, operation."""
import json
import re
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from . import catalog, checkout, errors, faults, invoices, previews, renewals, subscriptions, versions
from .errors import ApiError

OPERATIONS = {
    "POST /v1/customers": catalog.create_customer, "GET /v1/customers": catalog.list_customers,
    "GET /v1/customers/{id}": catalog.get_customer, "POST /v1/customers/{id}": catalog.update_customer,
    "DELETE /v1/customers/{id}": catalog.delete_customer, "GET /v1/customers/{id}/payment_methods": catalog.list_cards,
    "POST /v1/products": catalog.create_product, "GET /v1/products": catalog.list_products,
    "GET /v1/products/{id}": catalog.retrieved("product"), "POST /v1/products/{id}": catalog.update_product,
    "POST /v1/prices": catalog.create_price, "GET /v1/prices": catalog.list_prices,
    "GET /v1/prices/{id}": catalog.retrieved("price"), "POST /v1/prices/{id}": catalog.update_price,
    "POST /v1/checkout/sessions": checkout.create_session,
    "GET /v1/checkout/sessions": catalog.listed("checkout.session", "/v1/checkout/sessions", "customer", "subscription", "status"),
    "GET /v1/checkout/sessions/{id}": catalog.retrieved("checkout.session"),
    "GET /v1/checkout/sessions/{id}/line_items": checkout.list_line_items,
    "POST /v1/checkout/sessions/{id}/expire": checkout.expire_session,
    "POST /v1/billing_portal/sessions": checkout.create_portal,
    "POST /v1/subscriptions": subscriptions.create_subscription, "GET /v1/subscriptions": subscriptions.list_subscriptions,
    "GET /v1/subscriptions/{id}": catalog.retrieved("subscription"),
    "POST /v1/subscriptions/{id}": subscriptions.update_subscription,
    "DELETE /v1/subscriptions/{id}": subscriptions.cancel_subscription,
    "POST /v1/subscriptions/{id}/resume": subscriptions.resume_subscription,
    "GET /v1/invoices": invoices.list_invoices, "GET /v1/invoices/{id}": catalog.retrieved("invoice"),
    "GET /v1/invoices/{id}/lines": invoices.list_lines, "POST /v1/invoices/{id}": invoices.update_invoice,
    "POST /v1/invoices/{id}/finalize": invoices.finalize_invoice, "POST /v1/invoices/{id}/pay": invoices.pay_invoice,
    "POST /v1/invoices/{id}/send": invoices.send_invoice, "POST /v1/invoices/{id}/void": invoices.void_invoice,
    "POST /v1/invoices/{id}/mark_uncollectible": invoices.mark_uncollectible,
    "POST /v1/invoices/create_preview": previews.create_preview, "GET /v1/invoice_payments": invoices.list_payments,
    "GET /v1/events": catalog.list_events, "GET /v1/events/{id}": catalog.get_event,
    "POST /v1/webhook_endpoints": catalog.create_endpoint,
    "GET /v1/webhook_endpoints": catalog.listed("webhook_endpoint", "/v1/webhook_endpoints"),
    "GET /v1/webhook_endpoints/{id}": catalog.retrieved("webhook_endpoint"),
    "POST /v1/webhook_endpoints/{id}": catalog.update_endpoint, "DELETE /v1/webhook_endpoints/{id}": catalog.delete_endpoint,
}
# Those without a place to fill in come first: create_preview is no invoice's id.
ROUTES = [(name, re.compile(name.replace("{id}", r"(?P<id>[^/]+)") + "$"))
          for name in sorted(OPERATIONS, key=lambda name: ("{id}" in name, name))]


@dataclass
class Request:
    method: str
    target: str
    headers: dict
    body: bytes = b""

    @property
    def path(self):
        return urlsplit(self.target).path

    @property
    def key(self):
        return self.headers.get("idempotency-key") or None


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict = field(default_factory=dict)


def as_json(value):
    return json.dumps(value, ensure_ascii=False).encode()


def refusal(error, **headers):
    return Answer(error.status, as_json(error.body()), headers)


def route(request):
    for name, pattern in ROUTES:
        match = pattern.match(f"{request.method} {request.path}")
        if match:
            return name, match.groupdict().get("id")
    return None, None


def answer(standin, request, fault=None):
    """The answer to a request, which a fault may have changed."""
    reply = _answer(standin, request, fault)
    reply.headers.setdefault("Request-Id", "req_" + secrets.token_hex(7))
    reply.headers.setdefault("Stripe-Version", standin.schema.version)
    if request.key:
        reply.headers["Idempotency-Key"] = request.key
    if fault and fault.options.get("should_retry") is not None:
        reply.headers["Stripe-Should-Retry"] = "true" if fault.options["should_retry"] else "false"
    return reply


def _answer(standin, request, fault):
    kind = fault.kind if fault else None
    if kind == "hold_before":
        fault.wait()
    elif kind == "before":
        fault.options["action"]()
    elif kind in faults.UNAPPLIED or (kind == "server_error" and not fault.options.get("applied", True)):
        return _unapplied(kind, fault, request)
    elif kind == "key_pruned" and request.key:
        standin.keys.drop(request.key)
    try:
        _check_key(standin, request)
        operation, ident, params = _checked(standin, request)
    except ApiError as error:
        return refusal(error)
    reply = _once(standin, request, operation, ident, params, kind == "server_error")
    if kind == "after":
        fault.options["action"]()
    return _reshaped(reply, fault) if fault else reply


def _unapplied(kind, fault, request):
    if kind == "rate_limited":
        after = fault.options.get("retry_after")
        return refusal(errors.rate_limited(), **({"Retry-After": str(after)} if after is not None else {}))
    if kind == "bad_gateway":
        page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
        return Answer(502, page, {"Content-Type": "text/html"})
    made = {"conflict": errors.conflict, "idempotency_error": lambda: errors.key_reused(request.key),
            "unauthorized": lambda: errors.unauthorized("sk_test_****"), "server_error": errors.server_error,
            "not_found": lambda: errors.no_such("object", request.path.rsplit("/", 1)[1]), "declined": errors.declined,
            "requires_action": errors.needs_action, "reset_before": errors.server_error}[kind]()
    return refusal(made)


def _check_key(standin, request):
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not secret:
        standin.note(f"{request.method} {request.path}: no Authorization: Bearer")
        raise ApiError(401, "You did not provide an API key.")
    if secret not in standin.api_keys:
        raise errors.unauthorized(secret[:8] + "****" + secret[-4:])


def _checked(standin, request):
    """(operation, id, parameters): all that Stripe looks at before it starts, so that no answer to it is kept under the key."""
    where = f"{request.method} {request.path}"
    version = request.headers.get("stripe-version")
    if version != standin.schema.version:
        standin.note(f"{where}: Stripe-Version is {version}, not {standin.schema.version}")
        raise errors.invalid(f"Invalid Stripe API version: {version}")
    operation, ident = route(request)
    if operation not in standin.schema.trees:
        standin.note(f"{where}: no operation of schema.json")
        raise ApiError(404, f"Unrecognized request URL ({where}).")
    if request.method == "POST" and not request.key:
        standin.note(f"{where}: no Idempotency-Key")
        raise errors.invalid("The stand-in wants an Idempotency-Key with each POST.")
    if request.key and len(request.key) > 255:
        standin.note(f"{where}: an Idempotency-Key of {len(request.key)} characters")
        raise errors.invalid("Idempotency keys have up to 255 characters.")
    params, problem, words = standin.schema.parse(operation, _pairs(standin, request, where))
    if words:
        standin.note(words)
        raise errors.invalid(problem.message, problem.param, problem.code)
    return operation, ident, params


def _pairs(standin, request, where):
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if request.body and kind != "application/x-www-form-urlencoded":
        standin.note(f"{where}: a body of type {kind!r}")
        raise errors.invalid("Request bodies are application/x-www-form-urlencoded.")
    query = urlsplit(request.target).query
    if query and request.method == "POST":
        standin.note(f"{where}: parameters of a POST belong into its body")
    try:
        return parse_qsl("&".join(filter(None, [query, request.body.decode()])), keep_blank_values=True, strict_parsing=bool(
            query or request.body), errors="strict")
    except ValueError:
        standin.note(f"{where}: no well-formed form")
        raise errors.invalid("Invalid form.") from None


def _once(standin, request, operation, ident, params, fails):
    """Runs the operation, or says again what was said under this key."""
    key = request.key if request.method == "POST" else None
    asked = (request.method, request.path, as_json(params))
    if key:
        try:
            before = standin.keys.begin(key, asked, standin.store.now())
        except ApiError as error:
            return refusal(error)
        if before:
            return Answer(before.status, before.body, {**before.headers, "Idempotent-Replayed": "true"})
    reply = None
    try:
        reply = _run(standin, request, operation, ident, params)
        if fails:
            reply = refusal(errors.server_error())
        reply.headers["Request-Id"] = "req_" + secrets.token_hex(7)
        reply.headers["Original-Request"] = reply.headers["Request-Id"]
        return reply
    finally:
        if key and reply:
            standin.keys.finish(key, Answer(reply.status, reply.body, dict(reply.headers)))
        elif key:
            standin.keys.drop(key)


def _run(standin, request, operation, ident, params):
    with standin.lock:
        store = standin.store
        renewals.settle(store, store.now())
        store.request = {"id": "req_" + secrets.token_hex(7), "idempotency_key": request.key} if request.method != "GET" else store.request
        try:
            result = OPERATIONS[operation](store, params, ident) if "{id}" in operation else OPERATIONS[operation](store, params)
            names = params.get("expand")
            if result.get("object") == "list":
                inner = [name[5:] for name in names or [] if name.startswith("data.")]
                result = {**result, "data": [store.expanded(one, inner) for one in result["data"]]}
            else:
                result = store.expanded(result, names)
            return Answer(200, as_json(result))
        except ApiError as error:
            return refusal(error)
        finally:
            store.request = {"id": None, "idempotency_key": None}


def _reshaped(reply, fault):
    """The answer as a fault wants it; what it does to the connection is web.py's."""
    shape = {"unknown_fields": versions.unknown_fields, "old_version": versions.old_shape, "deleted": versions.deleted,
             "reshape": fault.options.get("with_"),
             "unknown_value": lambda thing: versions.with_value(thing, fault.options["name"], fault.options["value"],
                                                                fault.options.get("of"))}.get(fault.kind)
    if shape and reply.status == 200:
        return Answer(200, as_json(shape(json.loads(reply.body))), reply.headers)
    if fault.kind == "not_json":
        return Answer(200, fault.options.get("body", b"<html>It works!</html>"), {**reply.headers, "Content-Type": "text/html"})
    if fault.kind == "oversized":
        padded = {**json.loads(reply.body), "padding": "x" * fault.options.get("size", 32 << 20)}
        return Answer(reply.status, as_json(padded), reply.headers)
    return reply
