"""The faults that :mod:`benchmarks.mutants` plants, by what they touch."""

from benchmarks.mutations import answers, around, bounds, pricing, proofs, surfaces
from benchmarks.mutations.mutant import Mutant as Mutant

MUTANTS = (*bounds.MUTANTS, *pricing.MUTANTS, *answers.MUTANTS, *proofs.MUTANTS, *around.MUTANTS, *surfaces.MUTANTS)
