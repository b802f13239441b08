import string
from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.problems import ConfigInvalid, Place
from gateway.config.sources import Document, at_flags, parse_yaml, read_yaml

FILE = "gateway.yaml"


def problems(text):
    with pytest.raises(ConfigInvalid) as caught:
        parse_yaml(text, FILE)
    return [str(problem) for problem in caught.value.problems]


def test_each_value_knows_its_line():
    document = parse_yaml("server:\n  port: 1\nmodels:\n- name: a\n- name: b\n", FILE)
    assert document.place(("server", "port")) == Place(FILE, 2)
    assert document.place(("models", 1, "name")) == Place(FILE, 5)


def test_a_missing_value_has_the_place_of_what_would_hold_it():
    document = parse_yaml("models:\n- aliases: []\n", FILE)
    assert document.place(("models", 0, "name")) == Place(FILE, 2)
    assert document.place(("other",)) == Place(FILE, 1)
    assert Document().place(("x",)) == Place("configuration")


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null\n"])
def test_an_empty_file_says_nothing(text):
    assert parse_yaml(text, FILE).values == {}


def test_merge_keys_unfold():
    text = "a: &a {port: 1}\nserver:\n  <<: *a\n  host: h\n"
    assert parse_yaml(text, FILE).values["server"] == {"port": 1, "host": "h"}


def test_a_key_said_twice_is_refused_with_both_lines():
    assert problems("server:\n  port: 1\n  port: 2\n") == [
        "gateway.yaml:3: server.port: is said twice, first in line 2"
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server: [\n", "gateway.yaml:2: is not valid YAML: "),
        ("a: b: c\n", "gateway.yaml:1: is not valid YAML: mapping values are not allowed here"),
        ("- 1\n", "gateway.yaml:1: must be a mapping of sections"),
        ("just text\n", "gateway.yaml:1: must be a mapping of sections"),
        ("server: {1: x}\n", "gateway.yaml:1: server.1: keys must be text: put it in quotes"),
        ("server: {yes: x}\n", "gateway.yaml:1: server.yes: keys must be text"),
        ("a: !!python/object:os.system x\n", "gateway.yaml:1: is not valid YAML: could not"),
        ("a: 2020-13-45\n", "gateway.yaml: is not valid YAML: "),
        ("a: &a [*a]\n", "gateway.yaml: is not valid YAML: "),
        ("a: 1\nb: \x00\n", "gateway.yaml:2: is not valid YAML: "),
    ],
)
def test_what_is_no_configuration_is_refused_with_its_line(text, said):
    assert problems(text)[0].startswith(said)


def test_aliases_that_unfold_without_bounds_are_refused():
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 7)]
    assert problems("\n".join(layers))[0].endswith("is too large: check its aliases")


@given(text=st.text(alphabet=string.printable))
def test_no_text_breaks_the_reader(text):
    with suppress(ConfigInvalid):
        assert isinstance(parse_yaml(text, FILE).values, dict)


plain = st.dictionaries(st.sampled_from("abc"), st.integers() | st.lists(st.integers()))
nested = st.dictionaries(st.sampled_from("abc"), st.integers() | plain)


@given(low=nested, high=nested)
def test_the_upper_document_wins_key_by_key(low, high):
    merged = parse_yaml(yaml.safe_dump(high), "high").over(
        parse_yaml(yaml.safe_dump(low), "low")
    )
    for key in low.keys() | high.keys():
        if key in high and not (isinstance(high[key], dict) and isinstance(low.get(key), dict)):
            assert merged.values[key] == high[key]
            assert merged.place((key,)).source == "high"
        elif key not in high:
            assert merged.values[key] == low[key]
            assert merged.place((key,)).source == "low"


def test_flags_name_themselves():
    flags = at_flags({("server", "port"): ("--port", 1), ("server", "host"): ("--host", "h")})
    assert flags.values == {"server": {"port": 1, "host": "h"}}
    assert flags.place(("server", "port")) == Place("--port")


def test_an_item_can_be_added_to_a_list():
    document = parse_yaml("static: [a]\n", FILE).append("static", "b", Place("--replica"))
    assert document.values["static"] == ["a", "b"]
    assert document.place(("static", 1)) == Place("--replica")
    wrong = parse_yaml("static: x\n", FILE)
    assert wrong.append("static", "b", Place("--replica")) is wrong


def test_relative_paths_start_at_the_files_directory(tmp_path):
    file = tmp_path / FILE
    file.write_text(
        "state: {dir: here}\nauth: {keys: [{name: a, key_file: a.key}]}\n"
        "secrets: {hf_token_file: ~/token}\nserver: {host: dir}\n"
    )
    values = read_yaml(file).values
    assert values["state"]["dir"] == str(tmp_path / "here")
    assert values["auth"]["keys"][0]["key_file"] == str(tmp_path / "a.key")
    assert values["secrets"] == {"hf_token_file": "~/token"}
    assert values["server"]["host"] == "dir"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file"), (b"\xff\xfe\xff", "it is not UTF-8")]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, content, said):
    file = tmp_path / FILE
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigInvalid, match=said):
        read_yaml(file)
