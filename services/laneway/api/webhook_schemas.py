"""The bodies of requests and answers about webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from laneway.api.schemas import Body
from laneway.choices import DisabledBy, EndState
from laneway.webhooks.addresses import MAX_URL_CHARACTERS

MAX_TYPES = 100


class NewWebhook(Body):
    """Where to deliver the ends of which jobs."""

    url: str = Field(
        min_length=1,
        max_length=MAX_URL_CHARACTERS,
        description="An https URL at a public address.",
        examples=["https://example.com/hooks/laneway"],
    )
    states: list[Annotated[EndState, Field(strict=False)]] = Field(
        default=list(EndState),
        min_length=1,
        max_length=3,
        description="Only jobs that end so.",
    )
    types: list[str] = Field(
        default=[], max_length=MAX_TYPES, description="Only jobs of these types; none means all types."
    )


class LastDelivery(BaseModel):
    """The delivery that ended last."""

    at: datetime
    message_id: str = Field(description="What its header `webhook-id` said.")
    delivered: bool
    attempts: int
    detail: str = Field(description="What the receiver answered, or why nothing was delivered.")


class WebhookReply(BaseModel):
    """A webhook."""

    webhook_id: str
    url: str
    states: list[EndState]
    types: list[str]
    created_at: datetime
    rotated_at: datetime | None = Field(description="When its secret was last replaced.")
    disabled_at: datetime | None
    disabled_reason: str | None = Field(description="Why it gets no deliveries. null: it gets them.")
    disabled_by: DisabledBy | None = Field(
        description="Who has disabled it; `laneway` does so for receivers that accept nothing. What an administrator has disabled, "
        "only an administrator enables again."
    )
    waiting: int = Field(
        description="Deliveries that have not ended, those that wait for their next attempt among them."
    )
    last_error: str | None = Field(description="What the latest attempt of the oldest of them met.")
    last: LastDelivery | None


class NewWebhookReply(WebhookReply):
    """A webhook with its secret, which no other answer shows."""

    secret: str = Field(description="What signs the deliveries: `whsec_` and 32 bytes in base64.")


class WebhookList(BaseModel):
    """The webhooks of a user, oldest first."""

    webhooks: list[WebhookReply]


class TestDelivery(BaseModel):
    """A test delivery that was enqueued."""

    message_id: str = Field(description="What its header `webhook-id` will say.")
