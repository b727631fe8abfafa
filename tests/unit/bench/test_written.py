"""What a run of the benchmark writes is what the documents show."""

import json
import re
from typing import Any

from tests.bench.report import plots, table, write

WRITTEN: dict[str, Any] = json.loads(write.RESULTS.read_text())


def test_the_readmes_table_says_what_was_measured() -> None:
    printed = write.README.read_text().split(table.BEGIN)[1].split(table.END)[0]
    assert printed.strip() == table.markdown(WRITTEN).strip()


def test_the_plots_beside_the_documents_are_those_of_the_figures() -> None:
    shown = plots.index(WRITTEN["scenarios"])
    assert (write.PLOTS / "README.md").read_text() == shown
    assert {path.name for path in write.PLOTS.glob("*.svg")} == set(re.findall(r"\]\((\S+\.svg)\)", shown))


def test_every_link_of_the_plots_index_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", (write.PLOTS / "README.md").read_text())
    assert links
    assert [link for link in links if not (write.PLOTS / link).exists()] == []
