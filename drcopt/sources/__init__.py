"""Ready-made problems: the Bernoulli and Gaussian families, real images, and files."""

from drcopt.sources import idx as idx
from drcopt.sources.bernoulli import bernoulli as bernoulli
from drcopt.sources.files import NAMES as NAMES
from drcopt.sources.files import named as named
from drcopt.sources.files import save as save
from drcopt.sources.gaussian import gaussian_grid as gaussian_grid
from drcopt.sources.images import ImageSource as ImageSource
from drcopt.sources.images import image_source as image_source
from drcopt.sources.images import images as images
