"""The cone-program engine: values, multipliers, bounds that hold, one compilation, and solvers that misbehave."""

import math
import subprocess
import sys

import numpy as np
import pytest
import scs

from drcopt.certify.certificate import best_bound, certify
from drcopt.engines import expcone
from drcopt.engines.base import Limits
from drcopt.engines.cones import Answer, Program
from drcopt.engines.expcone import ExpCone
from drcopt.formulations import SingleLetter
from drcopt.problem import Problem
from drcopt.support import clock

BITS = math.log(2.0)
SOLVERS = ("clarabel", "scs")

# Three letters, two classes; its rate-only optimum leads the convex-concave procedure into a worse local optimum.
THREE = Problem(
    [0.15712539931540903, 0.4945109245758327, 0.34836367610875835],
    [0.2537995528439637, 0.08074043646421922, 0.665460010691817],
    [
        [0.01901663773881078, 0.9809833622611892],
        [0.3824543372126664, 0.6175456627873336],
        [0.8838802935247041, 0.11611970647529596],
    ],
    [[0.468, 0.569, 0.624], [0.122, 0.7, 0.608], [0.851, 0.316, 0.514]],
)
# Four letters, three classes.
FOUR = Problem(
    [0.32098341756518395, 0.10350318604461244, 0.4212540031227765, 0.1542593932674272],
    [0.3495526018894333, 0.10349794599450984, 0.31852163393438704, 0.22842781818166982],
    [
        [0.026513941877737875, 0.08395953083425318, 0.8895265272880089],
        [0.14656201082760764, 0.3678328929129914, 0.48560509625940096],
        [0.3489207909074998, 0.2627938077184061, 0.3882854013740942],
        [0.8628677703547647, 0.0004444494324069708, 0.1366877802128283],
    ],
    [
        [0.262, 0.907, 0.631, 0.414],
        [0.145, 0.359, 0.111, 0.819],
        [0.11, 0.103, 0.405, 0.766],
        [0.476, 0.655, 0.871, 0.771],
    ],
)
# (problem, R, C, optimum) in bits, the optimum certified to 1e-5 by branch and bound.
CERTIFIED = [
    (THREE, 0.8, 0.9264, 0.449058),
    (THREE, 0.8, 0.8824, 0.460361),
    (FOUR, 0.8, 1.285, 0.315831),
    (FOUR, 0.8, 1.2596, 0.319085),
]


def question(problem: Problem, R: float, C: float = math.inf) -> SingleLetter:
    """Budgets in bits."""
    return SingleLetter(problem, R * BITS, C * BITS)


def bernoulli(px: float, py: float, p1: float = 0.1) -> Problem:
    return Problem([1 - px, px], [1 - py, py], [[1 - p1, p1], [p1, 1 - p1]], "hamming")


def random_problem(rng: np.random.Generator, n: int, m: int, k: int) -> Problem:
    px, py, W = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m)), rng.dirichlet(np.ones(k), n)
    return Problem(px, py, W, rng.random((n, m)))


def solve(formulation: SingleLetter, solver: str = "clarabel", *, seconds: float = math.inf):
    """The engine's proposal and the certificate's judgement of it."""
    proposal = ExpCone(solver).propose(formulation, Limits(1e-6, clock.now() + seconds))
    return proposal, certify(formulation, proposal.parts, *proposal.evidence)


@pytest.fixture(scope="module")
def engine() -> ExpCone:
    return ExpCone("clarabel")


class TestRateOnly:
    @pytest.mark.parametrize("solver", SOLVERS)
    @pytest.mark.parametrize(
        ("px", "py", "values"),
        [
            (0.5, 0.5, [0.369127748985, 0.316019346324, 0.214501744860, 0.110027864438, 0.041692690274]),
            (0.3, 0.3, [0.307233677896, 0.260362354673, 0.169946421675, 0.077101441689, 0.018630891387]),
            (0.3, 0.4, [0.341203887204, 0.292671345928, 0.200585833896, 0.111787009342, 0.1]),
        ],
    )
    def test_bernoulli_curve(self, solver, px, py, values):
        engine, problem = ExpCone(solver), bernoulli(px, py)
        for R, value in zip((0.05, 0.1, 0.25, 0.5, 0.75), values, strict=True):
            formulation = question(problem, R)
            proposal = engine.propose(formulation, Limits(1e-6))
            (part,) = proposal.parts
            assert problem.distortion(part.coupling) == pytest.approx(value, abs=1e-6)
            certificate = certify(formulation, proposal.parts, *proposal.evidence)
            assert certificate.upper - certificate.lower < 1e-7
            assert proposal.classification_multiplier == 0.0

    @pytest.mark.parametrize("seed", range(12))
    def test_weak_duality_and_almost_no_gap(self, seed):
        """bound(f, α) ≤ D(R) ≤ E d, the outer two equal to solver accuracy; a wrong dual sign would break it."""
        rng = np.random.default_rng(seed)
        problem = random_problem(rng, *rng.integers(2, 10, 2), 2)
        rate = rng.uniform(0.02, 1.1) * min(problem.entropy_x, problem.entropy_y)
        formulation = SingleLetter(problem, rate, math.inf)
        proposal = ExpCone().propose(formulation, Limits(1e-6))
        bound = best_bound(formulation, proposal.evidence)
        value = problem.distortion(proposal.parts[0].coupling)
        assert value - 1e-8 <= bound <= value + 1e-12
        assert formulation.rate(proposal.parts) <= formulation.rate_budget + 1e-15

    def test_rate_multiplier_is_the_slope(self, engine):
        """−dD/dR = α, by central differences."""
        problem, step = random_problem(np.random.default_rng(5), 5, 4, 2), 1e-3
        low, middle, high = (
            engine.propose(SingleLetter(problem, 0.3 + shift, math.inf), Limits(1e-6)) for shift in (-step, 0, step)
        )
        drop = problem.distortion(low.parts[0].coupling) - problem.distortion(high.parts[0].coupling)
        assert middle.rate_multiplier == pytest.approx(drop / (2 * step), rel=1e-4)

    @pytest.mark.parametrize("atom", [1e-6, 1e-12, 1e-100, 1e-300])
    def test_tiny_atoms(self, atom):
        rng = np.random.default_rng(1)
        px, py = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4))
        px[0], py[1] = atom, atom
        problem = Problem(px / px.sum(), py / py.sum(), rng.dirichlet(np.ones(2), 4), rng.random((4, 4)))
        _, certificate = solve(question(problem, 0.4))
        assert certificate.upper - certificate.lower < 1e-7

    @pytest.mark.parametrize("R", [0.0, 1e-9, math.inf])
    @pytest.mark.parametrize("C", [0.0, 0.5, math.inf])
    def test_ends_do_not_crash(self, R, C):
        _, certificate = solve(question(bernoulli(0.3, 0.4), R, C))
        assert certificate.lower <= certificate.upper

    def test_one_letter_and_one_class(self):
        _, certificate = solve(question(Problem([1.0], [0.4, 0.6], [[1.0]], [[0.0, 1.0]]), 0.5, 0.1))
        assert certificate.upper == pytest.approx(0.6)
        assert certificate.lower == pytest.approx(0.6, abs=1e-7)


class TestClassification:
    @pytest.mark.parametrize(("problem", "R", "C", "optimum"), CERTIFIED)
    def test_reference_values(self, engine, problem, R, C, optimum):
        """The raw point meets every budget and is the certified optimum; the bound is below it."""
        formulation = question(problem, R, C)
        proposal = engine.propose(formulation, Limits(1e-6))
        (part,) = proposal.parts
        assert problem.distortion(part.coupling) == pytest.approx(optimum, abs=1e-4)
        np.testing.assert_allclose(part.coupling.sum(axis=1), problem.px, atol=1e-12)
        np.testing.assert_allclose(part.coupling.sum(axis=0), problem.py, atol=1e-12)
        assert formulation.rate(proposal.parts) <= formulation.rate_budget
        assert formulation.classification_loss(proposal.parts) <= formulation.classification_budget
        certificate = certify(formulation, proposal.parts, *proposal.evidence)
        assert optimum - 0.025 < certificate.lower <= optimum + 1e-5

    def test_scs_agrees(self):
        problem, R, C, optimum = CERTIFIED[2]
        _, certificate = solve(question(problem, R, C), "scs")
        assert certificate.upper == pytest.approx(optimum, abs=1e-5)
        assert certificate.upper - certificate.lower < 1e-5

    def test_multipliers_are_the_slopes(self, engine):
        """−dD/dR and −dD/dC, by central differences where the optimum is smooth."""

        def value(R, C):
            formulation = SingleLetter(FOUR, R, C)
            return FOUR.distortion(engine.propose(formulation, Limits(1e-6)).parts[0].coupling)

        R, C, step = 0.8 * BITS, 1.285 * BITS, 1e-4
        proposal = engine.propose(SingleLetter(FOUR, R, C), Limits(1e-6))
        slope_rate = (value(R - step, C) - value(R + step, C)) / (2 * step)
        slope_loss = (value(R, C - step) - value(R, C + step)) / (2 * step)
        assert proposal.rate_multiplier == pytest.approx(slope_rate, rel=1e-2)
        assert proposal.classification_multiplier == pytest.approx(slope_loss, rel=1e-2)

    @pytest.mark.parametrize("k", [2, 3])
    def test_bound_beats_rate_only(self, k):
        """The multipliers found are worth more than those of the problem without a classification budget."""
        rng = np.random.default_rng(7 + k)
        problem = random_problem(rng, 5, 5, k)
        free, _ = solve(question(problem, 0.8))
        loss = problem.classification_loss(free.parts[0].coupling)
        least = problem.entropy_s - 0.8 * BITS * problem.contraction
        formulation = SingleLetter(problem, 0.8 * BITS, loss - 0.2 * (loss - least))
        proposal, certificate = solve(formulation)
        assert certificate.lower >= best_bound(formulation, free.evidence) - 1e-9
        assert certificate.lower <= certificate.upper
        assert proposal.classification_multiplier > 0 or proposal.parts is None

    def test_slack_budget_needs_one_program(self, engine):
        proposal = engine.propose(question(THREE, 0.8, 0.96), Limits(1e-6))
        assert proposal.stats["programs"] == 1
        assert proposal.classification_multiplier == 0.0

    def test_too_little_rate_is_proved_infeasible(self):
        """η R < H(S) − C: I(S;Y) ≤ η I(X;Y) cannot reach the budget."""
        formulation = question(bernoulli(0.5, 0.5), 0.1, 0.9)
        proposal, certificate = solve(formulation)
        assert proposal.parts is None
        assert certificate.infeasible
        assert "rate budget" in proposal.termination

    def test_useless_classes_are_proved_infeasible(self):
        problem = Problem([0.4, 0.6], [0.5, 0.5], [[0.7, 0.3], [0.7, 0.3]], "hamming")
        assert solve(question(problem, 0.5, 0.8))[1].infeasible
        _, certificate = solve(question(problem, 0.5, 0.9))
        assert certificate.upper - certificate.lower < 1e-7

    def test_infeasible_without_a_shortcut(self):
        """H(S) − ηR = 0.6998 bits would allow 0.705: no start succeeds, and better multipliers prove that none can."""
        formulation = question(bernoulli(0.5, 0.1, 0.1), 0.5, 0.705)
        proposal, certificate = solve(formulation)
        assert proposal.parts is None
        assert "clarabel last returned" in proposal.termination
        assert certificate.infeasible

    def test_warm_start_is_a_start_and_nothing_else(self):
        formulation = question(THREE, 0.8, 0.9264)
        proposal = ExpCone().propose(formulation, Limits(1e-6))
        assert proposal.warm["posterior"].shape == (2, 3)
        again = ExpCone().propose(formulation, Limits(1e-6), proposal.warm)
        first, second = (THREE.distortion(p.parts[0].coupling) for p in (proposal, again))
        assert second == pytest.approx(first, abs=1e-8)
        nothing = np.full((5, 5), np.nan)
        for foreign in ({"potentials": nothing}, {"posterior": nothing}, {"posterior": -np.ones((2, 3))}):
            other = ExpCone().propose(formulation, Limits(1e-6), foreign)
            assert THREE.distortion(other.parts[0].coupling) == pytest.approx(first, abs=1e-8)


class TestCompilation:
    def test_one_compilation_serves_a_sweep(self, monkeypatch):
        from cvxpy.reductions.dcp2cone.cone_matrix_stuffing import ConeMatrixStuffing

        stuffed = []
        original = ConeMatrixStuffing.apply
        monkeypatch.setattr(ConeMatrixStuffing, "apply", lambda self, p: stuffed.append(1) or original(self, p))
        engine = ExpCone()
        for R in (0.1, 0.2, 0.4, 0.8):
            proposal = engine.propose(question(FOUR, R), Limits(1e-6))
        assert len(stuffed) == 1
        assert proposal.stats["compile_seconds"] == 0.0
        for C in (1.29, 1.285, 1.28):
            assert engine.propose(question(FOUR, 0.8, C), Limits(1e-6)).stats["programs"] > 2
        assert len(stuffed) == 2  # a second program for active classification budgets

    def test_programs_follow_the_problem(self):
        """Many problems through one engine: right answers, few programs kept."""
        engine = ExpCone()
        for px in (0.1, 0.2, 0.3, 0.4, 0.45, 0.1):
            problem = bernoulli(px, px)
            proposal = engine.propose(question(problem, 0.2), Limits(1e-6))
            np.testing.assert_allclose(proposal.parts[0].coupling.sum(axis=1), problem.px, atol=1e-12)
        assert len(engine._programs) <= 4

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_answers_do_not_depend_on_earlier_questions(self, solver):
        engine = ExpCone(solver)
        first = engine.propose(question(FOUR, 0.8, 1.285), Limits(1e-6))
        engine.propose(question(FOUR, 0.8, 1.288), Limits(1e-6))
        again = engine.propose(question(FOUR, 0.8, 1.285), Limits(1e-6))
        np.testing.assert_array_equal(first.parts[0].coupling, again.parts[0].coupling)
        assert len({best_bound(question(FOUR, 0.8, 1.285), one.evidence) for one in (first, again)}) == 1

    def test_scs_takes_ctrl_c_for_itself(self, monkeypatch):
        """Its handler ends its loop with a status of its own, which is not one more failure."""
        program = Program(FOUR, "scs", classification=False)
        program.set(R=0.3)
        program.solve()
        assert program.answer().status == "optimal"
        honest = scs.solve

        def interrupted(*arguments, **settings):
            raw = honest(*arguments, **settings)
            return raw | {"info": raw["info"] | {"status": "interrupted", "status_val": scs.SIGINT}}

        monkeypatch.setattr("scs.solve", interrupted)
        with pytest.raises(KeyboardInterrupt):
            program.solve()

    def test_cvxpy_is_imported_on_use_only(self):
        code = "import sys, drcopt.engines.expcone as e; e.ExpCone('scs'); sys.exit('cvxpy' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _lie(**changes):
    """A fault that alters a true answer."""

    def fault(program, solver, seconds):
        true = TRUE_RUN(program, solver, seconds)
        values = {name: getattr(true, name) for name in true.__dataclass_fields__}
        for name, change in changes.items():
            if values[name] is not None:
                values[name] = change(values[name]) if callable(change) else change
        return Answer(**values)

    return fault


TRUE_RUN = expcone._run
FAULTS = {
    "error": lambda *_: Answer("error (SolverError)"),
    "none": lambda *_: None,
    "not an answer": lambda *_: "optimal",
    "no values": lambda *_: Answer("optimal"),
    "inaccurate": _lie(status="optimal_inaccurate", coupling=lambda P: P + 1e-3),
    "infeasible-lie": lambda *_: Answer("infeasible"),
    "unbounded-lie": lambda *_: Answer("unbounded_inaccurate"),
    "infeasible with values": _lie(status="infeasible"),
    "nan point": _lie(coupling=lambda P: np.full_like(P, np.nan)),
    "infinite point": _lie(coupling=lambda P: np.full_like(P, np.inf)),
    "zero point": _lie(coupling=lambda P: np.zeros_like(P)),
    "negative point": _lie(coupling=lambda P: -P),
    "wrong shape": _lie(coupling=np.ones((2, 7)), rows=np.ones(9)),
    "ragged": _lie(coupling=[[1.0], [1.0, 2.0]]),
    "text": _lie(coupling="optimal", rows="f", rate="alpha"),
    "nan duals": _lie(rows=lambda f: f * np.nan, rate=math.nan),
    "no duals": _lie(rows=None, rate=None, classification=None),
    "flipped duals": _lie(rows=lambda f: -f, rate=lambda a: -a, classification=lambda b: -b),
    "huge duals": _lie(rows=lambda f: f * 1e300, rate=1e300),
    "large duals": _lie(rows=lambda f: f * 1e4, rate=lambda a: a * 1e4),
    "garbage": _lie(coupling=lambda P: np.random.default_rng(0).random(np.shape(P)), rows=lambda f: f[::-1]),
    "odd count": _lie(iterations="many"),
}


@pytest.mark.faults
class TestFaults:
    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("C", [math.inf, 1.285])
    def test_a_failing_solver_leaves_a_valid_interval(self, monkeypatch, fault, C):
        monkeypatch.setattr(expcone, "_run", FAULTS[fault])
        formulation, optimum = question(FOUR, 0.8, C), {math.inf: 0.315674, 1.285: 0.315831}[C]
        proposal, certificate = solve(formulation)
        assert not certificate.infeasible
        assert certificate.lower <= optimum + 1e-6
        assert certificate.upper >= optimum - 1e-6
        assert proposal.termination
        if proposal.parts is not None:
            assert np.isfinite(proposal.parts[0].coupling).all()

    def test_the_solvers_word_is_passed_on(self, monkeypatch):
        monkeypatch.setattr(expcone, "_run", lambda *_: Answer("infeasible_inaccurate"))
        assert solve(question(FOUR, 0.8))[0].termination == "clarabel returned infeasible_inaccurate"
        assert solve(question(FOUR, 0.8, 1.285))[0].termination.endswith("clarabel last returned infeasible_inaccurate")

    def test_a_failure_halfway_keeps_the_last_good_point(self, monkeypatch):
        calls = []

        def failing(program, solver, seconds):
            calls.append(1)
            return TRUE_RUN(program, solver, seconds) if len(calls) <= 3 else Answer("error")

        monkeypatch.setattr(expcone, "_run", failing)
        _, certificate = solve(question(FOUR, 0.8, 1.285))
        assert certificate.upper == pytest.approx(0.315831, abs=1e-3)

    @pytest.mark.parametrize("kind", [ValueError, MemoryError, BaseException])
    def test_exceptions_of_the_back_end_become_a_status(self, monkeypatch, kind):
        """BaseException, since a panic in a solver's compiled code is one."""

        def explode(self, **settings):
            raise kind("inside the solver")

        monkeypatch.setattr(Program, "solve", explode)
        proposal, certificate = solve(question(FOUR, 0.8))
        assert proposal.termination == f"clarabel returned error ({kind.__name__})"
        assert certificate.parts is None
        assert -math.inf < certificate.lower < 0.3157

    def test_an_interrupt_is_passed_on(self, monkeypatch):
        def interrupt(self, **settings):
            raise KeyboardInterrupt

        monkeypatch.setattr(Program, "solve", interrupt)
        with pytest.raises(KeyboardInterrupt):
            solve(question(FOUR, 0.8))

    def test_warnings_of_the_back_end_stay_inside(self):
        """SCS stopped early calls its solution inaccurate, with a warning."""
        _, certificate = solve(question(random_problem(np.random.default_rng(0), 9, 9, 2), 0.9), "scs", seconds=0.1)
        assert certificate.lower <= certificate.upper


class TestDeadline:
    @pytest.mark.parametrize("C", [math.inf, 1.2596])
    def test_already_passed(self, C):
        proposal, certificate = solve(question(FOUR, 0.8, C), seconds=-1.0)
        assert proposal.parts is None
        assert proposal.stats["programs"] == 0
        assert "time limit" in proposal.termination
        assert certificate.lower > -math.inf

    @pytest.mark.parametrize("solver", SOLVERS)
    def test_passing_between_and_inside_programs(self, solver):
        problem = random_problem(np.random.default_rng(2), 12, 12, 3)
        engine = ExpCone(solver)
        engine.propose(question(problem, 0.1), Limits(1e-6))  # the first use imports CVXPY
        least = problem.entropy_s - 0.3 * problem.contraction * BITS
        proposal = engine.propose(SingleLetter(problem, BITS, least), Limits(1e-12, clock.now() + 0.5))
        certificate = certify(SingleLetter(problem, BITS, least), proposal.parts, *proposal.evidence)
        assert certificate.lower <= certificate.upper


def test_an_unknown_solver_is_an_error():
    with pytest.raises(ValueError, match="solver must be one of 'clarabel', 'scs'; it is 'mosek'"):
        ExpCone("mosek")
