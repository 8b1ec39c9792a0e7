"""Proof files, by their public name; :mod:`drcopt.certify.proof` writes them."""

from drcopt.certify.proof import differences as differences
from drcopt.certify.proof import interval as interval
from drcopt.certify.proof import save as save
from drcopt.certify.proof import to_dict as to_dict
from drcopt.certify.proof import verdict as verdict

__all__ = ["differences", "interval", "save", "to_dict", "verdict"]
