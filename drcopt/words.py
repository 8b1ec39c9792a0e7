"""The words that options take: for each option its type, and the same words as a tuple for what checks at run time.

>>> UNITS
('bits', 'nats')
>>> import drcopt
>>> drcopt.information.to_nats(1.0, "bit")
Traceback (most recent call last):
drcopt.errors.InputError: units must be one of 'bits', 'nats'; it is 'bit'. Did you mean 'bits'?
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

#: Of information: rates, losses, and their budgets.
Units = Literal["bits", "nats"]
#: How rate and loss are counted: :mod:`drcopt.formulations`.
Formulation = Literal["single-letter", "time-sharing", "one-shot"]
#: What the classifier reads: the letter; also the common randomness (one-shot); all that the decoder decodes.
ClassifierSees = Literal["Y", "YU", "message"]
#: What C limits: H(S|Y), or the least probability of error of a classifier.
ClassLoss = Literal["entropy", "error"]
#: What is minimised.
Objective = Literal["distortion", "rate", "classification_loss", "perception"]
#: Who searches: :data:`drcopt.engines.ENGINES`.
Engine = Literal["auto", "newton", "global", "one-shot", "clarabel", "scs"]
#: A budget on the classification loss, or one for each of several classes by name; None: none.
LossBudget = float | Mapping[str, float | None] | None
#: How an answer is proved again.
Verify = Literal["interval"]
#: What becomes of an answer without a point.
OnFailure = Literal["raise", "return"]
#: What is proved of an answer: :data:`drcopt.solution.STATUSES`.
Status = Literal["optimal", "feasible", "near-feasible", "infeasible", "unknown"]
#: Divergences of Y's law from its target: :class:`drcopt.Perception`.
Divergence = Literal["tv", "kl", "reverse-kl", "chi2", "reverse-chi2", "hellinger", "renyi", "wasserstein"]
#: Distortions that have a name.
Distortion = Literal["hamming", "squared-error"]
#: The letters of budgets, which name the axes of pictures too.
Budget = Literal["R", "C", "D", "P"]
#: What is drawn of a table.
Picture = Literal["auto", "curve", "surface", "3d"]
#: From where a surface is seen.
View = Literal["map", "3d"]
#: How images are degraded.
Degradation = Literal["super-resolution", "denoising", "inpainting"]
#: Which inequality bounds a mean; "best": the better of the two.
Inequality = Literal["best", "bernstein", "hoeffding"]
#: By which argument samples are counted.
SampleCount = Literal["hoeffding", "bernstein", "tv", "concavity"]
#: How a claim of a theorem compares.
Relation = Literal["==", "<=", ">="]

UNITS: tuple[Units, ...] = get_args(Units)
FORMULATIONS: tuple[Formulation, ...] = get_args(Formulation)
CLASSIFIER_SEES: tuple[ClassifierSees, ...] = get_args(ClassifierSees)
CLASS_LOSSES: tuple[ClassLoss, ...] = get_args(ClassLoss)
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
ENGINES: tuple[Engine, ...] = get_args(Engine)
VERIFY: tuple[Verify, ...] = get_args(Verify)
ON_FAILURE: tuple[OnFailure, ...] = get_args(OnFailure)
STATUSES: tuple[Status, ...] = get_args(Status)
DIVERGENCES: tuple[Divergence, ...] = get_args(Divergence)
DISTORTIONS: tuple[Distortion, ...] = get_args(Distortion)
BUDGETS: tuple[Budget, ...] = get_args(Budget)
PICTURES: tuple[Picture, ...] = get_args(Picture)
VIEWS: tuple[View, ...] = get_args(View)
DEGRADATIONS: tuple[Degradation, ...] = get_args(Degradation)
INEQUALITIES: tuple[Inequality, ...] = get_args(Inequality)
SAMPLE_COUNTS: tuple[SampleCount, ...] = get_args(SampleCount)
RELATIONS: tuple[Relation, ...] = get_args(Relation)

__all__ = [
    "BUDGETS", "CLASSIFIER_SEES", "CLASS_LOSSES", "DEGRADATIONS", "DISTORTIONS", "DIVERGENCES", "ENGINES",
    "FORMULATIONS", "INEQUALITIES", "OBJECTIVES", "ON_FAILURE", "PICTURES", "RELATIONS", "SAMPLE_COUNTS", "STATUSES",
    "UNITS", "VERIFY", "VIEWS", "Budget", "ClassLoss", "ClassifierSees", "Degradation", "Distortion", "Divergence",
    "Engine", "Formulation", "Inequality", "LossBudget", "Objective", "OnFailure", "Picture", "Relation", "SampleCount",
    "Status", "Units", "Verify", "View",
]  # fmt: skip
