"""Small models with known answers, for the demonstration, the documentation and the tests."""

import math

from quincunx.graphs.arc import Arc
from quincunx.graphs.bayesian_network import BayesianNetwork
from quincunx.graphs.pdg import PDG
from quincunx.graphs.variable import Variable

NO_YES = ("no", "yes")


def weather() -> PDG:
    """Two reports about rain that disagree, and what rain does to two plans.

    The forecast gives rain 30 %, the barometer 60 %. Out of rain follow, each on its own, whether
    somebody takes an umbrella and whether there is a picnic. All confidences are 1, so every gamma
    up to 1 is in the convex regime.

    Known answers: at gamma = 0 and in the limit the probability of rain is in proportion to the
    geometric mean of the reports, at gamma = 1 to their product; the inconsistency is
    ``-2 log sum_r sqrt(forecast(r) barometer(r))`` at gamma = 0 and
    ``-log sum_r forecast(r) barometer(r)`` at gamma = 1.
    """
    rain = Variable("rain", NO_YES)
    umbrella = Variable("umbrella", NO_YES)
    picnic = Variable("picnic", NO_YES)
    return PDG(
        [
            Arc([], rain, [0.7, 0.3], label="forecast"),
            Arc([], rain, [0.4, 0.6], label="barometer"),
            Arc(rain, umbrella, [[0.9, 0.1], [0.2, 0.8]], label="habit"),
            Arc(rain, picnic, [[0.5, 0.5], [0.95, 0.05]], label="plan"),
        ]
    )


def weather_clash() -> PDG:
    """The weather with two certainties too many.

    The clouds make rain certain, the umbrella goes out exactly when it rains, and its stand is
    found full: no distribution agrees with all three, and the inconsistency is infinite. The
    forecast has no part in the clash.
    """
    rain = Variable("rain", NO_YES)
    umbrella = Variable("umbrella", NO_YES)
    hard = math.inf
    return PDG(
        [
            Arc([], rain, [0.7, 0.3], label="forecast"),
            Arc([], rain, [0.0, 1.0], beta=hard, label="clouds"),
            Arc(rain, umbrella, [[1.0, 0.0], [0.0, 1.0]], beta=hard, label="habit"),
            Arc([], umbrella, [1.0, 0.0], beta=hard, label="full stand"),
        ]
    )


def chest_clinic() -> BayesianNetwork:
    """The chest clinic: three diseases, their causes and what a doctor sees of them.

    Known answers without evidence: tuberculosis 0.0104, lung cancer 0.055, bronchitis 0.45, a
    positive X-ray 0.110290, dyspnoea 0.435971.

    Reference:
        S. Lauritzen, D. Spiegelhalter, "Local computations with probabilities on graphical
        structures and their application to expert systems", JRSS B 50, 1988, Section 2 and
        Table 1.
    """
    names = ("asia", "smoke", "tub", "lung", "bronc", "either", "xray", "dysp")
    return BayesianNetwork(
        [
            Arc([], "asia", [0.99, 0.01]),
            Arc([], "smoke", [0.5, 0.5]),
            Arc("asia", "tub", [[0.99, 0.01], [0.95, 0.05]]),
            Arc("smoke", "lung", [[0.99, 0.01], [0.9, 0.1]]),
            Arc("smoke", "bronc", [[0.7, 0.3], [0.4, 0.6]]),
            Arc(["tub", "lung"], "either", [[[1, 0], [0, 1]], [[0, 1], [0, 1]]]),
            Arc("either", "xray", [[0.95, 0.05], [0.02, 0.98]]),
            Arc(
                ["either", "bronc"],
                "dysp",
                [[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.1, 0.9]]],
            ),
        ],
        [Variable(name, NO_YES) for name in names],
    )
