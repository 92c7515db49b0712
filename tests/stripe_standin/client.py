"""A plain client of the stand-in's API, for tests of the stand-in and for what a test does behind the product's back."""
import itertools
import secrets

import httpx


def form(params):
    """Nested parameters as the pairs of a form: {"a": [{"b": 1}]} -> [("a[0][b]", "1")]."""
    def walk(value, path):
        if isinstance(value, dict):
            for name, one in value.items():
                yield from walk(one, f"{path}[{name}]" if path else name)
        elif isinstance(value, (list, tuple)):
            for i, one in enumerate(value):
                yield from walk(one, f"{path}[{i}]")
        else:
            yield path, str(value).lower() if isinstance(value, bool) else str(value)
    return list(walk(params, ""))


class Client:
    """post, get and delete answer the object, or raise Failed; *_raw answer httpx's response."""

    def __init__(self, standin, **headers):
        self.standin = standin
        self._run, self._keys = secrets.token_hex(4), itertools.count(1)
        self.http = httpx.Client(base_url=standin.url, timeout=30, headers={
            "Authorization": f"Bearer {standin.api_key}", "Stripe-Version": standin.schema.version, **headers})

    def post_raw(self, path, params=None, key=None):
        return self.http.post("/v1/" + path, data=dict(form(params or {})),
                              headers={"Idempotency-Key": key or f"{self._run}-{next(self._keys)}"})

    def post(self, path, key=None, **params):
        return self._object(self.post_raw(path, params, key))

    def get(self, path, **params):
        return self._object(self.http.get("/v1/" + path, params=form(params)))

    def delete(self, path, **params):
        return self._object(self.http.request("DELETE", "/v1/" + path, params=form(params)))

    def close(self):
        self.http.close()

    @staticmethod
    def _object(response):
        if response.status_code != 200:
            raise Failed(response)
        return response.json()


class Failed(Exception):
    """.status and .error, as Stripe has it: type, code, message, param."""

    def __init__(self, response):
        super().__init__(f"{response.status_code} {response.text}")
        self.status, self.error = response.status_code, response.json()["error"]
