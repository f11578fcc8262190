"""The bodies of requests and answers about an account and its API keys."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from laneway.api.schemas import Body
from laneway.scopes import Scope
from laneway.storage.passwords import LENGTHS
from laneway.storage.users import Role

YEAR_SECONDS = 365 * 86_400


class Account(BaseModel):
    """The caller."""

    username: str
    role: Role
    created_at: datetime | None
    issuer: str | None = Field(
        description="The OpenID Connect issuer that logs the user in; null for a user with a password."
    )
    scopes: list[Scope] | None = Field(
        description="What the API key of this request may do; null for a token, which may do all that the user may."
    )


class NewPassword(Body):
    """A change of the password."""

    password: str = Field(description="The password of today.", examples=["correct horse battery"])
    new_password: str = Field(
        description="The new one. It must not be the username or easy to guess.",
        json_schema_extra={"minLength": LENGTHS[0], "maxLength": LENGTHS[-1]},
        examples=["staple the battery to the horse"],
    )


class Password(Body):
    """The password, to prove that it is the user who asks."""

    password: str = Field(examples=["correct horse battery"])


class NewKey(Body):
    """An API key to be made."""

    name: str = Field(
        min_length=1, max_length=64, description="For people: which program has it.", examples=["importer"]
    )
    scopes: list[Annotated[Scope, Field(strict=False)]] = Field(
        [Scope.ENQUEUE, Scope.READ],
        min_length=1,
        max_length=5,
        examples=[["enqueue", "read"]],
        description="`enqueue`: enqueue requests. `read`: read jobs, lane and events. `write`: everything else that changes "
        "something, such as cancelling jobs. `keys`: list, make and revoke keys. `admin`: what the user may do as an "
        "administrator.",
    )
    expires_in: int | None = Field(
        90 * 86_400,
        ge=1,
        le=10 * YEAR_SECONDS,
        description="Seconds for which it is valid, 90 days if it is left out; null for a key that never expires.",
    )


class KeyReply(BaseModel):
    """An API key without its secret."""

    key_id: str
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(
        description="Accurate to a minute or so; null if it was never used."
    )


class NewKeyReply(KeyReply):
    """A new API key with its secret, which is shown this once."""

    key: str = Field(description="Send it as `Authorization: Bearer <key>`.")


class Keys(BaseModel):
    """The API keys of the caller, oldest first."""

    keys: list[KeyReply]
