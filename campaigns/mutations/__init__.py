"""The faults that :mod:`campaigns.mutants` plants, by what they touch."""

from campaigns.mutations import answers, around, bounds, pricing, proofs, surfaces
from campaigns.mutations.mutant import Mutant as Mutant

MUTANTS = (*bounds.MUTANTS, *pricing.MUTANTS, *answers.MUTANTS, *proofs.MUTANTS, *around.MUTANTS, *surfaces.MUTANTS)
