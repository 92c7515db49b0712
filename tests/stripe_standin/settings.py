"""What an account sets in Stripe's dashboard."""
from dataclasses import dataclass


@dataclass
class Settings:
    retry_days: tuple = (3, 5, 7)     # days from a failed payment to the next attempt
    after_dunning: str = "unpaid"     # or "cancel", "past_due": what follows the last attempt
    overdue_days: int = 30            # after an unpaid invoice's due date the same follows
    draft_seconds: int = 3600         # invoices stay drafts for so long, but the first of a charged subscription
    tax_percent: int = 20             # where automatic tax is on
    processing_status: str = "active"  # of a subscription whose first payment is a bank debit on its way
    page_max: int = 100                # a page holds no more, whatever is asked for
