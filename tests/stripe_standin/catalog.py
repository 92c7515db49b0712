"""Customers and their cards, products, prices, webhook endpoints, events."""
from .errors import invalid, no_such

CUSTOM_FIELDS, FIELD_NAME, FIELD_VALUE = 4, 40, 140


# --- What many objects have -------------------------------------------------------------------------------------------

def merged_metadata(before, params, name="metadata"):
    """Keys are merged, an empty value removes one, an empty metadata all."""
    if name not in params:
        return before
    if params[name] == "":
        return {}
    after = {k: v for k, v in {**before, **{k: str(v) for k, v in params[name].items()}}.items() if v != ""}
    if len(after) > 50:
        raise invalid("Metadata can hold up to 50 keys", name)
    for key, value in after.items():
        if len(key) > 40 or len(value) > 500:
            raise invalid(f"Metadata keys have up to 40 characters, values up to 500: {key}", f"{name}[{key}]")
    return after


def custom_fields(value, param):
    """The checked custom_fields of invoices, None for none."""
    if not value:
        return None
    if len(value) > CUSTOM_FIELDS:
        raise invalid(f"An invoice has up to {CUSTOM_FIELDS} custom fields", param)
    for i, field in enumerate(value):
        if not 1 <= len(field["name"]) <= FIELD_NAME or not 1 <= len(field["value"]) <= FIELD_VALUE:
            raise invalid(f"A custom field has a name of up to {FIELD_NAME} characters and a value of up to {FIELD_VALUE}",
                          f"{param}[{i}]")
    return value


def taken(params, *names):
    """Of the parameters those that are fields of the same name; the empty string unsets."""
    return {name: (None if params[name] == "" else params[name]) for name in names if name in params}


def listed(kind, url, *equal, ranges=("created",)):
    """The handler of a plain list."""
    def handler(store, params):
        things = [thing for thing in store.all(kind)
                  if all(thing[name] == params[name] for name in equal if name in params)
                  and all(store.within(params, name, thing[name]) for name in ranges)]
        return store.page(things, params, url)
    return handler


def retrieved(kind):
    return lambda store, _params, ident: store.get(kind, ident)


# --- Customers --------------------------------------------------------------------------------------------------------

ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


def _address(value):
    return {name: value.get(name) for name in ADDRESS} if value else None


def _customer_fields(store, params, customer):
    fields = taken(params, "description", "email", "name", "phone", "business_name")
    if "business_name" in fields and fields["business_name"] is None:
        del fields["business_name"]
        customer.pop("business_name", None)
    if "email" in fields and fields["email"] and "@" not in fields["email"]:
        raise invalid(f"Invalid email address: {fields['email']}", "email", "email_invalid")
    if "address" in params:
        fields["address"] = _address(params["address"])
    if "preferred_locales" in params:
        fields["preferred_locales"] = params["preferred_locales"]
    if "tax_exempt" in params:
        fields["tax_exempt"] = params["tax_exempt"] or "none"
    settings = dict(customer["invoice_settings"])
    for name, value in params.get("invoice_settings", {}).items():
        if name == "custom_fields":
            value = custom_fields(value, "invoice_settings[custom_fields]")
        elif name == "default_payment_method" and value:
            owned_card(store, customer["id"], value, "invoice_settings[default_payment_method]")
        settings[name] = value or None
    return {**fields, "invoice_settings": settings, "metadata": merged_metadata(customer["metadata"], params)}


def create_customer(store, params):
    customer = {
        "id": store.new_id("customer", 14), "object": "customer", "address": None, "balance": 0, "created": store.now(),
        "currency": None, "default_source": None, "delinquent": False, "description": None, "email": None,
        "invoice_prefix": store.new_id("item", 8)[3:].upper(), "livemode": False, "metadata": {}, "name": None,
        "next_invoice_sequence": 1, "phone": None, "preferred_locales": [], "shipping": None, "tax_exempt": "none",
        "test_clock": None, "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None,
                                                 "rendering_options": None}}
    customer |= _customer_fields(store, params, customer)
    store.add("customer", customer)
    store.emit("customer.created", customer)
    return customer


def live_customer(store, ident, param="customer"):
    customer = store.get("customer", ident, param)
    if customer.get("deleted"):
        raise no_such("customer", ident, param)
    return customer


def get_customer(store, _params, ident):
    return store.get("customer", ident)


def update_customer(store, params, ident):
    customer = live_customer(store, ident, "id")
    with store.change(customer, "customer.updated"):
        customer |= _customer_fields(store, params, customer)
    return customer


def list_customers(store, params):
    things = [one for one in store.all("customer") if not one.get("deleted") and store.within(params, "created", one["created"])
              and params.get("email") in (None, one["email"])]
    return store.page(things, params, "/v1/customers")


def delete_customer(store, _params, ident):
    """The id stays known, what is known of it goes; its subscriptions end at once."""
    from .subscriptions import end_now
    customer = live_customer(store, ident, "id")
    for subscription in store.all("subscription", customer=ident):
        if subscription["status"] not in ("canceled", "incomplete_expired"):
            end_now(store, subscription, "cancellation_requested")
    store.emit("customer.deleted", customer)
    gone = {"id": ident, "object": "customer", "deleted": True}
    store.tables["customer"][ident] = gone
    return gone


def list_cards(store, params, ident):
    live_customer(store, ident, "id")
    return store.page(store.all("payment_method", customer=ident), params, f"/v1/customers/{ident}/payment_methods")


# --- Cards: what a person enters, never the product -------------------------------------------------------------------

def attach_card(store, customer, behaviour="ok"):
    """A card of that customer; behaviour: ok, declines, requires_action, async (a bank debit, which is known later)."""
    kind = "bacs_debit" if behaviour == "async" else "card"
    last4 = {"ok": "4242", "declines": "0341", "requires_action": "3184", "async": "2345"}[behaviour]
    method = {"id": store.new_id("payment_method"), "object": "payment_method", "created": store.now(), "customer": customer["id"],
              "billing_details": {"address": None, "email": customer.get("email"), "name": customer.get("name"), "phone": None,
                                  "tax_id": None},
              "customer_account": None, "livemode": False, "metadata": {}, "type": kind, "allow_redisplay": "unspecified"}
    if kind == "card":
        method["card"] = {"brand": "visa", "checks": None, "country": "GB", "display_brand": "visa", "exp_month": 12,
                          "exp_year": 2034, "fingerprint": "fp" + last4, "funding": "credit", "generated_from": None,
                          "last4": last4, "networks": None, "regulated_status": "unregulated", "three_d_secure_usage": None,
                          "wallet": None}
    else:
        method["bacs_debit"] = {"fingerprint": "fp" + last4, "last4": last4, "sort_code": "108800"}
    store.add("payment_method", method, behaviour=behaviour)
    store.emit("payment_method.attached", method)
    return method


def owned_card(store, customer, ident, param):
    method = store.get("payment_method", ident, param)
    if method["customer"] != customer:
        raise invalid("The payment method belongs to another customer.", param)
    return method


# --- Products and prices ----------------------------------------------------------------------------------------------

def create_product(store, params):
    if "id" in params and params["id"] in store.tables["product"]:
        raise invalid(f"Product already exists: {params['id']}", "id", "resource_already_exists")
    if not params["name"]:
        raise invalid("You passed an empty string for 'name'.", "name", "parameter_invalid_empty")
    now = store.now()
    product = {"id": params.get("id") or store.new_id("product", 14), "object": "product", "active": True, "created": now,
               "default_price": None, "description": None, "images": [], "livemode": False, "marketing_features": [],
               "metadata": merged_metadata({}, params), "name": params["name"], "package_dimensions": None, "shippable": None,
               "statement_descriptor": None, "tax_code": None, "tax_details": None, "type": "service", "unit_label": None,
               "updated": now, "url": None}
    product |= taken(params, "active", "description", "statement_descriptor", "tax_code", "unit_label", "url")
    store.add("product", product)
    store.emit("product.created", product)
    return product


def update_product(store, params, ident):
    product = store.get("product", ident)
    with store.change(product, "product.updated"):
        changed = {**taken(params, "active", "description", "name", "statement_descriptor", "tax_code", "unit_label", "url"),
                   "metadata": merged_metadata(product["metadata"], params)}
        if any(product[name] != value for name, value in changed.items()):
            product |= {**changed, "updated": store.now()}
    return product


def list_products(store, params):
    things = [one for one in store.all("product") if store.within(params, "created", one["created"])
              and params.get("active") in (None, one["active"]) and one["id"] in params.get("ids", [one["id"]])]
    return store.page(things, params, "/v1/products")


def _option(params):
    return {"custom_unit_amount": None, "tax_behavior": params.get("tax_behavior", "unspecified"),
            "unit_amount": params.get("unit_amount"), "unit_amount_decimal": str(params.get("unit_amount"))}


def _claim_lookup_key(store, params, own=None):
    """A lookup key names one price; it moves only when asked to."""
    key = params.get("lookup_key")
    if not key:
        return None
    if len(key) > 200:
        raise invalid("A lookup key has up to 200 characters", "lookup_key")
    holder = next((p for p in store.all("price", lookup_key=key) if p["id"] != own), None)
    if holder:
        if not params.get("transfer_lookup_key"):
            raise invalid(f"A price (`{holder['id']}`) already uses that lookup key.", "lookup_key")
        with store.change(holder, "price.updated"):
            holder["lookup_key"] = None
    return key


def create_price(store, params):
    if "product" not in params:
        raise invalid("You must specify either `product` or `product_data` when creating a price.", "product", "parameter_missing")
    if "unit_amount" not in params:
        raise invalid("You must specify one of `unit_amount`, `unit_amount_decimal` or `custom_unit_amount`.", "unit_amount")
    for name, option in [("unit_amount", params)] + [(f"currency_options[{c}][unit_amount]", o)
                                                      for c, o in params.get("currency_options", {}).items()]:
        if option.get("unit_amount", 0) < 0 or option.get("unit_amount", 0) > 99999999:
            raise invalid("Invalid unit_amount", name)
    store.get("product", params["product"], "product")
    currency = _currency(params["currency"])
    recurring = params.get("recurring")
    price = {"id": store.new_id("price"), "object": "price", "active": params.get("active", True), "billing_scheme": "per_unit",
             "created": store.now(), "currency": currency, "custom_unit_amount": None, "livemode": False,
             "lookup_key": _claim_lookup_key(store, params), "metadata": merged_metadata({}, params),
             "nickname": params.get("nickname") or None, "product": params["product"],
             "recurring": recurring and {"interval": recurring["interval"], "interval_count": recurring.get("interval_count", 1),
                                         "meter": None, "trial_period_days": None, "usage_type": "licensed"},
             "tax_behavior": params.get("tax_behavior", "unspecified"), "tiers_mode": None, "transform_quantity": None,
             "type": "recurring" if recurring else "one_time", "unit_amount": params["unit_amount"],
             "unit_amount_decimal": str(params["unit_amount"])}
    options = {_currency(c): _option(o) for c, o in params.get("currency_options", {}).items()}
    store.add("price", price, options={**options, currency: _option(params)})
    store.emit("price.created", price)
    return price


def unit_amount(store, price, currency):
    """What one costs in that currency, None where the price has none in it."""
    return store.side[price["id"]]["options"].get(currency, {}).get("unit_amount")


def _currency(text):
    if len(text) != 3 or not text.isalpha():
        raise invalid(f"Invalid currency: {text}", "currency")
    return text.lower()


def update_price(store, params, ident):
    price = store.get("price", ident)
    with store.change(price, "price.updated"):
        if "lookup_key" in params:
            price["lookup_key"] = _claim_lookup_key(store, params, ident)
        if "tax_behavior" in params and price["tax_behavior"] not in ("unspecified", params["tax_behavior"]):
            raise invalid("`tax_behavior` cannot be changed once it is set.", "tax_behavior")
        price |= {**taken(params, "active", "nickname", "tax_behavior"), "metadata": merged_metadata(price["metadata"], params)}
    return price


def list_prices(store, params):
    interval = params.get("recurring", {}).get("interval")
    things = [one for one in store.all("price") if store.within(params, "created", one["created"])
              and all(one[name] == params[name] for name in ("active", "currency", "product", "type") if name in params)
              and one["lookup_key"] in params.get("lookup_keys", [one["lookup_key"]])
              and (interval is None or (one["recurring"] or {}).get("interval") == interval)]
    return store.page(things, params, "/v1/prices")


# --- Events and webhook endpoints -------------------------------------------------------------------------------------

def get_event(store, _params, ident):
    found = next((event for event in store.kept_events() if event["id"] == ident), None)
    if not found:
        raise no_such("event", ident)
    return found


def list_events(store, params):
    if "type" in params and "types" in params:
        raise invalid("You may only pass one of `type` and `types`.", "types")
    if len(params.get("types", [])) > 20:
        raise invalid("`types` holds up to 20 types.", "types")

    def asked(kind):
        if "types" in params:
            return kind in params["types"]
        wanted = params.get("type", kind)
        return kind == wanted or (wanted.endswith(".*") and kind.startswith(wanted[:-1]))
    things = [event for event in reversed(store.kept_events()) if asked(event["type"])
              and store.within(params, "created", event["created"])
              and params.get("delivery_success") in (None, event["pending_webhooks"] == 0)]
    return store.page(things, params, "/v1/events")


def create_endpoint(store, params):
    if not params["url"].startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise invalid("Invalid URL: must be https", "url", "url_invalid")
    secret = "whsec_" + store.new_id("item", 32)[3:]
    endpoint = {"id": store.new_id("webhook_endpoint"), "object": "webhook_endpoint", "api_version": params.get("api_version"),
                "application": None, "created": store.now(), "description": params.get("description"),
                "enabled_events": params["enabled_events"], "livemode": False, "metadata": merged_metadata({}, params),
                "status": "enabled", "url": params["url"]}
    store.add("webhook_endpoint", endpoint, secret=secret)
    return {**endpoint, "secret": secret}


def update_endpoint(store, params, ident):
    endpoint = store.get("webhook_endpoint", ident)
    endpoint |= {**taken(params, "url", "enabled_events", "description"), "metadata": merged_metadata(endpoint["metadata"], params)}
    if "disabled" in params:
        endpoint["status"] = "disabled" if params["disabled"] else "enabled"
    return endpoint


def delete_endpoint(store, _params, ident):
    store.get("webhook_endpoint", ident)
    del store.tables["webhook_endpoint"][ident]
    return {"id": ident, "object": "webhook_endpoint", "deleted": True}
