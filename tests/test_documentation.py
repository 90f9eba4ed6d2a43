"""Docstrings: every parameter with its default, every attribute, examples that run."""

import ast
import doctest
import importlib
import inspect
import re

import pytest
from helpers.estimators import LABELS, X, classifier, model, y

from pylstm import LSTMClassifier, LSTMRegressor

for_estimators = pytest.mark.parametrize("estimator", [LSTMRegressor, LSTMClassifier])


def documentation(estimator):
    return inspect.getdoc(estimator)  # dedented, whatever the version of Python


@for_estimators
def test_docstring_gives_every_parameter_with_its_default(estimator):
    documented = dict(re.findall(r"^(\w+) : .*default=(.+)$", documentation(estimator), re.M))
    defaults = estimator().get_params()
    assert documented.keys() == defaults.keys()
    for name, default in defaults.items():
        assert ast.literal_eval(documented[name]) == default, name


@for_estimators
def test_docstring_lists_every_learned_attribute(estimator):
    make, targets = (model, y) if estimator is LSTMRegressor else (classifier, LABELS)
    fitted = make(early_stopping=True).fit(X, targets)
    learned = {name for name in dir(fitted) if re.fullmatch(r"[a-z]\w*_", name)}
    section = documentation(estimator).split("Attributes\n")[1].split("See Also\n")[0]
    documented = set(re.findall(r"^(\w+) : ", section, re.M))
    assert documented == learned | {"feature_names_in_"}


@for_estimators
def test_docstring_examples_run(estimator):
    result = doctest.testmod(importlib.import_module(estimator.__module__))
    assert result.attempted > 0
    assert result.failed == 0


def test_parameters_are_those_of_the_regressor_but_for_what_concerns_targets():
    of_classifier, of_regressor = LSTMClassifier().get_params(), LSTMRegressor().get_params()
    assert of_classifier.keys() - of_regressor.keys() == {"class_weight"}
    of_targets = {"loss", "quantile", "target_features", "highway"}
    assert of_regressor.keys() - of_classifier.keys() == of_targets
    for name in of_classifier.keys() & of_regressor.keys():
        assert of_classifier[name] == of_regressor[name], name
