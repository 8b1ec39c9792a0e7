"""What may run a sweep: workers, threads, any order of completion, Dask, whatever submits."""

from concurrent.futures import Executor, Future, ThreadPoolExecutor

import pytest
from fakes import without_seconds
from sweep_cases import LOSSES, PROBLEM, RATES, sweep

from drcopt.errors import InputError
from drcopt.sources import bernoulli


class Backwards(Executor):
    """Runs what is submitted in the reverse order, when the first result is asked for."""

    def __init__(self):
        self.waiting = []

    def submit(self, function, /, *args):
        future = Future()
        self.waiting.append((future, function, args))
        if len(self.waiting) >= 7:  # the blocks of RATES at LOSSES
            for future_, function_, args_ in reversed(self.waiting):
                future_.set_result(function_(*args_))
        return future


@pytest.mark.usefixtures("fake")
class TestExecutors:
    @pytest.fixture
    def serial(self):
        return without_seconds(sweep(PROBLEM, R=RATES, C=LOSSES, progress=False))

    def test_processes(self, serial, processes):
        table = sweep(PROBLEM, R=RATES, C=LOSSES, executor=processes, progress=False)
        assert without_seconds(table) == serial

    def test_threads(self, serial):
        with ThreadPoolExecutor(4) as pool:
            assert without_seconds(sweep(PROBLEM, R=RATES, C=LOSSES, executor=pool, progress=False)) == serial

    def test_any_order_of_completion(self, serial, tmp_path):
        for _ in range(2):  # solved, then read back
            table = sweep(
                PROBLEM, R=RATES, C=LOSSES, executor=Backwards(), checkpoint=tmp_path / "rows", progress=False
            )
            assert without_seconds(table) == serial

    def test_a_serial_checkpoint_resumes_in_processes_and_back(self, serial, processes, tmp_path):
        path = tmp_path / "rows"
        sweep(PROBLEM, R=RATES, C=LOSSES, checkpoint=path, progress=False)
        lines = path.read_bytes().splitlines(keepends=True)
        for rows in (3, 21, 30, 60):
            path.write_bytes(b"".join(lines[: 1 + rows]))
            table = sweep(PROBLEM, R=RATES, C=LOSSES, executor=processes, checkpoint=path, progress=False)
            assert without_seconds(table) == serial
            assert len(path.read_bytes().splitlines()) == 61
        pooled = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(pooled[:40]))
        assert without_seconds(sweep(PROBLEM, R=RATES, C=LOSSES, checkpoint=path, progress=False)) == serial

    @pytest.mark.filterwarnings("ignore")  # whatever Dask says of itself
    def test_dask(self, serial):
        distributed = pytest.importorskip("distributed")
        with (
            distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            distributed.Client(cluster) as client,
        ):
            table = sweep(PROBLEM, R=RATES, C=LOSSES, executor=client.get_executor(), progress=False)
        assert without_seconds(table) == serial


# -- what may run it -------------------------------------------------------------------------------------------


class Client:
    """As a Dask client: it submits in its own way, and has an executor."""

    def __init__(self) -> None:
        self.executor = ThreadPoolExecutor(1)

    def submit(self, *arguments: object) -> object:
        raise AssertionError("its futures are not those of the standard library")

    def get_executor(self) -> ThreadPoolExecutor:
        return self.executor


class Submits:
    """An executor by its method alone, as some clusters have."""

    def __init__(self, wrong: bool = False) -> None:
        self.wrong = wrong

    def submit(self, function, *arguments):
        if self.wrong:
            return "ticket 7"
        future: Future[object] = Future()
        future.set_result(function(*arguments))
        return future


@pytest.mark.parametrize("runner", [Client, Submits])
def test_whatever_submits_gives_the_same_table(runner) -> None:
    budgets = {"R": [0.2, 0.5], "C": None, "progress": False}
    alone, through = sweep(bernoulli(), **budgets), sweep(bernoulli(), **budgets, executor=runner())
    assert through.drop(columns="seconds").equals(alone.drop(columns="seconds"))


@pytest.mark.parametrize("runner", [4, Client, ThreadPoolExecutor, Submits(wrong=True)])
def test_what_cannot_run_a_sweep_is_told_what_is_needed(runner) -> None:
    needs = r"executor must .* It needs submit\(function, \*arguments\) .* Dask client"
    with pytest.raises(InputError, match=needs):
        sweep(bernoulli(), R=0.2, executor=runner, progress=False)
