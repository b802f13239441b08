"""Nothing in the repository ties it to one machine, one index or one network."""

import json
import re

from tests.repo import tracked

INDEX = re.compile(r"pypi\.org|pythonhosted|registry\.npmjs|--(extra-)?index-url|--find-links")
HOME = re.compile(r"(?<![\w~.<-])/(root|home/\w+|Users/\w+|work|opt)/[\w.-]")
OWN_PATTERNS = "tests/repo/test_portable.py"


def _matches(pattern):
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in tracked.texts()
        if name != OWN_PATTERNS
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_package_index_is_named():
    assert _matches(INDEX) == []


def test_no_path_of_one_machine_is_named():
    assert _matches(HOME) == []


def test_python_lock_files_pin_every_package_with_hashes_and_no_address():
    locks = sorted(tracked.ROOT.glob("requirements/**/*.txt"))
    assert len(locks) >= 7
    for lock in locks:
        text = lock.read_text()
        assert "://" not in text, lock
        pins = re.split(r"\n(?=\w)", text.strip())
        for pin in pins:
            assert re.match(r"[\w.\[\],-]+==[\w.]+ ", pin), (lock, pin)
            assert "--hash=sha256:" in pin, (lock, pin)


def test_the_node_lock_file_pins_every_package_with_a_digest_and_no_address():
    lock = json.loads((tracked.ROOT / "tests/sdk/node/package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert packages
    for name, entry in packages.items():
        assert entry["integrity"].startswith("sha512-"), name
        assert "resolved" not in entry, name


def test_each_client_release_line_is_locked_by_its_own_file():
    names = {path.stem for path in tracked.ROOT.glob("requirements/sdk/*.in")}
    assert names == {"openai-1", "openai-2", "openai-3", "node"}
    for name in names:
        assert (tracked.ROOT / f"requirements/sdk/{name}.txt").is_file()
