"""Words of the canonical envelope that definitions use: what is not among them is allowed, and may be a slip."""

from __future__ import annotations

WELL_KNOWN_TYPES = (
    "page_viewed", "product_viewed", "product_list_viewed", "product_clicked", "product_searched", "product_added",
    "product_removed", "cart_viewed", "cart_emptied", "checkout_started", "checkout_step_completed",
    "payment_info_entered", "order_completed", "order_refunded", "order_cancelled", "wishlist_added",
    "wishlist_removed", "product_reviewed", "product_shared", "coupon_applied", "promotion_clicked",
    "message_delivered", "message_opened", "message_clicked", "message_unsubscribed", "signed_up", "signed_in",
    "user_identified", "user_updated", "users_merged", "user_deleted", "survey_answered", "review_written",
    "support_ticket_opened", "support_ticket_resolved", "session_started", "app_opened", "app_crashed",
    "booking_started", "booking_completed", "content_played", "content_completed", "content_rated", "content_liked",
    "points_earned", "points_redeemed", "subscription_started", "subscription_cancelled",
)  # fmt: skip
"""Types of events; anything else is a custom event and as good."""

LINE_FIELDS = ("product_id", "name", "category", "brand", "price", "quantity")
"""Fields of a line of `items`."""
