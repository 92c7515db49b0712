"""When billing periods begin, and what a part of one costs. Pure functions of integers: seconds since 1970 and minor units."""
import calendar
from datetime import datetime, timedelta, timezone

DAY = 86400
# A minor unit is the currency itself.
ZERO_DECIMAL = {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"}


def boundary(anchor, interval, count, number):
    """The begin of the period of that number, counted from the anchor. Months are counted from the anchor, never from the
    boundary before, so that a subscription of the 31st comes back to the 31st after February."""
    if interval == "day":
        return anchor + number * count * DAY
    if interval == "week":
        return anchor + number * count * 7 * DAY
    start = datetime.fromtimestamp(anchor, timezone.utc)
    month = start.year * 12 + start.month - 1 + number * count * (12 if interval == "year" else 1)
    year, month = divmod(month, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return int(start.replace(year=year, month=month + 1, day=day).timestamp())


def period_at(anchor, interval, count, at):
    """(begin, end) of the period that holds `at`."""
    shortest = {"day": DAY, "week": 7 * DAY, "month": 28 * DAY, "year": 365 * DAY}[interval] * count
    number = (at - anchor) // shortest
    while boundary(anchor, interval, count, number) > at:
        number -= 1
    while boundary(anchor, interval, count, number + 1) <= at:
        number += 1
    return boundary(anchor, interval, count, number), boundary(anchor, interval, count, number + 1)


def divide(amount, numerator, denominator):
    """amount * numerator / denominator, rounded to the nearest minor unit, halves away from zero."""
    product = amount * numerator
    quotient, rest = divmod(abs(product), denominator)
    quotient += 2 * rest >= denominator
    return quotient if product >= 0 else -quotient


def part(amount, start, end, begin):
    """What of an amount for start..end falls on begin..end, by the second."""
    if begin <= start:
        return amount
    return 0 if begin >= end else divide(amount, end - begin, end - start)


def spoken(amount, currency):
    """"£25.00", "¥1200", "12.00 SEK": for descriptions."""
    sign = {"gbp": "£", "eur": "€", "usd": "$", "jpy": "¥"}.get(currency)
    number = str(amount) if currency in ZERO_DECIMAL else f"{amount // 100}.{amount % 100:02d}"
    return f"{sign}{number}" if sign else f"{number} {currency.upper()}"


def day_of(seconds):
    return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).strftime("%-d %b %Y")
