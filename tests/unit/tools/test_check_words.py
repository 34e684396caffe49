"""Risk: a check that overlooks the words it is there for, or that rejects proper English."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3]))
pytest.importorskip("tools", reason="the tools are not part of what is installed")

from tools import check_words

REPOSITORY = Path(__file__).parents[3]


def tree(root: Path, files: dict[str, str]) -> Path:
    """A repository with these files: path -> content."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    (root / "src").mkdir(parents=True, exist_ok=True)
    return root


def banned(root: Path, source: str) -> list[str]:
    return [each.word for each in check_words.check(tree(root, {"src/app.py": source})).banned]


def phrases(root: Path, source: str) -> list[str]:
    return [f"{each.line}: {each.word}" for each in check_words.check(tree(root, {"src/app.py": source})).phrases]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("found = 1", ["found"]),
        ("found_blocks = 1", ["found in found_blocks"]),
        ("class WholeStream: pass", ["whole in WholeStream"]),
        ("def wholeStream(): pass", ["whole in wholeStream"]),
        ("class HTTPFate: pass", ["fate in HTTPFate"]),
        ("MAX_STAY = 1", ["stay in MAX_STAY"]),
        ("stay2 = 1", ["stay in stay2"]),
        ("async def mended(): pass", ["mended"]),
        ("def read(said): pass", ["said"]),
        ("def read(*told, **kept): pass", ["told", "kept"]),
        ("lambda asked: 1", ["asked"]),
        ("self.news = 1", ["news"]),
        ("print(self.halves)", ["halves"]),
        ("for fence in x: pass", ["fence"]),
        ("with x as place: pass", ["place"]),
        ("import x as crew", ["crew"]),
        ("try: pass\nexcept E as given: pass", ["given"]),
        ("match x:\n  case [bear, *goes]: pass\n  case {**care}: pass", ["bear", "goes", "care"]),
        ("[x for gone in y]", ["gone"]),
        ("x: int = (made := 1)", ["made"]),
        ("def connection_made_once(): pass", ["made in connection_made_once"]),
        ("class RouteNotFound: pass", ["found in RouteNotFound"]),
        ("found_and_kept = 1", ["found in found_and_kept"]),  # once, although two parts are banned
    ],
)
def test_banned_identifiers(source: str, words: list[str], tmp_path: Path) -> None:
    assert sorted(banned(tmp_path, source)) == sorted(words)


@pytest.mark.parametrize(
    "source",
    [
        "place_breakpoints = 1",
        "class Connection:\n  def connection_made(self): pass",
        "metadata.PackageNotFoundError",
        "class ModelNotFound(EndpointNotFound): pass",
        "placeholder = foundation = Marketplace = storytold = careful = 1",
        "print(found)",  # a plain read repeats the assignment
        "read(found=1)",  # a keyword repeats the argument
        "'found'",
        "import found",
    ],
)
def test_allowed_identifiers(source: str, tmp_path: Path) -> None:
    assert banned(tmp_path, source) == []


def test_modules_and_packages_are_names_too(tmp_path: Path) -> None:
    report = check_words.check(tree(tmp_path, {"src/crew/__init__.py": "", "src/app/census.py": ""}))
    assert [str(each) for each in report.banned] == ["src/app/census.py:1: census", "src/crew/__init__.py:1: crew"]
    assert report.identifiers == 2


def test_the_figure_is_occurrences_per_1000(tmp_path: Path) -> None:
    source = "found = 1\nfound = 2\n" + "".join(f"name{n} = x.attribute\n" for n in range(198)) + "read()\n"
    report = check_words.check(tree(tmp_path, {"src/app.py": source}))
    assert report.identifiers == 1 + 2 + 2 * 198
    assert report.banned_per_1000 == pytest.approx(1000 * 2 / 399)
    assert [each.line for each in report.banned] == [1, 2]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("# for nobody", ["1: nobody"]),
        ("x = 1  # Somebody and everybody", ["1: everybody", "1: somebody"]),
        ('"""To mend,\n\nmends, mended and mending."""', ["1: mend", "3: mended", "3: mending", "3: mends"]),
        ("x = 'this is no number'", ["1: is no"]),
        ("# these are no\n# numbers", ["1: are no"]),
        ("# it is\n# no number", ["1: is no"]),
        ("x = (\n  'it is'\n  ' no number')", ["2: is no"]),
        ("x = f'{y} is no {z}'", ["1: is no"]),
        ("x = f'{\"it is no number\"}'", ["1: is no"]),
        ("'''``x`` is no ``y``.'''", ["1: is no"]),
        ("# There is no x. It is no x.", ["1: is no"]),
    ],
)
def test_banned_phrases(source: str, words: list[str], tmp_path: Path) -> None:
    assert sorted(phrases(tmp_path, source)) == words


@pytest.mark.parametrize(
    "source",
    [
        "# there is no x, there are no y, and there is\n# no z",
        "# it is no longer there",
        "# the answer is no",
        "# is no-op",
        "# amend, recommended, commend",
        "x = 'nobody'",  # one word is data
        "nobody = 1",
        "# it is\n\n# no number",  # two comments
    ],
)
def test_allowed_phrases(source: str, tmp_path: Path) -> None:
    assert phrases(tmp_path, source) == []


def test_markdown_without_its_code(tmp_path: Path) -> None:
    page = (
        "It is no x.\n\n```sh\nnobody\n```\n\n- a list\n  ~~~~\n  somebody\n  ~~~\n  mend\n  ~~~~\n"
        "`nobody`, ``some ` body: nobody``, `a\nnobody`\n\n"
        "It is no `x`: everybody.\nLone ` here, nobody\n\nand ` there.\n"
    )
    report = check_words.check(tree(tmp_path, {"README.md": page, "docs/adr/0001.md": "mend", "other/x.md": "mend"}))
    assert [str(each) for each in report.phrases] == [
        "README.md:1: is no", "README.md:16: is no", "README.md:16: everybody", "README.md:17: nobody",
        "docs/adr/0001.md:1: mend",
    ]  # fmt: skip


def test_an_open_code_block_reaches_the_end(tmp_path: Path) -> None:
    assert check_words.check(tree(tmp_path, {"README.md": "nobody\n```\nnobody\n"})).phrases == [
        check_words.Occurrence("README.md", 1, "nobody")
    ]


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    script = REPOSITORY / "tools" / "check_words.py"
    return subprocess.run(
        [sys.executable, str(script), *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_the_command_fails_above_the_bounds_only(tmp_path: Path) -> None:
    names = "".join(f"name{n} = 1\n" for n in range(998))
    root = tree(tmp_path / "a", {"src/app.py": names + "found = 1\n", "README.md": "nobody\n" * 19})
    result = run(str(root), cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "1.0 banned per 1,000 (1 of 1,000)" in result.stdout
    assert "phrases: 19;" in result.stdout

    tree(root, {"src/app.py": names + "found = kept = 1\n"})
    result = run("--list", "a", cwd=tmp_path)
    assert result.returncode == 1
    assert "src/app.py:999: found\n" in result.stdout
    assert "README.md:19: nobody\n" in result.stdout
    assert result.stderr.startswith("error: too many identifiers")
    assert "\nhint: " in result.stderr

    tree(root, {"src/app.py": names, "README.md": "nobody\n" * 20})
    result = run(str(root), cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("error: too many banned phrases")


def test_a_folder_without_source_is_an_error(tmp_path: Path) -> None:
    result = run(str(tmp_path), cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("error: there is no folder")


def test_without_an_argument_it_checks_its_own_repository(tmp_path: Path) -> None:
    result = run("--list", cwd=tmp_path)
    count = int(result.stdout.rpartition(" of ")[2].partition(")")[0].replace(",", ""))
    assert count > 10_000
