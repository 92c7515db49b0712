"""Answers that are no success, in the shape of Stripe's."""
DOCS = "https://docs.stripe.com/error-codes"


class ApiError(Exception):
    """What an operation refuses with. The answer is kept under the idempotency key, as is that of a success."""

    def __init__(self, status, message, param=None, code=None, kind="invalid_request_error", **more):
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.kind, self.more = status, message, param, code, kind, more

    def body(self):
        error = {"message": self.message, "type": self.kind, **self.more}
        if self.param:
            error["param"] = self.param
        if self.code:
            error |= {"code": self.code, "doc_url": f"{DOCS}/{self.code.replace('_', '-')}"}
        return {"error": error}


def invalid(message, param=None, code=None):
    return ApiError(400, message, param, code)


def no_such(kind, ident, param="id", status=None):
    """404 for what the path names, 400 for what a parameter names."""
    return ApiError(status or (404 if param == "id" else 400), f"No such {kind}: '{ident}'", param, "resource_missing")


def declined(reason="generic_decline"):
    return ApiError(402, "Your card was declined.", code="card_declined", kind="card_error", decline_code=reason)


def needs_action():
    return ApiError(402, "This payment requires additional user action before it can be completed successfully.",
                    code="subscription_payment_intent_requires_action", kind="card_error")


def conflict():
    return ApiError(409, "There is currently another in-progress request using this Idempotent Key (that probably means you "
                    "submitted twice, and the other request is still going through). Please try again later.",
                    code="idempotency_key_in_use", kind="idempotency_error")


def key_reused(key):
    return ApiError(400, "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                    f"Try using a key other than '{key}' if you meant to execute a different request.", kind="idempotency_error")


def unauthorized(shown):
    return ApiError(401, f"Invalid API Key provided: {shown}")


def rate_limited():
    return ApiError(429, "Request rate limit exceeded.", code="rate_limit")


def server_error():
    return ApiError(500, "An unknown error occurred.", kind="api_error")
