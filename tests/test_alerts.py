"""conf/alerts.yml: rules that Prometheus takes, over metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from smapd.http.metric_reads import Kind
from smapd.http.metric_table import DRIVER_STATES, FAMILIES, REPORT_STATES
from smapd.values import GAP_CAUSES

FILE = Path(__file__).parent.parent / "conf" / "alerts.yml"
TEXT = FILE.read_text("utf-8")
RULES = re.split(r"^      - alert: ", TEXT, flags=re.MULTILINE)[1:]
LABELS = {family.name: set(family.labels) for family in FAMILIES}
LABELS |= {f.name + "_bucket": {*f.labels, "le"} for f in FAMILIES if f.kind is Kind.HISTOGRAM}
KEYS = {"expr", "for", "labels", "annotations", "summary", "description"}

ids = [rule.splitlines()[0] for rule in RULES]


def key(rule: str, name: str) -> str:
    found = re.findall(rf"^ +{name}: (.+)$", rule, re.MULTILINE)
    assert len(found) <= 1, f"{name} twice"
    return found[0] if found else ""


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_a_rule_has_what_prometheus_and_people_need(rule: str) -> None:
    """P-12."""
    body = rule.split("\n\n")[0].splitlines()

    assert re.fullmatch(r"Smapd[A-Za-z]+", body[0])
    assert {line.split(":")[0].strip() for line in body[1:]} <= KEYS
    assert key(rule, "expr")
    assert re.fullmatch(r"(\d+[smhd])?", key(rule, "for"))
    assert re.fullmatch(r"\{severity: (critical|warning)\}", key(rule, "labels"))
    for words in ("summary", "description"):
        assert re.fullmatch(r'"[^"\\]+"', key(rule, words)), words


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_a_rule_asks_for_metrics_and_labels_that_there_are(rule: str) -> None:
    """P-12: a metric that is renamed would leave a rule that never fires."""
    expr = key(rule, "expr")
    names = re.findall(r"\bsmapd_\w+", expr)

    assert names or expr.startswith("up{")
    assert set(names) <= LABELS.keys()
    for name, inside in re.findall(r"\b(smapd_\w+)\{([^}]*)\}", expr):
        for label, _, wanted in re.findall(r'(\w+)(=~?)"([^"]*)"', inside):
            assert label in LABELS[name]
            if label == "why":
                assert set(wanted.split("|")) <= GAP_CAUSES.keys()
            if label == "state":
                states = REPORT_STATES if "report" in name else DRIVER_STATES
                assert wanted in {state.replace(" ", "_") for state in states}
    allowed = set.union({"instance"}, *(LABELS[name] for name in names))
    assert set(re.findall(r"\$labels\.(\w+)", rule)) <= allowed


@pytest.mark.parametrize("rule", RULES, ids=ids)
def test_brackets_close_and_a_range_stands_where_it_belongs(rule: str) -> None:
    expr = key(rule, "expr")

    for one, other in ("()", "[]", "{}"):
        assert expr.count(one) == expr.count(other)
    for function in re.findall(r"\b(?:rate|increase)\(([^)]*)\)", expr):
        assert re.search(r"\[\d+[smhd]\]$", function)
        assert re.match(r"smapd_\w+_(total|bucket)\b", function)  # of what only grows


def test_the_file_is_laid_out_as_a_rule_file() -> None:
    lines = [line for line in TEXT.splitlines() if line and not line.startswith("#")]

    assert lines[0] == "groups:"
    assert "\t" not in TEXT
    assert len(RULES) == len(set(ids)) > 10
    groups = re.findall(r"^  - name: (\S+)\n    rules:\n      - alert: ", TEXT, re.MULTILINE)
    assert len(groups) == len(set(groups)) == TEXT.count("- name: ")
