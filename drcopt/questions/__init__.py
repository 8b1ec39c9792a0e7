"""What can be asked of a problem: quantities, the half-spaces that bound them, and the laws that Y may have."""

from drcopt.questions.output import Fixed as Fixed
from drcopt.questions.output import Free as Free
from drcopt.questions.output import Near as Near
from drcopt.questions.output import OutputLaw as OutputLaw
from drcopt.questions.quantities import CLASSIFICATION_LOSS as CLASSIFICATION_LOSS
from drcopt.questions.quantities import DISTORTION as DISTORTION
from drcopt.questions.quantities import EVERY as EVERY
from drcopt.questions.quantities import PERCEPTION as PERCEPTION
from drcopt.questions.quantities import QUANTITIES as QUANTITIES
from drcopt.questions.quantities import RATE as RATE
from drcopt.questions.quantities import Quantity as Quantity
from drcopt.questions.quantities import quantity as quantity
from drcopt.questions.region import ROUNDING as ROUNDING
from drcopt.questions.region import Piece as Piece
from drcopt.questions.region import lowered as lowered
