"""Ready-made problems: the Bernoulli and Gaussian families, real images, and files."""

from drcopt.sources import idx as idx
from drcopt.sources.bernoulli import bernoulli as bernoulli
from drcopt.sources.files import NAMES as NAMES
from drcopt.sources.files import named as named
from drcopt.sources.files import read_json as read_json
from drcopt.sources.files import save as save
from drcopt.sources.gaussian import gaussian_grid as gaussian
from drcopt.sources.gaussian import gaussian_grid as gaussian_grid
from drcopt.sources.gaussian import standard_grid as standard_grid
from drcopt.sources.images import ImageSource as ImageSource
from drcopt.sources.images import image_source as image_source
from drcopt.sources.images import images as images

__all__ = [
    "NAMES", "ImageSource", "bernoulli", "gaussian", "gaussian_grid", "idx", "image_source", "images", "named",
    "read_json", "save", "standard_grid",
]  # fmt: skip
