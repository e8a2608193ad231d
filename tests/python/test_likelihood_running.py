"""What a fit does to the process around it: Ctrl-C, threads, forks, the end of the interpreter.

Each would hang or crash where a fit held the GIL, used the caller's OpenMP pool (a fork then waits for
threads that are not there), or went on while the interpreter goes down.
"""

import concurrent.futures
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

import gatewright
from gatewright import likelihood
from likelihood_help import ROOT, two_lines

SITE = str(pathlib.Path(gatewright.__file__).resolve().parents[1]) if gatewright.__file__ else None
LONG = {"experts": 8, "starts": 100000, "tolerance": 0.0, "iterations": 100000}  # hours


def python(code, timeout=60, **environment):
    """Runs a program of its own. `two_lines` and `likelihood` are there."""
    head = (
        "import sys\nsys.path.insert(0, {!r})\nfrom likelihood_help import two_lines\nfrom gatewright import "
        "likelihood\nLONG = {!r}\n".format(str(ROOT / "tests" / "python"), LONG)
    )
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
    )


def fit_in_child(queue):
    x, y = two_lines(5000, seed=1)
    queue.put(likelihood.fit(x, y, starts=3).log_likelihood)


@pytest.fixture(autouse=True)
def interrupts_are_heard():
    """A shell that starts a program in the background has it ignore SIGINT."""
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, old)


@pytest.mark.parametrize("rows", [2000, 100000])
def test_ctrl_c_ends_a_fit_between_iterations(rows):
    x, y = two_lines(rows)
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        likelihood.fit(x, y, **LONG)
    assert time.monotonic() - began < 10


def test_ctrl_c_leaves_an_estimator_as_it_was():
    pytest.importorskip("sklearn")
    x, y = two_lines(2000)
    estimator = likelihood.MixtureOfExpertsRegressor(starts=2).fit(x, y)
    before = estimator.predict(x)
    estimator.set_params(**LONG)
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(x, y)
    assert np.array_equal(estimator.predict(x), before)


def test_ctrl_c_ends_a_path_and_a_prediction():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 200))
    y = x[:, 0] + rng.standard_normal(400)
    lasso = likelihood.LassoMixtureRegressor(experts=4, starts=1000, penalties=200, tolerance=0.0)
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        lasso.fit(x, y)
    x, y = two_lines(100000)
    mixture = likelihood.fit(x, y, starts=1, replacements=0)
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        mixture.predict_interval(x, of="mean")
    assert time.monotonic() - began < 30


def test_a_signal_handler_that_raises_is_obeyed_and_one_that_does_not_is_not_in_the_way():
    x, y = two_lines(2000)
    seen = []
    old = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        likelihood.fit(x, y, experts=3, starts=10)
        assert seen
        signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError("enough")))
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(TimeoutError, match="enough"):
            likelihood.fit(x, y, **LONG)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def test_other_threads_run_while_a_fit_does():
    x, y = two_lines(100000)
    ticks, done = [], threading.Event()

    def tick():
        while not done.wait(0.005):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    thread.start()
    began = time.monotonic()
    likelihood.fit(x, y, starts=1, replacements=0)
    took = time.monotonic() - began
    done.set()
    thread.join()
    assert len(ticks) > took / 0.05  # with the GIL held there would be next to none


def test_fits_in_threads_give_the_same_bits():
    x, y = two_lines(3000)
    one = likelihood.fit(x, y, experts=3, starts=4).parameters
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        many = list(pool.map(lambda _: likelihood.fit(x, y, experts=3, starts=4).parameters, range(8)))
    assert all(other == one for other in many)


@pytest.mark.parametrize("n", [300, 60000])
def test_the_number_of_threads_changes_no_bit(n):
    x, y = two_lines(n)
    fits = [likelihood.fit(x, y, starts=2, n_jobs=jobs) for jobs in (1, 2, 5, -1)]
    assert all(fit.parameters == fits[0].parameters for fit in fits)
    tables = [fits[0].prediction_table(x[:1000], y[:1000], n_jobs=jobs) for jobs in (1, 3)]
    assert all(np.array_equal(tables[0][name], tables[1][name]) for name in tables[0])


def test_a_fork_after_use_can_fit():
    x, y = two_lines(5000, seed=1)
    here = likelihood.fit(x, y, starts=3).log_likelihood  # the parent has used its threads
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=fit_in_child, args=(queue,)) for _ in range(2)]
    for child in children:
        child.start()
    assert [queue.get(timeout=60) for _ in children] == [here, here]
    for child in children:
        child.join(30)
        assert child.exitcode == 0


def test_a_fork_while_a_fit_runs_ends():
    done = python("""
        import os, threading, time
        x, y = two_lines(2000)
        threading.Thread(target=lambda: likelihood.fit(x, y, **LONG), daemon=True).start()
        time.sleep(0.3)
        child = os.fork()
        if child == 0:
            print(likelihood.fit(x, y, starts=2).experts, flush=True)
            sys.exit(0)  # would wait for the parent's fit
        print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2", "child", "0"]


@pytest.mark.parametrize("end", ["pass", "sys.exit(3)", "raise ValueError('why')"])
def test_the_interpreter_goes_down_while_fits_run(end):
    done = python(f"""
        import threading, time
        x, y = two_lines(60000)
        for _ in range(3):
            threading.Thread(target=lambda: likelihood.fit(x, y, **LONG), daemon=True).start()
        time.sleep(0.5)
        {end}
    """)
    assert done.returncode == {"pass": 0, "sys.exit(3)": 3}.get(end, 1), done.stderr
    assert "terminate" not in done.stderr and "Fatal" not in done.stderr


def test_a_fit_at_exit_is_refused_or_done_never_a_crash():
    done = python("""
        import atexit
        x, y = two_lines(500)
        mixture = likelihood.fit(x, y, starts=2)
        class Late:
            def __del__(self):
                try:
                    likelihood.fit(x, y, starts=2)
                except KeyboardInterrupt as error:
                    print(error)
        late = Late()
        sys.late = late
    """)
    assert done.returncode == 0, done.stderr


def test_neither_torch_nor_scikit_learn_is_needed():
    done = python("""
        import numpy
        x, y = two_lines(300)
        likelihood.fit(x, y, starts=2).predict(x)
        assert not {"torch", "sklearn", "pandas", "polars", "scipy"} & set(sys.modules), sorted(sys.modules)
        sys.modules["sklearn"] = None
        try:
            likelihood.MixtureOfExpertsRegressor
        except ModuleNotFoundError as error:
            print(error)
    """)
    assert done.returncode == 0, done.stderr
    assert (
        "gatewright.MixtureOfExpertsRegressor is a scikit-learn estimator, and scikit-learn is not "
        "installed: `pip install" in done.stdout
    )


def test_threadpoolctl_limits_a_fit():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    x, y = two_lines(60000)
    with threadpoolctl.threadpool_limits(1):
        before = time.process_time(), time.monotonic()
        likelihood.fit(x, y, starts=2, replacements=0)
        cpu, wall = time.process_time() - before[0], time.monotonic() - before[1]
    assert cpu < 1.3 * wall + 0.1
