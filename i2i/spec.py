"""The base of every typed piece of a recipe. A spec class sits beside what it builds, whatever floor that is on."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Frozen, and closed: an unknown key is an error, so a misspelt weight can never be dropped in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)
