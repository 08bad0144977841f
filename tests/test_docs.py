"""What the documents tell a reader to type must exist."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmoe.cli import app

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]


def mentioned(pattern):
    return sorted({found for path in DOCUMENTS for found in re.findall(pattern, path.read_text())})


def test_every_make_target_in_the_documents_exists():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    missing = {name for name in mentioned(r"`make ([a-z0-9-]+)") if name not in targets}
    assert missing == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(document):
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
        assert (document.parent / link).exists(), link


def test_every_command_in_the_documents_exists():
    commands = {" ".join(found) for path in DOCUMENTS for found in commands_of(path.read_text())}
    assert len(commands) >= 8
    for command in sorted(commands):
        shown = CliRunner().invoke(app, [*command.split(), "--help"])
        assert shown.exit_code == 0, f"mmoe {command}: {shown.output}"


def commands_of(text):
    groups = {"hold", "plan", "quarantine", "retention", "train", "model"}
    for words in re.findall(r"\bmmoe ((?:[a-z-]+ ?){1,2})(?=--|[`&\n…])", text):
        name, *rest = words.split()
        yield (name, rest[0]) if name in groups and rest else (name,)


def test_every_setting_is_documented():
    from mmoe.settings import Settings

    operating = (ROOT / "docs" / "operating.md").read_text()
    missing = [name for name in Settings.model_fields if f"`MMOE_{name.upper()}`" not in operating]
    assert missing == []
