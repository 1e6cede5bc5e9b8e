import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from xent import SoftmaxRegressionCV


@parametrize_with_checks([SoftmaxRegressionCV(Cs=3, cv=3)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_scikit_learns_checks(estimator, check):
    check(estimator)
