"""Which tenants are answered by the version that is being tried."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from serving.gateway.backends.errors import BackendError


@dataclass(frozen=True, slots=True)
class Canary:
    """A share of the tenants, always the same ones.

    A tenant has a position between 0 and 100 by its name and the model's, so that the share of
    one model is no other model's; it is on the canary if its position is below the share. So a
    larger share has all the tenants of a smaller one.

    Attributes:
      label: of the version that they are answered by, where there is one.
      percent: of the tenants, 0 to 100.
    """

    label: str
    percent: int

    def __post_init__(self) -> None:
        """
        Raises:
          BackendError: no label, or a share that is not valid.
        """
        if not self.label:
            raise BackendError("A canary share needs the label of the canary's version.")
        if not 0 <= self.percent <= 100:
            raise BackendError(
                f"A canary share must be 0 to 100 per cent. Received: {self.percent}."
            )

    def takes(self, model: str, tenant: str) -> bool:
        """Whether a tenant is among them."""
        digest = hashlib.sha256(f"{model}\0{tenant}".encode()).digest()
        # 64 bits of it, so that every position is as likely as another to 1 in 10^17.
        return int.from_bytes(digest[:8]) * 100 < self.percent << 64
