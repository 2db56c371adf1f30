"""Evidence that is not certain, as arcs: a new distribution to move to, or likelihoods to weigh by.

Both rest on one identity. Let every arc of a graph have alpha = 1 and beta = gamma, and let the
arcs form a Bayesian network, or be the cluster conditionals of :meth:`Beliefs.to_pdg`; call the
distribution p. Then ``IDef(mu) + sum_a E KL(mu(T_a|S_a) || p(T_a|S_a)) = D(mu || p)``, since the
conditional entropies cancel, so that the score of the graph at gamma is ``gamma D(mu || p)``.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from quincunx._errors import ModelError
from quincunx.graphs.arc import Arc
from quincunx.graphs.table import Names, names_of


def soft_evidence(
    variables: Names, distribution: ArrayLike, *, confidence: float = math.inf
) -> Arc:
    """Return the arc that says: what was learned is that ``variables`` have this distribution q.

    At gamma = 1, added to a network with confidences 1 (or to ``beliefs.to_pdg()``), whose
    distribution is p, it gives the score ``D(mu || p) + confidence KL(mu(X) || q)``. By the chain
    rule ``D(mu || p) = KL(mu(X) || p(X)) + E KL(mu(.|x) || p(.|x))`` the optimum keeps every
    ``p(.|x)`` and has ``mu(x)`` in proportion to ``p(x)^(1/(1+c)) q(x)^(c/(1+c))``, c being the
    confidence:

    - c = inf is Jeffrey's rule, ``mu(y) = sum_x p(y|x) q(x)``;
    - c = 0 changes nothing, and c in between mixes p(X) and q geometrically.

    The same holds at any gamma if the network's beta is gamma, with c/gamma in place of c. At other
    gamma in the convex regime, and in the limit 0+, it holds for a variable without parents, with
    c/beta in place of c: score and ``D`` are least together where all other tables are kept.
    Elsewhere the arcs into X resist by their own confidences, which is not Jeffrey's rule.

    Several such arcs hold at once; Jeffrey's rule applied one after the other, which depends on the
    order, is ``infer(answer.beliefs.to_pdg() + soft_evidence(...), gamma=1)`` each time.

    Arguments:
        variables: X, one variable or name or several.
        distribution: q, of shape (states of X...), >= 0, total 1.
        confidence: c, the arc's beta, in [0, inf].

    Returns:
        An arc without sources, with alpha = 0: what is observed is no mechanism.

    Raises:
        ModelError: q is not a distribution over the states, or the confidence is not in [0, inf].

    Example:
        >>> rain, grass = Variable("rain", [0, 1]), Variable("grass", ["dry", "wet"])
        >>> network = BayesianNetwork(
        ...     [Arc([], rain, [0.8, 0.2]), Arc(rain, grass, [[0.9, 0.1], [0.3, 0.7]])]
        ... )
        >>> seen = soft_evidence("grass", [0.25, 0.75])
        >>> answer = infer(network.to_pdg() + seen, gamma=1)
        >>> p = infer(network).query("rain", {"grass": "dry"}).values[1]
        >>> q = infer(network).query("rain", {"grass": "wet"}).values[1]
        >>> abs(float(answer.query("rain").values[1] - (0.25 * p + 0.75 * q))) < 1e-6
        True

    Reference:
        R. C. Jeffrey, "The Logic of Decision", 1965, Chapter 11.
    """
    label = f"soft evidence on {', '.join(names_of(variables))}"
    return Arc((), variables, distribution, 0.0, confidence, label)


def virtual_evidence(variables: Names, likelihoods: ArrayLike, *, gamma: float = 1.0) -> Arc:
    """Return the arc that says: what was seen has these likelihoods in the states of X.

    With likelihoods lambda, scaled to total 1, and beta = gamma alpha, it adds ``-gamma E[log
    lambda(X)]`` to the score and no entropy. Added to a graph whose score is ``gamma D(mu || p)``,
    it makes the optimum ``mu(w)`` in proportion to ``p(w) lambda(x)``, Bayes' rule (Pearl's virtual
    evidence), with inconsistency ``-gamma log sum_x p(x) lambda(x)``. So it does for every graph
    with beta = gamma alpha throughout, such as a factor graph; the answer is exact, by sum-product.
    Elsewhere it still adds that term, but the optimum is not the old one times lambda.

    Only ratios count. ``lambda = q / p(X)`` gives what :func:`soft_evidence` gives for q.

    Arguments:
        variables: X, one variable or name or several.
        likelihoods: of shape (states of X...), >= 0 and not all 0: ``p(what was seen | x)`` up to a
            factor. Zeros exclude states.
        gamma: the gamma at which the graph will be solved, > 0.

    Returns:
        An arc without sources, with alpha = 1 and beta = gamma.

    Raises:
        ModelError: a likelihood is negative or not finite, all are 0, or gamma is not in (0, inf).

    Example:
        >>> rain = Variable("rain", ["no", "yes"])
        >>> prior = PDG([Arc([], rain, [0.8, 0.2])])
        >>> heard = virtual_evidence(rain, [1, 4])  # four times as likely if it rains
        >>> infer(prior + heard, gamma=1).query("rain").to_dict()
        {'no': 0.5, 'yes': 0.5}

    Reference:
        J. Pearl, "Probabilistic Reasoning in Intelligent Systems", 1988, Section 2.2.2; H. Chan,
        A. Darwiche, "On the revision of probabilistic beliefs using uncertain evidence", Artificial
        Intelligence 163, 2005.
    """
    label = f"virtual evidence on {', '.join(names_of(variables))}"
    try:
        weights = np.array(likelihoods, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{label}: likelihoods must be numbers: {error}") from None
    if not ((weights >= 0) & (weights < math.inf)).all() or not weights.any():
        raise ModelError(
            f"{label}: likelihoods must be finite numbers >= 0, not all of them 0; got "
            f"{weights.tolist()}"
        )
    if not 0 < gamma < math.inf:
        raise ModelError(f"{label}: gamma must be a number in (0, inf), not {gamma!r}")
    weights /= weights.max()  # so that no sum overflows
    return Arc((), variables, weights / weights.sum(), 1.0, gamma, label)
