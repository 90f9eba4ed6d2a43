"""The stub of the compiled module is true: what it defines, and the parameters of each function."""

import ast
import inspect
from pathlib import Path

import pytest

import pylstm
from pylstm._dispatch import kernels

STUB = ast.parse(Path(pylstm.__file__).with_name("_core.pyi").read_text())
FUNCTIONS = {node.name: node for node in STUB.body if isinstance(node, ast.FunctionDef)}
CLASSES = {node.name for node in STUB.body if isinstance(node, ast.ClassDef)}


def without_annotations(parameters):
    """Source of a function's parameters: names, order, kinds and defaults."""
    for node in ast.walk(parameters):
        if isinstance(node, ast.arg):
            node.annotation = None
    return ast.unparse(parameters)


def test_stub_has_what_the_compiled_module_defines():
    compiled = {
        name
        for name, thing in vars(kernels).items()
        if getattr(thing, "__module__", None) == kernels.__name__ and not name.startswith("_")
    }
    assert compiled == FUNCTIONS.keys() | CLASSES


@pytest.mark.parametrize("name", FUNCTIONS)
def test_stub_has_the_parameters_of_the_compiled_function(name):
    signature = str(inspect.signature(getattr(kernels, name)))
    assert f"({without_annotations(FUNCTIONS[name].args)})" == signature
