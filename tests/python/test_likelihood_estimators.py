"""Estimators drop into scikit-learn: its own checks, searches, pipelines, pickles."""

import inspect
import pickle

import numpy as np
import pytest

from likelihood_help import two_lines

sklearn = pytest.importorskip("sklearn", reason="scikit-learn is not installed")
from sklearn.base import clone  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from gatewright import likelihood  # noqa: E402
from gatewright.likelihood import (  # noqa: E402
    LassoMixtureRegressor,
    MixtureOfExpertsClassifier,
    MixtureOfExpertsRegressor,
)

# What scikit-learn asks of every estimator and these do not give, each with its reason.
NOT_GIVEN = {
    "check_sample_weight_equivalence_on_dense_data": "30 columns on 13 rows with weight have no maximum; "
    "test_likelihood_weights.py has data with one",
    "check_array_api_input": "arrays of other libraries are not offered; where this check runs, its two "
    "redundant columns are refused by name",
}
ESTIMATORS = [
    MixtureOfExpertsRegressor(),
    MixtureOfExpertsRegressor(experts=1),
    MixtureOfExpertsRegressor(family="student_t", starts=2),
    MixtureOfExpertsClassifier(starts=3),
    LassoMixtureRegressor(starts=1),
]


def reasons(estimator):
    return (
        {"check_array_api_input": NOT_GIVEN["check_array_api_input"]}
        if isinstance(estimator, LassoMixtureRegressor)
        else NOT_GIVEN
    )


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=reasons)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "kind, declared",
    [
        (MixtureOfExpertsRegressor, "FIT"),
        (MixtureOfExpertsClassifier, "FIT"),
        (LassoMixtureRegressor, "LASSO"),
    ],
)
def test_parameters_are_the_librarys_options_with_its_defaults(kind, declared):
    from gatewright.likelihood import _options

    options = getattr(_options, declared)
    own = {"formula", "factors", "missing", "random_state", "n_jobs"}
    given = {name: parameter.default for name, parameter in inspect.signature(kind).parameters.items()}
    without = {
        MixtureOfExpertsClassifier: {"family", "replacements", "narrow_experts", "least_scale"},
        MixtureOfExpertsRegressor: {"class_ridge"},
    }
    assert set(given) == (set(options) | own) - without.get(kind, set())
    for name in set(given) - own - {"gate_inputs", "expert_inputs", "penalty"}:
        default = options[name]["default"]
        number = (
            isinstance(given[name], (int, float)) and not isinstance(given[name], bool) and name != "experts"
        )
        same = float(default) == given[name] if number else str(given[name]).lower() == default.strip('"')
        assert same, (name, default, given[name])


def test_the_number_of_experts_is_found_by_a_search():
    x, y = two_lines(600)
    search = GridSearchCV(
        MixtureOfExpertsRegressor(starts=3),
        {"experts": [1, 2], "family": ["gaussian", "laplace"]},
        cv=3,
        scoring=lambda estimator, x, y: estimator.log_density(x, y).mean(),
    )
    search.fit(x, y)
    assert search.best_params_ == {"experts": 2, "family": "gaussian"}
    assert search.best_estimator_.n_experts_ == 2
    assert (
        cross_val_score(MixtureOfExpertsRegressor(2, starts=3), x, y, cv=3).mean()
        > cross_val_score(MixtureOfExpertsRegressor(1), x, y, cv=3).mean() + 0.1
    )


def test_searches_run_in_processes_of_their_own():
    x, y = two_lines(300)
    MixtureOfExpertsRegressor(starts=2).fit(x, y)
    one = cross_val_predict(MixtureOfExpertsRegressor(starts=2), x, y, cv=2)
    assert np.array_equal(one, cross_val_predict(MixtureOfExpertsRegressor(starts=2), x, y, cv=2, n_jobs=2))


def test_pipelines_scale_what_goes_in():
    x, y = two_lines(400)
    pipe = make_pipeline(StandardScaler(), MixtureOfExpertsRegressor(starts=3)).fit(1e6 + 1000 * x, y)
    plain = MixtureOfExpertsRegressor(starts=3).fit(x, y)
    assert np.allclose(pipe.predict(1e6 + 1000 * x), plain.predict(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "estimator",
    [
        MixtureOfExpertsRegressor(starts=2, gate="top_k"),
        MixtureOfExpertsClassifier(starts=2),
        LassoMixtureRegressor(starts=1, penalties=4),
    ],
)
def test_pickles_answer_with_the_same_bits(estimator):
    x, y = two_lines(300)
    x = np.column_stack([x, x**2])
    y = y > 0 if isinstance(estimator, MixtureOfExpertsClassifier) else y
    fitted = clone(estimator).fit(x, y)
    copy = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(copy.predict(x), fitted.predict(x))
    assert np.array_equal(copy.responsibilities(x, y), fitted.responsibilities(x, y))
    assert copy.summary() == fitted.summary()
    assert np.array_equal(clone(fitted).fit(x, y).predict(x), fitted.predict(x))


def test_criteria_scores_and_errors_are_those_of_the_mixture():
    x, y = two_lines(500)
    m = MixtureOfExpertsRegressor(experts="1..3", starts=3).fit(x, y)
    parameters, likelihood_ = 8, m.log_likelihood_
    assert m.n_experts_ == 2
    assert m.log_density(x, y).sum() == pytest.approx(likelihood_, rel=1e-12)
    assert m.aic() == pytest.approx(-2 * likelihood_ + 2 * parameters)
    assert m.bic() == pytest.approx(-2 * likelihood_ + parameters * np.log(500))
    share = m.responsibilities(x, y)
    assert np.allclose(share.sum(axis=1), 1)
    entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
    assert m.icl() == pytest.approx(m.bic() + 2 * entropy)
    assert len(m.standard_errors_) == len(m.parameter_names_) == parameters
    at = m.parameter_names_.index("expert 1: x0")
    assert abs(m.coef_[0, 0] - (-2 if m.coef_[0, 0] < 0 else 3)) < 4 * m.standard_errors_[at]
    assert 0.3 < m.score(x, y) < 1
    mean = (m.gate_probabilities(x) * (m.intercept_ + x * m.coef_.T)).sum(axis=1)
    assert np.allclose(mean, m.predict(x))


def test_labels_of_all_kinds_come_back_as_they_were():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 2))
    place = (x[:, 0] + 0.5 * rng.standard_normal(300) > 0).astype(int) + (
        x[:, 1] + 0.5 * rng.standard_normal(300) > 1
    )
    for labels in (
        np.array([2, 10, 1]),
        np.array(["b", "a", "ä"]),
        np.array([2.0, -1.0, 10.0]),
        np.array([True, False, True]),
    ):
        y = labels[place]
        m = MixtureOfExpertsClassifier(1, class_ridge=0.01).fit(x, y)
        assert m.predict(x).dtype == y.dtype
        assert m.score(x, y) > 0.6
        proba = m.predict_proba(x)
        assert np.allclose(proba.sum(axis=1), 1)
        assert np.array_equal(m.classes_[proba.argmax(axis=1)], m.predict(x))
        assert np.allclose(np.exp(m.log_density(x, y)), proba[np.arange(300), np.searchsorted(m.classes_, y)])


def test_wrong_names_and_values_are_told_with_what_was_meant():
    x, y = two_lines(100)
    with pytest.raises(
        ValueError, match=r'MixtureOfExpertsRegressor: unknown option "famly"; did you mean "family"\?'
    ):
        MixtureOfExpertsRegressor(famly="laplace")
    with pytest.raises(TypeError):  # what Python says of such an argument
        MixtureOfExpertsRegressor(famly="laplace")
    with pytest.raises(ValueError, match=r'unknown option "expert"; did you mean "experts"\?'):
        MixtureOfExpertsRegressor().set_params(expert=3)
    for options, message in {
        "experts='many'": 'as 3 or 2..6, got "many"',
        "experts=2.5": "expected experts as 3",
        "experts=0": "range of experts from 1 up",
        "experts=1000": "no more experts than rows",
        "family='gausian'": 'did you mean "gaussian"?',
        "family='multinomial'": "use MixtureOfExpertsClassifier",
        "criterion='bik'": 'did you mean "bic"?',
        "starts=0": 'expected "starts" (starts of each fit) in 1',
        "starts='3'": "expected an integer",
        "ridge=float('nan')": 'expected a finite number for "ridge"',
        "tolerance=2.0": 'expected "tolerance"',
        "random_state=-1": "expected a seed",
        "random_state='a'": "expected a seed",
        "n_jobs=0": "expected n_jobs",
        "missing='keep'": "missing",
        "gate_inputs=['z']": 'no input "z"',
        "activation='tanhh', gate='modified'": 'did you mean "tanh"?',
        "gate='top_k', top_k=5": "top_k",
        "formula='y ~ x0'": "expected a frame",
    }.items():
        with pytest.raises(ValueError) as error:
            eval(f"MixtureOfExpertsRegressor({options})").fit(x, y)
        assert message in str(error.value), (options, str(error.value))
    fitted = MixtureOfExpertsRegressor(starts=2).fit(x, y)
    with pytest.raises(ValueError, match="level between 0 and 1, got 95"):
        fitted.predict_interval(x, level=95)
    with pytest.raises(ValueError, match=r'unknown value "means" for "of"; did you mean "mean"\?'):
        fitted.predict_interval(x, of="means")


def test_data_that_cannot_be_fitted_are_refused_with_the_place():
    x, y = two_lines(100)
    for data, target, message in (
        (np.column_stack([x, x]), y, 'column "x1" is determined'),
        (np.column_stack([x, np.ones(100)]), y, 'column "x1" is constant'),
        (x, np.ones(100), "the response is constant"),
        (x[:2], y[:2], "expected at least 3 rows"),
        (x * 1e80, y, "change its unit"),
    ):
        with pytest.raises(ValueError, match=message):
            MixtureOfExpertsRegressor(starts=1).fit(data, target)
    with pytest.raises(ValueError, match="row 3: expected a weight of 0 or more, got -1"):
        MixtureOfExpertsRegressor(starts=1).fit(x, y, sample_weight=np.r_[1.0, 1, -1, np.ones(97)])
    with pytest.raises(ValueError, match="one class"):
        MixtureOfExpertsClassifier().fit(x, np.ones(100, int))
    with pytest.raises(ValueError, match='unknown class "7"'):
        MixtureOfExpertsClassifier(starts=1).fit(x, y > 0).responsibilities(x, np.full(100, 7))


def test_what_does_not_converge_warns():
    x, y = two_lines(200)
    with pytest.warns(sklearn.exceptions.ConvergenceWarning, match="no convergence after 2 iterations"):
        MixtureOfExpertsRegressor(iterations=2, replacements=0, start="random").fit(x, y)


def test_seeds_may_be_generators():
    x, y = two_lines(200)
    fits = [
        MixtureOfExpertsRegressor(starts=2, random_state=make(5)).fit(x, y).log_likelihood_
        for make in (np.random.RandomState, np.random.default_rng)
        for _ in range(2)
    ]
    assert fits[0] == fits[1] and fits[2] == fits[3]
    assert likelihood.fit(x, y, starts=2, seed=None).experts == 2
