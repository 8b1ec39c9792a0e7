"""Lower bounds that hold whatever multipliers they are evaluated at.

An engine hands over an :class:`Evidence` (numbers: multipliers, boxes, splits); evaluating it on the
original arrays gives a bound that does not depend on how those numbers were found.
"""

from drcopt.bounds.base import Evidence as Evidence
from drcopt.bounds.base import bound_of as bound_of
from drcopt.bounds.exact import Cheapest as Cheapest
from drcopt.bounds.exact import DataProcessing as DataProcessing
from drcopt.bounds.exact import Independent as Independent
from drcopt.bounds.posterior import Leaf as Leaf
from drcopt.bounds.posterior import PosteriorTree as PosteriorTree
from drcopt.bounds.posterior import Split as Split
from drcopt.bounds.several import OfClass as OfClass
from drcopt.bounds.several import among as among
from drcopt.bounds.several import floors as floors
from drcopt.bounds.stranded import Stranded as Stranded
from drcopt.bounds.stranded import stranded as stranded
