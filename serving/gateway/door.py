"""How many requests may be under way, in all and of one tenant."""

from __future__ import annotations

from collections import Counter

from serving.gateway.errors import overloaded


class Door:
    """Counts those inside. For the tasks of one event loop.

    The last quarter of the places is for other tenants than the one that has taken all before:
    by slow bodies or many questions, none keeps the others out alone.
    """

    def __init__(self, places: int) -> None:
        """
        Args:
          places: requests under way at a time.
        """
        self._places = places
        self._of_one_tenant = places - places // 4
        self._tenants = Counter[str]()
        self.inside = 0

    def enter(self) -> bool:
        """Take a place; False where there is none."""
        if self.inside >= self._places:
            return False
        self.inside += 1
        return True

    def let_in(self, tenant: str) -> None:
        """Count an entered request, by now known to be a tenant's; to be told of its end.

        Raises:
          GatewayError: 503, the tenant has as many as one may.
        """
        if self._tenants[tenant] >= self._of_one_tenant:
            error = overloaded("Too many of your requests are running. Try again in a moment.")
            error.limit = "shed"
            raise error
        self._tenants[tenant] += 1

    def leave(self, tenant: str | None) -> None:
        """Give a place back.

        Args:
          tenant: that was let in; None where it did not come to that.
        """
        self.inside -= 1
        if tenant is not None:
            self._tenants[tenant] -= 1
            if not self._tenants[tenant]:
                del self._tenants[tenant]
