"""Envoy's admin interface, over its unix socket: the numbers for /metrics and whether it serves."""

from pathlib import Path

import httpx

from bartizan.errors import Unavailable


class Admin:
    """Asks the Envoy whose admin socket is `socket`. Unavailable if it doesn't answer."""

    def __init__(self, socket: Path, *, timeout_s: float = 5.0) -> None:
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)),
            base_url="http://envoy",
            timeout=timeout_s,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def prometheus(self) -> str:
        """All numbers that were used, in Prometheus' text format."""
        return (await self._ask("GET", "/stats/prometheus?usedonly")).text

    async def ready(self) -> bool:
        """Whether Envoy serves. False if it can't be asked."""
        try:
            return (await self._ask("GET", "/ready")).status_code == httpx.codes.OK
        except Unavailable:
            return False

    async def server_info(self) -> dict[str, object]:
        """Its version, state and uptime."""
        told: dict[str, object] = (await self._ask("GET", "/server_info")).json()
        return told

    async def reopen_logs(self) -> None:
        """Makes Envoy open its access logs anew, after they were renamed."""
        (await self._ask("POST", "/reopen_logs")).raise_for_status()

    async def _ask(self, method: str, path: str) -> httpx.Response:
        try:
            return await self._client.request(method, path)
        except httpx.HTTPError as error:
            raise Unavailable(f"Envoy doesn't answer: {error}", code="envoy-unavailable") from error
