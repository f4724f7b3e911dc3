"""The sample DAG files say what they are, in the same way."""

import ast
from pathlib import Path

import pytest

from airflow_mcp.demo.command import SAMPLES

FILES = sorted(SAMPLES.glob("*.py"))


def test_there_is_one_file_for_each_part_of_the_story():
    names = {file.stem for file in FILES}
    assert names == {"daily_sales", "does_not_import", "load_orders", "noisy_export", "slow_report"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_sample_is_unpaused_unscheduled_documented_and_tagged(file: Path):
    tree = ast.parse(file.read_text())
    assert ast.get_docstring(tree)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == file.stem)
    decorator = function.decorator_list[0]
    assert isinstance(decorator, ast.Call)
    told = {keyword.arg: keyword.value for keyword in decorator.keywords}
    assert ast.literal_eval(told["schedule"]) is None
    assert ast.literal_eval(told["is_paused_upon_creation"]) is False
    assert ast.literal_eval(told["doc_md"])
    assert len(ast.literal_eval(told["tags"])) == 2
