"""Databases on a node: what the filter names is there before Envoy looks for it."""

import hashlib
from pathlib import Path

from bartizan.envoy.names import place_file
from bartizan.identity.databases import unknowing
from bartizan.node.places import PlaceFiles
from bartizan.xds.release import EXTENSION, Resource
from tests.e2e import places


def the_filter(*files: str) -> Resource:
    body = b"\0".join(name.encode() for name in files)
    return Resource(EXTENSION, "places", hashlib.sha256(body).digest(), body)


def test_what_isnt_there_knows_nothing(tmp_path: Path) -> None:
    city, anonymous = place_file("city", "a.mmdb"), place_file("anonymous", "b.mmdb")
    one = the_filter(city, anonymous)
    for alone in (True, False):
        state = tmp_path / str(alone)
        assert PlaceFiles(state, alone=alone).adapted(one) is one
        assert (state / city).read_bytes() == unknowing("city")
        assert (state / anonymous).read_bytes() == unknowing("anonymous")


def test_what_was_kept_stays(tmp_path: Path) -> None:
    city = place_file("city", "a.mmdb")
    places.write(tmp_path / city, places.CITIES)
    before = (tmp_path / city).read_bytes()
    for alone in (True, False):
        PlaceFiles(tmp_path, alone=alone).adapted(the_filter(city))
        assert (tmp_path / city).read_bytes() == before


def test_what_an_operator_put_there_is_taken_where_no_control_plane_does(tmp_path: Path) -> None:
    city = place_file("city", "a.mmdb")
    places.write(tmp_path / "geo" / "city.mmdb", places.CITIES)
    PlaceFiles(tmp_path, alone=False).adapted(the_filter(city))
    assert (tmp_path / city).read_bytes() == unknowing("city")
    PlaceFiles(tmp_path, alone=True).adapted(the_filter(city))
    assert (tmp_path / city).read_bytes() == (tmp_path / "geo" / "city.mmdb").read_bytes()


def test_a_name_that_isnt_one_makes_nothing(tmp_path: Path) -> None:
    found = the_filter("places/town-0123456789ab.mmdb", "places/../city-0123456789ab.mmdb", "places/city-xyz.mmdb")
    PlaceFiles(tmp_path, alone=True).adapted(found)
    assert not list(tmp_path.iterdir())
