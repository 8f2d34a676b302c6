"""A library that an extra brings is named where it is missing."""

import ast
import importlib
import re
import sys

import pytest

from mmdet_qrpaq.command_line import EXTRAS, run
from tiny_hosts import REPOSITORY


@pytest.mark.parametrize(
    ('name', 'extra'),
    [
        ('jinja2', 'analysis'),
        ('wandb', 'loggers'),
        ('onnxscript', 'export'),
        ('openvino', 'openvino'),
    ],
)
def test_a_missing_extra_is_named(
    name: str,
    extra: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, name, None)  # as if it were not there
    with pytest.raises(SystemExit) as stop:
        run(lambda: importlib.import_module(name))
    assert stop.value.code == 2
    (sentence,) = capsys.readouterr().err.split('\n')[1:-1]
    assert f'needs {name}, which is not installed; pip install' in sentence
    assert f"'mmdet_qrpaq[{extra}]'" in sentence


@pytest.mark.parametrize('extra', ['analysis', 'export', 'loggers'])
def test_extras_are_those_of_the_setup(extra: str) -> None:
    """The package names what `setup.py` declares."""
    tree = ast.parse((REPOSITORY / 'setup.py').read_text())
    (declared,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == extra.upper()
    )
    names = {re.split('[<>=]', entry)[0] for entry in declared}
    modules = {'scikit-learn': 'sklearn', 'mlflow-skinny': 'mlflow'}
    wanted = {modules.get(name, name) for name in names}
    assert {key for key, value in EXTRAS.items() if value == extra} == wanted
