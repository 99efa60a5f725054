"""One Envoy with the tables of keys, a token filter and the principal's rules, all by ECDS from files; for test_keys.py."""

import base64
import itertools
import json
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from bartizan.envoy import any_of, binary, message
from bartizan.envoy.bootstrap import Bootstrap
from bartizan.envoy.names import claim_header, subject_header
from bartizan.identity.key_text import OTHER, SHARDS
from bartizan.identity.keys import KeyStore
from bartizan.identity.principal import Wanted, principal_rules
from bartizan.identity.table import KEY_HEADER, ConsumerView, shards
from bartizan.secrets.envelope import Envelope
from tests.e2e.gateway import free_port

ATTRIBUTES = {"plan": "string", "xplan": "string", "level": "number", "staff": "bool", "regions": "list"}
GROUPS = ("ops", 'a"b', "a<b>\\", "ünï,\u732b🐈", "x=y&'z'")
ACME = ConsumerView("acme", GROUPS, {"plan": "gold", "xplan": "no", "level": 3, "staff": True, "regions": ["eu", "us"]})
BARE = ConsumerView("bare")
CONSUMERS = {"acme": ACME, "bare": BARE}
ISSUER = r"https://idp.example.com/\1"
SECRET = b"a secret of the tests, 32 bytes or more"
FILTERS = "envoy.extensions.filters.http."


def typed(name: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/{name}", **fields}


def discovered(path: Path, kind: str) -> dict[str, Any]:
    return {"config_source": {"path_config_source": {"path": str(path)}}, "type_urls": [f"type.googleapis.com/{FILTERS}{kind}"]}


class Gateway:
    """One Envoy: keys by shard, tokens, and the principal's rules; its answers and its records."""

    def __init__(self, folder: Path, attributes: Mapping[str, str] = ATTRIBUTES) -> None:
        self.folder = folder
        self.attributes = attributes
        self.log = folder / "access.log"
        self.keys = KeyStore(folder / "keys.journal", Envelope(b"k" * 32))
        self.consumers = dict(CONSUMERS)
        self.paths = (f"/{number}" for number in itertools.count())
        self.push()
        self.port = free_port()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}")
        (folder / "envoy.json").write_text(json.dumps(self.bootstrap()))
        command = [binary(), "-c", folder / "envoy.json", "--concurrency", "2", "--disable-hot-restart", "--file-flush-interval-msec", "20"]
        self.output = (folder / "envoy.log").open("wb")
        self.process = subprocess.Popen([*command, "-l", "warning"], stderr=self.output)
        try:
            self.wait_until_it_serves()
        except BaseException:
            self.close()
            raise

    def wait_until_it_serves(self) -> None:
        for _ in range(200):
            try:
                self.client.get("/ready")
                return
            except httpx.TransportError:
                assert self.process.poll() is None, (self.folder / "envoy.log").read_text()
                time.sleep(0.05)
        raise AssertionError("Envoy didn't start")

    def push(self) -> None:
        self.push_tables()
        self.push_rules()

    def push_tables(self) -> None:
        for shard, body in shards(self.keys.live(time.time()), self.consumers, self.attributes).items():
            self.write(f"keys-{shard}", body)

    def push_rules(self, **wanted: Any) -> None:
        self.write("principal", principal_rules(self.attributes, {"corp": ISSUER}, 17, Wanted(**wanted)))

    def write(self, name: str, body: bytes) -> None:
        resource = any_of("envoy.config.core.v3.TypedExtensionConfig", body)
        response = message("envoy.service.discovery.v3.DiscoveryResponse", version_info="1", resources=[resource])
        partial = self.folder / f"{name}.partial"
        partial.write_bytes(response.SerializeToString())
        partial.replace(self.folder / f"{name}.pb")

    def bootstrap(self) -> dict[str, Any]:
        principal = {"name": "principal", "config_discovery": discovered(self.folder / "principal.pb", "header_to_metadata.v3.Config")}
        router = {"name": "router", "typed_config": typed(FILTERS + "router.v3.Router")}
        manager = typed(
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix="t",
            http_filters=[self.keys_filter(), tokens_filter(), principal, router],
            route_config={
                "virtual_hosts": [
                    {"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]}
                ]
            },
            access_log=[{"name": "file", "typed_config": access_log(self.log)}],
        )
        address = {"socket_address": {"address": "127.0.0.1", "port_value": self.port}}
        chain = {"filters": [{"name": "http", "typed_config": manager}]}
        return {
            "node": {"id": "t", "cluster": "t"},
            "layered_runtime": Bootstrap("t", "none", "none").config()["layered_runtime"],
            "static_resources": {"listeners": [{"name": "l", "address": address, "filter_chains": [chain]}]},
        }

    def keys_filter(self) -> dict[str, Any]:
        def run(shard: str) -> dict[str, Any]:
            source = {"path_config_source": {"path": str(self.folder / f"keys-{shard}.pb")}}
            dynamic = {
                "name": f"keys/{shard}",
                "config_discovery": {"config_source": source, "type_urls": [f"type.googleapis.com/{FILTERS}api_key_auth.v3.ApiKeyAuth"]},
            }
            return {"action": {"name": "run", "typed_config": typed(FILTERS + "composite.v3.ExecuteFilterAction", dynamic_config=dynamic)}}

        entry = {"name": "key", "typed_config": typed("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=KEY_HEADER)}
        table = {"": run(OTHER), **{f"bz_{shard}": run(shard) for shard in SHARDS}}
        matcher = {"matcher_tree": {"input": entry, "prefix_match_map": {"map": table}}}
        return {"name": "keys", "typed_config": typed(FILTERS + "composite.v3.Composite", matcher=matcher)}

    def ask(self, headers: Any = None) -> tuple[int, dict[str, Any]]:
        """The status and the record of one request."""
        path = next(self.paths)
        answer = self.client.get(path, headers=headers)
        for _ in range(200):
            for line in self.log.read_text().splitlines():
                record = json.loads(line)
                if record["path"] == path:
                    assert answer.status_code == record["status"]
                    record["principal"] = record["principal"] or {}
                    assert record["principal"].pop("generation", "17") == "17"
                    return answer.status_code, record
            time.sleep(0.02)
        raise AssertionError(f"no record of {path}")

    def principal(self, headers: Any) -> dict[str, Any]:
        status, record = self.ask(headers)
        assert status == 200, record
        return record["principal"]

    def eventually(self, status: int, headers: Any) -> dict[str, Any]:
        for _ in range(100):
            answer, record = self.ask(headers)
            if answer == status:
                return record
            time.sleep(0.02)
        raise AssertionError(f"still {answer}")

    def eventually_principal(self, headers: Any, wanted: dict[str, Any]) -> dict[str, Any]:
        """Waits until the principal is this one; a `*` stands for any value."""
        for _ in range(100):
            found = self.principal(headers)
            if found == {name: found.get(name) if value == "*" else value for name, value in wanted.items()}:
                return found
            time.sleep(0.02)
        raise AssertionError(f"still {found}")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.output.close()
        self.client.close()
        self.keys.close()


def tokens_filter() -> dict[str, Any]:
    jwks = {"keys": [{"kty": "oct", "alg": "HS256", "k": base64.urlsafe_b64encode(SECRET).decode().rstrip("=")}]}
    claims = [{"header_name": subject_header("corp"), "claim_name": "sub"}]
    claims += [{"header_name": claim_header(name), "claim_name": name} for name in (*ATTRIBUTES, "groups")]
    provider = {
        "issuer": "idp",
        "local_jwks": {"inline_string": json.dumps(jwks)},
        "from_headers": [{"name": "x-bartizan-token"}],
        "claim_to_headers": claims,
    }
    requires = {"requires_any": {"requirements": [{"provider_name": "corp"}, {"allow_missing": {}}]}}
    rules = [{"match": {"prefix": "/"}, "requires": requires}]
    return {"name": "tokens", "typed_config": typed(FILTERS + "jwt_authn.v3.JwtAuthentication", providers={"corp": provider}, rules=rules)}


def access_log(path: Path) -> dict[str, Any]:
    record = {
        "path": "%REQ(:PATH)%",
        "status": "%RESPONSE_CODE%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "key": f"%REQ({KEY_HEADER})%",
        "principal": "%DYNAMIC_METADATA(bartizan.principal)%",
    }
    return typed("envoy.extensions.access_loggers.file.v3.FileAccessLog", path=str(path), log_format={"json_format": record})
