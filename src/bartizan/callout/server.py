"""Envoy asks here (envoy.service.auth.v3.Authorization) about each request that brings a proof; outside gRPC, inside plain values."""

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc

from bartizan.callout.once import Full, Once
from bartizan.callout.proof import ALGORITHMS, Asked, BadProof, checked
from bartizan.envoy import message, message_type, names

_SERVICE = "envoy.service.auth.v3.Authorization"
_log = logging.getLogger(__name__)
_SCHEME = "Bearer "
_ALGS = " ".join(ALGORITHMS)


class Answer:
    """What Envoy is told."""

    def __init__(self, once: Once, clock: Callable[[], float] = time.time) -> None:
        self._once = once
        self._clock = clock

    def to(self, request: Any) -> Any:
        """The CheckResponse to a CheckRequest."""
        asked, now = request.attributes.request.http, self._clock()
        headers: Mapping[str, str] = asked.headers
        try:
            token = headers.get("authorization", "").removeprefix(_SCHEME)
            url = f"{asked.scheme}://{asked.host}{asked.path.partition('?')[0]}"
            proof = checked(headers.get("dpop", ""), Asked(asked.method, url, token, headers.get(names.H_JKT, ""), now))
        except BadProof as error:
            return _refused(f'error="invalid_dpop_proof", error_description="The proof doesn\'t count: {error}"')
        if self._once.needs_nonce(proof, now):
            return _refused('error="use_dpop_nonce"', self._once.nonce(now))
        try:
            if not self._once.is_first(proof, now):
                return _refused('error="invalid_dpop_proof", error_description="The proof was used already"')
        except Full:
            return _refused('error="use_dpop_nonce"', self._once.nonce(now))
        ok = {"headers": [_header(names.H_PROOF, "dpop")]}
        return message("envoy.service.auth.v3.CheckResponse", status={"code": 0}, ok_response=ok)


def _refused(why: str, nonce: str = "") -> Any:
    told = [_header("www-authenticate", f'DPoP {why}, algs="{_ALGS}"'), *([_header("dpop-nonce", nonce)] if nonce else [])]
    denied = {"status": {"code": 401}, "headers": told}
    return message("envoy.service.auth.v3.CheckResponse", status={"code": 16}, denied_response=denied)


def _header(name: str, value: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


async def serve(socket: Path, once: Once) -> None:
    """Answers on the unix socket until it is cancelled."""
    answer = Answer(once)

    async def check(request: Any, _: Any) -> Any:
        return answer.to(request)

    made = grpc.unary_unary_rpc_method_handler(
        check,
        request_deserializer=message_type("envoy.service.auth.v3.CheckRequest").FromString,
        response_serializer=lambda response: response.SerializeToString(),
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Check": made}),))
    socket.unlink(missing_ok=True)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    socket.chmod(0o600)
    _log.info("proofs of possession are checked")
    try:
        await server.wait_for_termination()
    finally:
        await server.stop(0.5)


async def _until_signalled(socket: Path, once: Once) -> None:
    task = asyncio.ensure_future(serve(socket, once))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        _log.info("ended")


def main(arguments: list[str]) -> int:
    """Until a signal comes."""
    parser = argparse.ArgumentParser(prog="python -m bartizan.callout", description="Checks proofs of possession for Envoy.")
    parser.add_argument("--socket", type=Path, required=True, help="where Envoy asks")
    parser.add_argument("--wanted", type=Path, required=True, help="the file that is there once some policy needs it")
    parser.add_argument("--nonce", action="store_true", help="demand a nonce of every proof: other gateways serve the same callers")
    read = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s callout %(levelname)s %(message)s")
    asyncio.run(_until_signalled(read.socket, Once(time.time(), always=read.nonce)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
