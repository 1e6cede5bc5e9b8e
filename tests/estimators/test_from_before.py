"""Pickles and model files from before the house had rooms open: classes are found by the names of then."""

import json
import pickle
import zipfile

import pytest
from sklearn.datasets import load_iris

import xent
from xent.export import model_file

NAMES = {
    "SoftmaxRegression": "xent.estimators",
    "SoftmaxRegressionCV": "xent.cv",
    "SoftmaxPath": "xent.path",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_pickle_names_the_class_as_it_always_did(name):
    """What a pickle of then holds of the class, in the protocol that is readable, is found; and those of now
    open where xent is as old."""
    then = f"c{NAMES[name]}\n{name}\n.".encode()
    assert pickle.loads(then) is getattr(xent, name)
    assert f"{NAMES[name]}\n{name}" in pickle.dumps(getattr(xent, name), 0).decode()


def test_a_model_file_does_too(tmp_path):
    path = tmp_path / "model.xent"
    model_file.save(path, xent.SoftmaxRegression().fit(*load_iris(return_X_y=True)), {})
    with zipfile.ZipFile(path) as archive:
        schema = archive.read("schema.json").decode()
    assert '"__module__": "xent.estimators"' in json.dumps(json.loads(schema))
