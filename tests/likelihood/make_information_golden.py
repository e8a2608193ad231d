#!/usr/bin/env python3
"""Writes tests/likelihood/golden/information.json: what a fit prints, at fixed parameters, computed apart from the library.

Usage: tests/likelihood/make_information_golden.py [OUT]     needs Debian's python3-mpmath and python3-numpy; 10 minutes on two cores

Every family with every gate, without and with weights. The formulas of docs/statistics.md stand below once, as a log density; all
derivatives are differences of it with steps of 1e-55 in 180 digits, so that no rule of differentiation is shared with the library and
50 digits are right. The parameters are near the maximum (found here in double precision), because standard errors have a meaning there
only. A case whose search ends at infinity or on a border of a top-k gate draws its rows again.

Two parts are definitions rather than mathematics, and are those of docs/statistics.md: Laplace's kink adds its expectation under the
model, w pi / s^2, to the information, and a kernel estimate, w 2 t [abs(r) < h] / 2 h s, to the bread of the robust errors.
"""
import itertools
import json
import math
import multiprocessing
import pathlib
import random
import sys

import mpmath
import numpy

ROWS, CLASSES, REPEATED = 120, 3, 60
FAMILIES = ["gaussian", "laplace", "student_t", "multinomial"]
GATES = [("softmax", "identity"), ("top_k", "identity"), ("top_k_without_bias", "identity"), ("dense_to_sparse", "identity"),
         ("dense_to_sparse", "tanh"), ("dense_to_sparse", "sigmoid"), ("dense_to_sparse", "gelu"), ("modified", "tanh"),
         ("modified", "sigmoid")]
MODIFIED_SCALE = 0.8  # modified gates see M(0.8 x)


class Double:
    """The functions of a log density in double precision and for all rows at once, for the search; mpmath.mp has the same ones."""
    exp, log, tanh, erf, sqrt, pi = numpy.exp, numpy.log, numpy.tanh, numpy.vectorize(math.erf), numpy.sqrt, math.pi
    loggamma = math.lgamma


def activated(m, name, u):
    if name == "tanh":
        return m.tanh(u)
    if name == "sigmoid":
        return 1 / (1 + m.exp(-u))
    return u * (1 + m.erf(u / m.sqrt(2))) / 2 if name == "gelu" else u


class Model:
    """Gates see column 0, experts both columns (classes: column 1). `theta` holds logarithms of what is positive."""

    def __init__(self, family, gate, activation):
        self.family, self.gate, self.activation = family, gate, activation
        self.experts = 3 if gate.startswith("top_k") else 2
        self.tempered = gate == "dense_to_sparse"
        self.columns = [1] if family == "multinomial" else [0, 1]
        self.outputs = CLASSES - 1 if family == "multinomial" else 1
        self.own = self.outputs * (1 + len(self.columns)) + {"multinomial": 0, "student_t": 2}.get(family, 1)
        self.first_expert = 2 * (self.experts - 1) + self.tempered
        self.size = self.first_expert + self.experts * self.own
        self.positive = [self.tempered and i == 2 for i in range(self.first_expert)]
        for _ in range(self.experts):
            extra = self.own - self.outputs * (1 + len(self.columns))
            self.positive += [False] * (self.own - extra) + [True] * extra

    def scores(self, m, theta, x):
        """z of all experts, and what top-k gates rank by."""
        z, rank = [], []
        for k in range(self.experts):
            last = k + 1 == self.experts
            bias, slope = (0, 0) if last else theta[2 * k : 2 * k + 2]
            if self.tempered:
                z.append(activated(m, self.activation, slope * x[0]) / m.exp(theta[2]) + bias)
            else:
                v = activated(m, self.activation, MODIFIED_SCALE * x[0]) if self.gate == "modified" else x[0]
                z.append(bias + slope * v)
            rank.append(slope * x[0] if self.gate == "top_k_without_bias" else z[-1])
        return z, rank

    def active(self, theta, x):
        """1 for the experts that the gate selects for a row, 0 for the others."""
        if not self.gate.startswith("top_k"):
            return [1] * self.experts
        _, rank = self.scores(Double, [float(t) for t in theta], x)
        return [int(sum(other > own for other in rank) < 2) for own in rank]

    def priors(self, m, theta, x, active):
        part = [chosen * m.exp(z) for chosen, z in zip(active, self.scores(m, theta, x)[0])]
        return [value / sum(part) for value in part]

    def predictors(self, theta, k, x):
        width = 1 + len(self.columns)
        at = self.first_expert + k * self.own
        return [theta[at + s * width] + sum(theta[at + s * width + 1 + j] * x[c] for j, c in enumerate(self.columns))
                for s in range(self.outputs)]

    def density(self, m, theta, k, x, y, smooth):
        eta = self.predictors(theta, k, x)
        if self.family == "multinomial":
            return m.exp(sum(is_class * value for is_class, value in zip(y, eta))) / (1 + sum(m.exp(value) for value in eta))
        scales = theta[self.first_expert + k * self.own + self.outputs * (1 + len(self.columns)) :]
        s = m.exp(scales[0])
        r = (y - eta[0]) / s
        if self.family == "gaussian":
            return m.exp(-r * r / 2) / (s * m.sqrt(2 * m.pi))
        if self.family == "laplace":
            return m.exp(-(m.sqrt(r * r + smooth) if smooth else abs(r))) / (2 * s)
        v = m.exp(scales[1])
        front = m.exp(m.loggamma((v + 1) / 2) - m.loggamma(v / 2))
        return front / (m.sqrt(v * m.pi) * s) * m.exp(-(v + 1) / 2 * m.log(1 + r * r / v))

    def joint(self, m, theta, x, y, active, smooth=0):
        prior = self.priors(m, theta, x, active)
        return [prior[k] * self.density(m, theta, k, x, y, smooth) for k in range(self.experts)]

    def log_density(self, m, theta, x, y, active, smooth=0):
        return m.log(sum(self.joint(m, theta, x, y, active, smooth)))


def indicators(chosen):
    return [int(chosen == c) for c in range(CLASSES)]


def truth(model):
    if model.gate.startswith("top_k"):
        theta = [0.3, -0.8, 0.2, 0.8] if model.gate == "top_k_without_bias" else [0.6, -0.4, 0.6, 0.4]
    else:
        theta = [0.3, 1.2] + ([math.log(0.4)] if model.tempered else [])
    lines = [(95, 4, 0.8, 4), (108, -3, -0.9, 6), (100, 8, 0.2, 5)]
    classes = [(2.4, -0.05, -1.6, 0.05), (-3.2, 0.09, 1.6, -0.06), (0.5, 0.02, -3.0, 0.06)]
    for k in range(model.experts):
        if model.family == "multinomial":
            theta += list(classes[k])
        else:
            theta += list(lines[k][:3]) + [math.log(lines[k][3])] + ([math.log(4)] if model.family == "student_t" else [])
    return theta


def draw(model, seed):
    """Rows in pairs x0, -x0 of one weight: the weighted mean of column 0 is 0. No x0 lies at a border of the true top-k gate."""
    rng = random.Random(seed)
    theta, x, y, weight = truth(model), [], [], []
    for i in range(ROWS // 2):
        low, high = ((0.1, 0.8) if i % 2 else (2.3, 3.2)) if model.gate.startswith("top_k") else (0.05, 3.0)
        at, shared = round(rng.uniform(low, high), 3), round(rng.uniform(0.95, 1.05), 3)
        for sign in (1, -1):
            x.append([sign * at, round(40 + 7 * rng.gauss(0, 1), 2)])
            weight.append(shared)
    for row in x:
        prior = model.priors(Double, theta, row, model.active(theta, row))
        k = rng.choices(range(model.experts), prior)[0]
        s, noise = math.exp(theta[model.first_expert + k * model.own + 3]), rng.gauss(0, 1)
        if model.family == "laplace":
            noise = rng.expovariate(1) * rng.choice((-1, 1))
        if model.family == "student_t":
            noise /= math.sqrt(sum(rng.gauss(0, 1) ** 2 for _ in range(4)) / 4)
        y.append(round(model.predictors(theta, k, row)[0] + s * noise, 3))
    return x, y, weight, [1] * ROWS


def draw_classes(model, seed):
    """Every x with every class, repeated (or weighted) in proportion to the true probabilities: the truth is the maximum up to rounding."""
    rng = random.Random(seed)
    theta, x, y, weight, times = truth(model), [], [], [], []
    for i in range(10):
        at = round((0.15 + 0.06 * i if i % 2 else 2.0 + 0.11 * i), 2)
        for sign in (1, -1):
            row = [sign * at, round(40 + 7 * rng.gauss(0, 1), 1)]
            active = model.active(theta, row)
            for c in range(CLASSES):
                share = float(sum(model.joint(Double, theta, row, indicators(c), active)))
                x.append(row), y.append(c), weight.append(round(6 * share, 6)), times.append(round(REPEATED * share))
    return x, y, weight, times


def differences(f, theta, h):
    """Value, gradient and second derivatives of f by central differences, for the search."""
    size = len(theta)

    def at(*steps):
        moved = list(theta)
        for i, step in steps:
            moved[i] += step
        return f(moved)

    value = at()
    up, down = [at((i, h[i])) for i in range(size)], [at((i, -h[i])) for i in range(size)]
    gradient = numpy.array([(up[i] - down[i]) / (2 * h[i]) for i in range(size)])
    second = numpy.zeros((size, size))
    for i in range(size):
        second[i, i] = (up[i] - 2 * value + down[i]) / h[i] ** 2
        for j in range(i):
            both = at((i, h[i]), (j, h[j])) - up[i] - up[j] + value
            both += at((i, -h[i]), (j, -h[j])) - down[i] - down[j] + value
            second[i, j] = second[j, i] = both / (2 * h[i] * h[j])
    return value, gradient, second


def maximum(model, x, y, kept):
    """Newton's method from the truth inside one arrangement of active experts; None where it leads away."""
    theta = list(truth(model))
    active = [numpy.array(of) for of in zip(*[model.active(theta, row) for row in x])]
    columns = [numpy.array(of) for of in zip(*x)]
    response = [numpy.array(of) for of in zip(*map(indicators, y))] if model.family == "multinomial" else numpy.array(y)
    smooth = 0.01 if model.family == "laplace" else 0
    unit = numpy.ones(model.size)
    for k, s in itertools.product(range(model.experts), range(model.outputs)):
        unit[model.first_expert + k * model.own + (s + 1) * (1 + len(model.columns)) - 1] = 0.02  # column 1 is about 40

    def f(at):
        with numpy.errstate(all="ignore"):
            value = numpy.sum(model.log_density(Double, at, columns, response, active, smooth))
        return value if numpy.isfinite(value) else -math.inf

    damping = 1.0
    for _ in range(60):
        value, gradient, second = differences(f, theta, 1e-4 * unit)
        if not numpy.isfinite(second).all():
            return None
        scale = numpy.sqrt(numpy.maximum(numpy.abs(numpy.diag(second)), 1e-8))
        information = -second / numpy.outer(scale, scale)
        step = numpy.zeros(model.size)
        while damping < 1e8:
            matrix = (information + damping * numpy.eye(model.size))[numpy.ix_(kept, kept)]
            step[kept] = numpy.linalg.solve(matrix, (gradient / scale)[kept])
            moved = [float(t) for t in numpy.array(theta) + step / scale]
            if numpy.linalg.eigvalsh(matrix)[0] > 0 and f(moved) >= value:
                break
            damping *= 4
        else:
            break
        theta, damping = moved, max(damping / 10, 1e-12)
        if numpy.max(numpy.abs(step)) < 1e-7:
            break
    at_border = any(model.active(theta, row) != list(chosen) for row, chosen in zip(x, zip(*active)))
    return None if at_border or numpy.max(numpy.abs(theta[: model.first_expert])) > 12 else theta


def exact_rows(model, theta, x, y):
    """Per row: value, gradient, second derivatives, by forward differences. With steps of 1e-55 in 180 digits they are right to 55."""
    m = mpmath.mp
    h = m.mpf(10) ** -55
    blocks = [range(model.first_expert)] + [range(model.first_expert + k * model.own, model.first_expert + (k + 1) * model.own)
                                            for k in range(model.experts)]
    point, rows = [m.mpf(t) for t in theta], []
    for row, value in zip(x, y):
        active, memory = model.active(theta, row), {}
        row = [m.mpf(v) for v in row]
        response = indicators(value) if model.family == "multinomial" else m.mpf(value)

        def part(b, steps):
            """The gate's probabilities (b = 0) or an expert's density after steps along some of its own parameters."""
            key = (b, *(i for i in steps if i in blocks[b]))
            if key not in memory:
                moved = list(point)
                for i in key[1:]:
                    moved[i] += h
                memory[key] = model.density(m, moved, b - 1, row, response, 0) if b else model.priors(m, moved, row, active)
            return memory[key]

        def at(*steps):
            prior = part(0, steps)
            return m.log(sum(prior[k] * part(k + 1, steps) for k in range(model.experts)))

        here = at()
        up = [at(i) for i in range(model.size)]
        gradient = [(value - here) / h for value in up]
        second = [[(at(j, i) - up[i] - up[j] + here) / h**2 for j in range(i + 1)] for i in range(model.size)]
        rows.append((here, gradient, second))
    return rows


def kinks(model, theta, x, y, weight):
    """Laplace: per row and expert (expected kink, kernel estimate), divided by the row's weight."""
    m = mpmath.mp
    theta = [m.mpf(t) for t in theta]
    posteriors, priors = [], []
    for row, value in zip(x, y):
        active = model.active(theta, row)
        joint = model.joint(m, theta, row, m.mpf(value), active)
        posteriors.append([part / sum(joint) for part in joint])
        priors.append(model.priors(m, theta, row, active))
    result = []
    for k in range(model.experts):
        s = m.exp(theta[model.first_expert + k * model.own + 3])
        held = sum(w * t[k] for w, t in zip(weight, posteriors))
        # Hall and Sheather (1988) at the median and the level 0.95, a constant to four digits as in the documentation
        width = m.sqrt(m.pi / 2) * s * m.sqrt(2 * m.pi) * min(m.mpf("0.9716") / m.cbrt(max(held, 1)), m.mpf("0.4"))
        result.append([(priors[i][k] / s**2,
                        2 * posteriors[i][k] / s * (1 / (2 * width) if abs(y[i] - model.predictors(theta, k, x[i])[0]) < width else 0))
                       for i in range(len(x))])
    return result


def sums(model, theta, x, y, weight, rows):
    """Log-likelihood, score, outer products, information, the bread of the robust errors, entropy."""
    m, size = mpmath.mp, model.size
    weight = [m.mpf(w) for w in weight]
    likelihood = sum(w * row[0] for w, row in zip(weight, rows))
    score = [sum(w * row[1][i] for w, row in zip(weight, rows)) for i in range(size)]
    outer = m.matrix(size, size)
    information = m.matrix(size, size)
    for i, j in itertools.product(range(size), repeat=2):
        outer[i, j] = sum(w * row[1][i] * row[1][j] for w, row in zip(weight, rows))
        information[i, j] = -sum(w * row[2][max(i, j)][min(i, j)] for w, row in zip(weight, rows))
    bread = information.copy()
    if model.family == "laplace":
        for k, of in enumerate(kinks(model, theta, x, y, weight)):
            at = model.first_expert + k * model.own
            for row, w, (expected, estimated) in zip(x, weight, of):
                features = [m.mpf(1)] + [m.mpf(row[c]) for c in model.columns]
                for i, j in itertools.product(range(3), repeat=2):
                    information[at + i, at + j] += w * expected * features[i] * features[j]
                    bread[at + i, at + j] += w * estimated * features[i] * features[j]
    entropy = m.mpf(0)
    for row, value, w in zip(x, y, weight):
        joint = model.joint(m, [m.mpf(t) for t in theta], [m.mpf(v) for v in row], indicators(value) if model.family == "multinomial" else m.mpf(value),
                            model.active(theta, row))
        entropy -= w * sum(t / sum(joint) * m.log(t / sum(joint)) for t in joint if t > 0)
    return likelihood, score, outer, information, bread, entropy


def inverse(matrix, kept):
    part = mpmath.matrix(len(kept), len(kept))
    for (a, i), (b, j) in itertools.product(enumerate(kept), repeat=2):
        part[a, b] = matrix[i, j]
    return mpmath.inverse(part)


def errors(covariance, model, theta, kept, told):
    result = [None] * model.size
    for a, i in enumerate(kept):
        unit = mpmath.exp(theta[i]) if model.positive[i] else 1
        if told[i] and covariance[a, a] > 0:
            result[i] = float(unit * mpmath.sqrt(covariance[a, a]))
    return result


def mean_and_error(model, theta, covariance, kept, x):
    m, h = mpmath.mp, mpmath.mpf(10) ** -55
    point, row = [m.mpf(t) for t in theta], [m.mpf(v) for v in x]

    def mean(at):
        prior = model.priors(m, at, row, model.active(theta, x))
        return sum(prior[k] * model.predictors(at, k, row)[0] for k in range(model.experts))

    gradient = m.matrix([(mean(point[:i] + [point[i] + h] + point[i + 1 :]) - mean(point)) / h for i in kept])
    return float(mean(point)), float(m.sqrt((gradient.T * covariance * gradient)[0]))


def reported(model, theta, x, y, weight, rows, kept, told):
    likelihood, score, outer, information, bread, entropy = sums(model, theta, x, y, weight, rows)
    covariance, crust, total = inverse(information, kept), inverse(bread, kept), sum(mpmath.mpf(w) for w in weight)
    middle = mpmath.matrix(len(kept), len(kept))
    for (a, i), (b, j) in itertools.product(enumerate(kept), repeat=2):
        middle[a, b] = outer[i, j]
    step = covariance * mpmath.matrix([score[i] for i in kept])
    gate_steps = [float(abs(step[a])) for a, i in enumerate(kept) if i < model.first_expert or model.family == "multinomial"]
    free = mpmath.matrix([[information[i, j] for j in kept] for i in kept])
    usable = min(mpmath.eigsy(free, eigvals_only=True)) > 0
    bic = -2 * likelihood + model.size * mpmath.log(total)
    result = {"log_likelihood": float(likelihood), "score": [float(v) for v in score],
              "information": [float(information[i, j]) for i in range(model.size) for j in range(i + 1)],
              "error": errors(covariance, model, theta, kept, told), "robust_error": errors(crust * middle * crust, model, theta, kept, told),
              "aic": float(-2 * likelihood + 2 * model.size), "bic": float(bic), "icl": float(bic + 2 * entropy)}
    if model.family != "multinomial":
        result["predictions"] = [[at, *mean_and_error(model, theta, covariance, kept, at)] for at in ([0.7, 45.0], [-2.2, 31.5])]
    return result, usable and max(gate_steps) < 0.025


def case(name):
    """A gate with a linear score and a temperature determines their ratio alone: the temperature is held, and neither has an error."""
    family, (gate, activation) = name
    mpmath.mp.dps = 180
    model = Model(family, gate, activation)
    free_ratio = model.tempered and activation == "identity"
    kept = [i for i in range(model.size) if not (free_ratio and i == 2)]
    told = [not (free_ratio and i in (1, 2)) for i in range(model.size)]
    classes = family == "multinomial"
    for seed in itertools.count(1):
        x, y, weight, times = (draw_classes if classes else draw)(model, seed)
        theta = truth(model) if classes else maximum(model, x, y, kept)
        if theta is None or (family == "student_t" and not all(0.4 < theta[model.first_expert + k * 5 + 4] < 4 for k in range(model.experts))):
            continue
        # The library reads natural units: what is logged here is the double that it is given.
        natural = [math.exp(t) if positive else t for t, positive in zip(theta, model.positive)]
        theta = [mpmath.log(mpmath.mpf(t)) if positive else mpmath.mpf(t) for t, positive in zip(natural, model.positive)]
        rows = exact_rows(model, theta, x, y)
        plain, usable = reported(model, theta, x, y, times, rows, kept, told)
        weighted, too = reported(model, theta, x, y, weight, rows, kept, told)
        print(f"{family} {gate} {activation}: rows of seed {seed}: {usable} {too}", file=sys.stderr, flush=True)
        if classes and not usable:  # whole repetitions are too coarse to be a maximum: errors are those of the weighted rows alone
            usable, plain["error"], plain["robust_error"] = True, None, None
        if usable and too:
            return {"family": family, "gate": gate, "activation": activation, "experts": model.experts, "parameters": natural, "x": x, "y": y,
                    "times": times, "weight": weight, "plain": plain, "weighted": weighted}


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "golden" / "information.json")
    with multiprocessing.Pool(2) as pool:
        cases = list(pool.imap(case, itertools.product(FAMILIES, GATES)))
    out.write_text("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
