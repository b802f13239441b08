"""What the pages say exists, and what exists is in the pages."""

import re
import shlex

import click
import pytest

from gateway.cli import main as cli
from scripts import docs
from tests.repo import tracked

PAGES = [p for p in tracked.files() if p.suffix == ".md"]
BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


@pytest.mark.parametrize("name", docs.PAGES)
def test_a_generated_page_is_what_the_code_says_now(name):
    on_disk = (docs.DOCS / name).read_text()
    assert on_disk == docs.PAGES[name](), f"docs/{name} is old: run `make docs`"


def test_every_page_is_listed_in_the_index():
    index = (docs.DOCS / "index.md").read_text()
    pages = {path.name for path in docs.DOCS.glob("*.md")} - {"index.md"}
    assert {page for page in pages if f"({page})" not in index} == set()


@pytest.mark.parametrize("page", PAGES, ids=tracked.named)
def test_links_between_pages_lead_somewhere(page):
    targets = LINK.findall(page.read_text())
    assert [t for t in targets if not (page.parent / t).exists()] == []


def _commands():
    for page in PAGES:
        for block in BLOCK.findall(page.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                if re.match(r"(\S*/)?trtllm-gateway |make ", line):
                    words = shlex.split(line, comments=True)
                    yield pytest.param(words, id=" ".join(words)[:70])


@pytest.mark.parametrize("words", list(_commands()))
def test_a_command_to_paste_exists_with_these_options(words):
    if words[0] == "make":
        makefile = (tracked.ROOT / "Makefile").read_text()
        assert re.search(rf"^{words[1]}:.*##", makefile, re.MULTILINE), f"no target {words[1]}"
        return
    command, rest = cli, words[1:]
    while isinstance(command, click.Group):
        name = rest.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"no command {name}"
        command = found
    options = {name for param in command.params for name in param.opts}
    assert {word for word in rest if word.startswith("--")} - options == set()


def test_every_make_target_for_people_is_in_the_readme_or_in_make_help():
    makefile = (tracked.ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    explained = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert targets - explained == {"dev"}


def test_environment_variables_in_the_pages_are_settings():
    config = docs.configuration()
    for page in PAGES:
        for section, key in re.findall(r"TRTGW_([A-Z]+)__([A-Z_]+)", page.read_text()):
            setting = f"`{section.lower()}.{key.lower().replace('__', '.')}`"
            assert setting in config, f"{tracked.named(page)} names {section}__{key}"
