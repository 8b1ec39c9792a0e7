"""What is minimised: a problem, two budgets in nats, and how rate and classification loss are counted.

==============  ========================  ==========================  =================================
formulation     minimise E d(X,Y) over    rate counted as             classification loss counted as
==============  ========================  ==========================  =================================
single-letter   couplings P in Γ(px,py)   I(X;Y)                      H(S|Y)
time-sharing    mixtures of couplings,    Σ λ_q I_q(X;Y)              Σ λ_q H_q(S|Y)
                each in Γ(px,py)
one-shot        mixtures of maps f with   Σ λ_f H(f(X))               "Y": H(S|Y) of the mixed coupling
                Σ λ_f P_f in Γ(px,py)                                 "YU": Σ λ_f H(S|f(X))
==============  ========================  ==========================  =================================
"""

from drcopt.formulations.base import Formulation as Formulation
from drcopt.formulations.base import Part as Part
from drcopt.formulations.base import Question as Question
from drcopt.formulations.capped import Capped as Capped
from drcopt.formulations.decisions import Decided as Decided
from drcopt.formulations.decisions import Decisions as Decisions
from drcopt.formulations.decisions import MapDecisions as MapDecisions
from drcopt.formulations.decisions import MessageDecisions as MessageDecisions
from drcopt.formulations.decisions import SharedDecisions as SharedDecisions
from drcopt.formulations.one_shot import OneShot as OneShot
from drcopt.formulations.several import Several as Several
from drcopt.formulations.several import SeveralMessages as SeveralMessages
from drcopt.formulations.single_letter import Message as Message
from drcopt.formulations.single_letter import SingleLetter as SingleLetter
from drcopt.formulations.time_sharing import TimeSharing as TimeSharing
from drcopt.words import FORMULATIONS, ClassifierSees

__all__ = [
    "CLASSIFIER_SEES", "NAMES", "Capped", "Decided", "Decisions", "Formulation", "MapDecisions", "Message",
    "MessageDecisions", "OneShot", "Part", "Question", "Several", "SeveralMessages", "SharedDecisions", "SingleLetter",
    "TimeSharing",
]  # fmt: skip

NAMES = FORMULATIONS

#: What the classifier may see where py is given and the decoder's letter is all that it gets.
CLASSIFIER_SEES: tuple[ClassifierSees, ...] = ("Y", "YU")
