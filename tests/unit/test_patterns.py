"""No pattern that is meant to reach the end of a text stops before a final line break."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("libs", "services", "deploy")


def patterns(path: Path) -> Iterator[tuple[int, str, ast.Call]]:
    """The literal patterns given to `re`, or to a field that is validated by one."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        of_re = (
            isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
        )
        given = [*(node.args[:1] if of_re else ()), *(each.value for each in node.keywords if each.arg == "pattern")]
        for each in given:
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                yield node.lineno, each.value, node


def is_safe(pattern: str, call: ast.Call) -> bool:
    """Whether its `$` is none, means the end of a line on purpose, or stands beside a bound on the length."""
    called = ast.unparse(call)
    of_rust = called.startswith("Field(")  # pydantic's patterns are Rust's, in which `$` is the end and nothing else
    return not re.search(r"(?<!\\)\$", pattern) or "re.MULTILINE" in called or "max_length" in called or of_rust


def test_no_pattern_lets_a_final_line_break_pass() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {pattern}"
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for line, pattern, call in patterns(path)
        if not is_safe(re.sub(r"\[[^\]]*\]", "", pattern), call)
    ]
    assert not found


def test_the_look_finds_such_patterns() -> None:
    bad = 're.compile(r"^a$"), msgspec.Meta(pattern="b$"), re.match("c$", text)'
    good = 're.compile(r"a\\Z"), re.compile("^a$", re.MULTILINE), re.compile(r"[$]\\$"), Field(pattern="a$")'
    for source, safe in ((bad, False), (good, True)):
        calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        assert len(calls) >= 3
        for call in calls:
            text = next(each for each in ast.walk(call) if isinstance(each, ast.Constant)).value
            assert isinstance(text, str)
            assert is_safe(re.sub(r"\[[^\]]*\]", "", text), call) is safe, text
