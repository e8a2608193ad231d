"""Options of fits: declared in C++ (python/csrc/likelihood/fit_options.cpp) with names, ranges and
defaults."""

import json
import math
import operator

from .._likelihood import fit_options, lasso_options, near_miss

FIT = {option["name"]: option for option in fit_options()}
LASSO = {option["name"]: option for option in lasso_options()}


class OptionError(ValueError, TypeError):
    """An argument that does not exist. A TypeError too: that is what Python raises for one."""


def refuse_unknown(what, given, known):
    """Errors: OptionError with the near miss for a name in `given` that is not in `known`."""
    for name in given:
        if name not in known:
            raise OptionError(f'{what}: unknown option "{name}"{near_miss(name, sorted(known))}')


def experts_text(experts):
    """3, "2..6", range(2, 7) as the library reads them."""
    if isinstance(experts, range) and experts.step == 1 and len(experts):
        return f"{experts[0]}..{experts[-1]}"
    if isinstance(experts, str):
        return experts
    if isinstance(experts, bool) or not hasattr(experts, "__index__"):
        raise ValueError(f'fit: expected experts as 3, "2..6" or range(2, 7), got {experts!r}')
    return str(operator.index(experts))


def as_json(options):
    """Options as the JSON text that C++ parses; None stands for the default."""
    return json.dumps({name: _plain(name, value) for name, value in options.items() if value is not None})


def _plain(name, value):
    if hasattr(value, "item"):  # NumPy's numbers
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f'fit: expected a finite number for "{name}", got {value}')
    if isinstance(value, (tuple, list)):
        return [str(item) for item in value]
    if not isinstance(value, (bool, int, float, str)):
        raise ValueError(f'fit: expected a number, text or a list of names for "{name}", got {value!r}')
    return value


def seed_of(random_state):
    """A seed as `gatewright fit --seed` takes it: whole numbers as they are; a generator or None draws
    one."""
    if random_state is None or hasattr(random_state, "randint") or hasattr(random_state, "integers"):
        import numpy

        source = numpy.random.mtrand._rand if random_state is None else random_state
        return int(source.randint(2**31) if hasattr(source, "randint") else source.integers(2**31))
    if (
        isinstance(random_state, bool)
        or not hasattr(random_state, "__index__")
        or not 0 <= operator.index(random_state) < 2**64
    ):
        raise ValueError(
            f"fit: expected a seed from 0 to 2^64 - 1, a random generator or None, got {random_state!r}"
        )
    return operator.index(random_state)


def threads_of(n_jobs):
    """Threads of one fit; 0: what OpenMP gives. Negative numbers count from the processors, as scikit-learn
    has them."""
    if n_jobs is None:
        return 0
    if (
        isinstance(n_jobs, bool)
        or not hasattr(n_jobs, "__index__")
        or operator.index(n_jobs) == 0
        or operator.index(n_jobs) > 4096
    ):
        raise ValueError(f"fit: expected n_jobs of at least 1, negative or None, got {n_jobs!r}")
    import os

    jobs = operator.index(n_jobs)
    return jobs if jobs > 0 else max(1, len(os.sched_getaffinity(0)) + 1 + jobs)
