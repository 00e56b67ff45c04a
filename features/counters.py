"""What a profile counts, and the number that each count goes by."""

from __future__ import annotations

from typing import Final

FIRST_CUSTOM_TYPE: Final = 64
OTHER_TYPES: Final = 127
"""Event types have numbers up to this: that of ``STANDARD_EVENT_TYPES``, or for a shop's own one from
``FIRST_CUSTOM_TYPE`` on in the order of their first mention. The shop's 64th and all later ones share this number."""
FIRST_WEEKDAY: Final = 128
"""Seven counters of events on each day of the week, Monday first."""
FIRST_HOUR: Final = 135
"""24 counters of events in each hour of the day."""
ITEM_VIEWS: Final = 159
PURCHASES: Final = 160
"""Purchases of some pieces, each line of an order one."""
RETURNS: Final = 161
PIECES: Final = 162
"""Pieces bought less pieces returned, in 1/1,000."""
MONEY: Final = 163
"""Money of purchases less money given back, in 1/10,000."""
FIRST_NAME: Final = 256
"""From here on the names that contexts bring: which source, campaign, device ..."""

NAMED: Final = ("channel", "source", "campaign", "device", "browser", "country", "page_type")
"""The fields of an event's context of which each value is counted."""
