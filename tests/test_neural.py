"""The restoration codecs: bits that come back, runs that go on where they were killed, files that are what they say."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import drcopt
from drcopt.errors import CheckpointError, InputError, NotSolvedError

torch = pytest.importorskip("torch", reason="the extra neural is not installed")
pytest.importorskip("constriction", reason="the extra neural is not installed")

from drcopt import neural  # noqa: E402
from drcopt.neural import Codec, bitstream, data, limit, measure, quantise, store, table, training  # noqa: E402
from drcopt.neural.config import COMMON_RANDOMNESS, Settings, Task  # noqa: E402

pytestmark = pytest.mark.neural


#: Short, for what does not depend on how well a codec does.
FEW = {"steps": 30, "batch": 16, "index_steps": 20}


READER = neural.ClassifierSettings(least_steps=150)


TASK = Task(factor=2)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture(scope="module")
def reader(digits):
    return neural.train_classifier(digits, READER)


@pytest.fixture(scope="module")
def good(digits, reader):
    """A codec that has learned something."""
    return neural.train(digits, TASK, Settings(steps=400).at(8), classifier=reader)


@pytest.fixture(scope="module")
def degraded(digits):
    return measure.prepare(digits, TASK).test[0]


@pytest.fixture(scope="module")
def codecs(digits, reader):
    """One of each kind of common randomness, hardly trained."""
    return {
        mode: neural.train(digits, TASK, Settings(common_randomness=mode, **FEW).at(6), classifier=reader)
        for mode in COMMON_RANDOMNESS
    }


@pytest.fixture(scope="module")
def letters(digits):
    return limit.alphabet(digits, TASK, x_letters=6, y_letters=5)


@pytest.fixture(scope="module")
def sent(good, degraded):
    return good.encode(degraded[:40], seed=5)


@pytest.fixture(scope="module")
def results(digits, tmp_path_factory):
    arguments = {"rates": [2, 3], "seeds": 2, "classifier": READER, **FEW}
    arguments["checkpoint"] = tmp_path_factory.mktemp("runs")
    return arguments, neural.restoration(digits, TASK, **arguments)


class TestBits:
    @pytest.mark.parametrize("mode", COMMON_RANDOMNESS)
    def test_come_back(self, codecs, degraded, mode):
        codec = codecs[mode]
        sent = codec.encode(degraded, seed=5, decoder_seed=6)
        assert np.array_equal(codec.decode(sent), codec.restore(degraded, seed=5, decoder_seed=6))
        assert codec.decode(sent).shape == (len(degraded), 1, 8, 8)

    def test_no_images_and_one(self, good, degraded):
        assert good.decode(good.encode(degraded[:0])).shape == (0, 1, 8, 8)
        assert np.array_equal(good.decode(good.encode(degraded[:1])), good.restore(degraded[:1]))

    def test_come_back_over_several_frames(self, good, degraded):
        many = degraded.repeat(13, 1, 1, 1)
        assert len(many) > 2 * bitstream.FRAME
        assert np.array_equal(good.decode(good.encode(many, seed=3)), good.restore(many, seed=3))

    def test_come_back_in_another_process(self, good, degraded, tmp_path):
        good.save(tmp_path / "a.codec")
        (tmp_path / "a.bits").write_bytes(good.encode(degraded, seed=9))
        np.save(tmp_path / "a.npy", good.restore(degraded, seed=9))
        code = (
            "import numpy as np; from drcopt.neural import Codec; codec = Codec.load('a.codec');"
            "restored = codec.decode(open('a.bits', 'rb').read());"
            "assert np.array_equal(restored, np.load('a.npy'))"
        )
        environment = {**os.environ, "PYTHONPATH": str(Path(drcopt.__file__).parents[1])}
        subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=environment, timeout=120)

    def test_are_few(self, good, degraded):
        bits = good.bits(degraded)
        assert bits.ideal < 7.5  # of 8
        overhead = 8 * (32 + 8 + 8) / len(degraded)
        assert bits.ideal <= bits.coded <= bits.ideal + overhead
        assert bits.common_randomness == 64 / len(degraded)
        assert bits.dither == 16 * 4

    def test_the_model_uses_the_dither(self, good, degraded):
        # Given another U than that of the encoder, the same indices are less probable.
        index = good.index(degraded, seed=1)
        right, wrong = (quantise.draw(seed, 0, *index.shape) for seed in (1, 2))
        known = good.index_model.bits(good.quantiser, index, right).mean()
        assert known < good.index_model.bits(good.quantiser, index, wrong).mean() - 0.5

    def test_dither_is_the_stream_of_its_seed(self):
        whole = quantise.draw(7, 0, 10, 20)
        assert np.array_equal(quantise.draw(7, 4, 6, 20), whole[4:])
        assert whole[0, :4].tolist() == [64420, 10729, 13496, 57152]  # whatever the machine and the version


class TestDamage:
    def test_every_byte_that_is_changed_is_noticed(self, good, sent):
        for place in range(len(sent)):
            broken = bytearray(sent)
            broken[place] ^= 0x40
            with pytest.raises(InputError, match="data must"):
                good.decode(bytes(broken))

    def test_every_byte_that_is_cut_off_is_missed(self, good, sent):
        for length in range(len(sent)):
            with pytest.raises(InputError, match="data must"):
                good.decode(sent[:length])

    def test_what_follows_is_refused(self, good, sent):
        with pytest.raises(InputError, match="1 bytes follow"):
            good.decode(sent + b"\0")

    def test_a_claim_of_many_images_is_refused(self, good, sent):
        many = sent[:28] + (2**32 - 1).to_bytes(4, "little") + sent[32:]
        with pytest.raises(InputError, match="at most 100000 images; it says 4294967295"):
            good.decode(many)

    def test_another_codec_is_refused(self, codecs, sent):
        with pytest.raises(InputError, match="must be of this codec"):
            codecs["shared"].decode(sent)


class TestTraining:
    def test_a_killed_run_ends_with_the_same_weights(self, digits, reader, tmp_path, monkeypatch):
        settings = Settings(**FEW).at(6)
        monkeypatch.setattr(training, "SAVE_EVERY", 10)
        monkeypatch.setattr(training, "REPORT_EVERY", 1)
        whole = neural.train(digits, TASK, settings, classifier=reader)

        def killed(step):
            if step == 25:
                raise KeyboardInterrupt

        state = tmp_path / "run.state"
        with pytest.raises(KeyboardInterrupt):
            neural.train(digits, TASK, settings, classifier=reader, state=state, progress=killed)
        steps = []
        resumed = neural.train(digits, TASK, settings, classifier=reader, state=state, progress=steps.append)
        assert steps[0] == 21
        assert resumed.identity == whole.identity
        assert not state.exists()

    def test_a_state_of_another_run_is_refused(self, digits, reader, tmp_path, monkeypatch):
        monkeypatch.setattr(training, "SAVE_EVERY", 10)
        run = training._Run(digits, TASK, Settings(**FEW), reader, None, None)
        run.save(tmp_path / "a.state")
        with pytest.raises(CheckpointError, match="it is of another"):
            neural.train(digits, TASK, Settings(seed=1, **FEW), classifier=reader, state=tmp_path / "a.state")
        (tmp_path / "a.state").write_bytes((tmp_path / "a.state").read_bytes()[:-1])
        with pytest.raises(CheckpointError, match="damaged"):
            neural.train(digits, TASK, Settings(**FEW), classifier=reader, state=tmp_path / "a.state")

    @pytest.mark.parametrize("preset", ["conv", "published"])
    @pytest.mark.parametrize("shape", [(1, 8, 8), (3, 13, 10)])
    def test_every_preset_takes_every_size(self, preset, shape):
        images = np.random.default_rng(0).random((60, *shape[1:], shape[0]))
        dataset = data.from_arrays(images, np.arange(60) % 3)
        settings = Settings(preset=preset, lambda_c=0.0, steps=2, batch=4).at(3)
        codec = neural.train(dataset, Task("denoising"), settings)
        assert codec.restore(dataset.test.images).shape == (len(dataset.test), *shape)

    def test_the_classifier_and_the_critic_are_heeded(self, digits, reader):
        # Not how well: that they are asked at all, which a loss with a slip in it would not show.
        plain = neural.train(digits, TASK, Settings(lambda_p=0.0, lambda_c=0.0, **FEW).at(6))
        for weights in ({"lambda_p": 0.1, "lambda_c": 0.0}, {"lambda_p": 0.0, "lambda_c": 0.1}):
            other = neural.train(digits, TASK, Settings(**weights, **FEW).at(6), classifier=reader)
            assert other.identity != plain.identity

    def test_the_frozen_classifier_stays(self, digits, reader):
        before = {name: value.clone() for name, value in reader.state_dict().items()}
        neural.train(digits, TASK, Settings(joint_classifier=True, **FEW), classifier=reader)
        assert all(torch.equal(value, before[name]) for name, value in reader.state_dict().items())

    def test_the_callers_random_numbers_and_threads_are_left_alone(self, digits, reader):
        torch.manual_seed(3)
        state, threads = torch.get_rng_state(), torch.get_num_threads()
        neural.train(digits, TASK, Settings(**FEW), classifier=reader)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.get_num_threads() == threads

    def test_says_that_it_diverged(self, digits):
        broken = torch.full((len(digits.train), 1, 8, 8), math.nan)
        with pytest.raises(NotSolvedError, match="the loss is nan after"):
            neural.train(digits, TASK, Settings(lambda_c=0.0, **FEW), degraded=broken)

    def test_refuses_what_does_not_fit(self, digits, codecs):
        with pytest.raises(InputError, match="classifier must be given"):
            neural.train(digits, TASK, Settings(**FEW))
        with pytest.raises(InputError, match="it differs in dimensions"):
            neural.train(digits, TASK, Settings(lambda_c=0.0, **FEW).at(8), encoder=codecs["shared"])
        if not torch.cuda.is_available():
            with pytest.raises(InputError, match="device must be one that PyTorch finds"):
                neural.train(digits, TASK, Settings(device="cuda", lambda_c=0.0))


class TestExperiments:
    def test_a_row_a_run_and_baselines(self, results):
        rows = results[1].table
        assert list(rows.columns) == list(table.COLUMNS)
        assert list(rows["method"]) == ["untouched input", *["codec", "conditional mean"] * 4]
        codecs = rows[rows["method"] == "codec"]
        assert list(zip(codecs["rate_budget_bits"], codecs["seed"], strict=True)) == [(2, 0), (2, 1), (3, 0), (3, 1)]
        assert (rows["lower_bound"] == -math.inf).all()
        assert codecs["accuracy"].between(0, 1).all() and codecs["classification_loss_bits"].gt(0).all()
        assert (codecs["rate_bits"] >= codecs["ideal_bits"]).all()

    def test_what_is_done_is_not_done_again(self, digits, results, monkeypatch):
        arguments, before = results
        monkeypatch.setattr("drcopt.neural.experiments.train", None)
        monkeypatch.setattr("drcopt.neural.experiments.train_classifier", None)
        again = neural.restoration(digits, TASK, **arguments)
        assert again.table.equals(before.table)

    def test_an_executor_gives_the_same(self, digits, results):
        from concurrent.futures import ThreadPoolExecutor

        arguments, before = results
        with ThreadPoolExecutor(1) as pool:
            again = neural.restoration(digits, TASK, **{**arguments, "checkpoint": None}, executor=pool)
        assert again.table.drop(columns="seconds").equals(before.table.drop(columns="seconds"))

    def test_tables_come_back(self, results, tmp_path):
        rows = results[1].table
        path = table.write_table(rows, tmp_path / "a.csv")
        assert table.read_table(path).equals(rows)
        (tmp_path / "b.csv").write_text("a,b\n1,2\n")
        with pytest.raises(InputError, match="must have the columns"):
            table.read_table(tmp_path / "b.csv")

    def test_intervals_hold_the_means(self, results):
        means = results[1].summary(resamples=50)
        assert list(means["seeds"]) == [1, 2, 2, 2, 2]
        for name in ("accuracy", "distortion", "mse_clean"):
            assert (means[f"{name}_low"] <= means[name]).all() and (means[name] <= means[f"{name}_high"]).all()

    def test_a_collapsed_encoder_is_said_to_have(self, digits):
        # Saturated from the start: every index is one of two, and hardly varies.
        rows = neural.restoration(
            digits,
            TASK,
            rates=[32],
            classifier=READER,
            standardise=False,
            lambda_c=0.0,
            lambda_p=0.0,
            steps=1,
            index_steps=1,
        ).table
        (row,) = rows[rows["method"] == "codec"].to_dict("records")
        assert row["index_entropy_bits"] < 32 * training.COLLAPSED
        assert row["status"] == "collapsed" and "collapsed" in row["termination"]

    def test_a_failed_run_is_a_row(self, digits, monkeypatch):
        def diverging(*args, **kwargs):
            raise NotSolvedError("training diverged:\nthe loss is nan")

        monkeypatch.setattr("drcopt.neural.experiments.train", diverging)
        rows = neural.restoration(digits, TASK, rates=[2], classifier=READER, **FEW).table
        (row,) = rows[rows["method"] == "codec"].to_dict("records")
        assert (row["status"], math.isnan(row["accuracy"])) == ("failed", True)
        assert row["termination"] == "NotSolvedError: training diverged: the loss is nan"

    def test_universal_decoders_share_an_encoder(self, digits, tmp_path):
        weights = ((0.0, 0.0), (0.01, 0.01))
        found = neural.universal(
            digits, TASK, weights=weights, rates=[6], seeds=1, classifier=READER, checkpoint=tmp_path, **FEW
        )
        rows = found.table[found.table["method"] == "codec"]
        assert list(rows["encoder"]) == ["trained", "frozen"] * 2
        frozen = rows[rows["encoder"] == "frozen"]
        assert frozen["index_entropy_bits"].nunique() == 1 and frozen["weights_sha256"].nunique() == 2
        # At the weights that the encoder was trained with, its own decoder is the one.
        assert rows["weights_sha256"].iloc[2] == rows["weights_sha256"].iloc[3]


class TestMeasures:
    def test_of_perfect_images(self, digits, reader, degraded):
        _, original, labels = measure.prepare(digits, TASK).test
        row = measure.judge(original, original, original, labels, reader).row
        assert (row["distortion"], row["mse_clean"], row["psnr_clean"], row["sliced_w1"]) == (0, 0, math.inf, 0)
        assert row["accuracy"] > 0.9

    def test_index_entropy(self):
        index = np.array([[0, 1], [1, 1], [2, 1], [3, 1]])
        assert measure.index_entropy(index, 4) == 2.0

    def test_sliced_w1_is_that_of_a_shift(self):
        a = torch.rand(50, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        assert measure.sliced_w1(a, a) == 0
        assert measure.sliced_w1(a, a + 0.1) > 0.03

    def test_the_conditional_mean_is_that_of_cells(self, digits, good, reader):
        prepared = measure.prepare(digits, TASK)
        found = measure.conditional_mean(good, digits, prepared, reader)
        codec = measure.evaluate(good, prepared, reader)
        assert found.row["mse_clean"] < codec.row["mse_clean"]  # nothing else is asked of it


class TestLimit:
    def test_d_is_the_distortion_of_tables(self, digits, degraded, letters, reader):
        problem, prepared = letters.problem, measure.prepare(digits, TASK)
        _, original, labels = prepared.test
        # A decoder that shows codeword x % 5 for cell x: the letters' distortion is that of the images.
        shown = torch.from_numpy(letters.y_codewords[letters.x_cells % 5]).float().reshape(original.shape)
        row = measure.judge(shown, degraded, original, labels, reader).row
        coupling = np.zeros((6, 5))
        coupling[np.arange(6), np.arange(6) % 5] = problem.px
        assert row["distortion"] == pytest.approx((coupling * problem.d).sum(), rel=1e-5)

    def test_a_codec_is_above_what_is_proved_of_it(self, digits, letters, good, codecs):
        for codec in (good, *codecs.values()):
            point = limit.place(codec, letters, digits, draws=4)
            assert point.lower_bound <= point.at_information <= point.distortion
            assert point.lower_bound <= point.best <= point.distortion
            assert point.information <= point.rate
            assert 0 <= point.law_error <= 1

    def test_one_map_is_its_own_coupling(self, digits, letters):
        # At the law of a coupling that costs nothing more than it must, nothing is left between the two.
        problem = letters.problem
        best = problem.d.argmin(axis=1)
        output = np.bincount(best, problem.px, 5)
        found = limit.least(letters, output, rate=None, loss=None)
        assert found.distortion == pytest.approx((problem.px * problem.d.min(axis=1)).sum(), rel=1e-6)


class TestHostileCodecs:
    @pytest.fixture
    def changed(self, good, tmp_path):
        """Write a codec with something changed, and its checksum right."""

        def write(arrays=None, **meta):
            good.save(tmp_path / "a.codec")
            found, about = store.read(tmp_path / "a.codec")
            store.write(tmp_path / "a.codec", {**found, **(arrays or {})}, {**about, **meta})
            return tmp_path / "a.codec"

        return write

    def test_as_it_was(self, good, changed):
        assert Codec.load(changed()).identity == good.identity

    @pytest.mark.parametrize(
        "meta",
        [
            {"settings": {"dimensions": 1024, "levels": 256, "preset": "published"}},
            {"settings": {"common_randomness": "some"}},
            {"settings": None},
            {"task": {"name": "super-resolution", "why": 1}},
            {"shape": [4096, 4096, 4096]},
            {"shape": [1, 8]},
            {"facts": 3},
        ],
    )
    def test_settings(self, changed, meta):
        with pytest.raises(CheckpointError, match=r"a\.codec must hold a codec"):
            Codec.load(changed(**meta))

    @pytest.mark.parametrize(
        "arrays",
        [
            {"encoder.1.weight": np.full((256, 64), np.nan, np.float32)},
            {"encoder.1.weight": np.zeros((2, 2), np.float32)},
            {"index_model.first": np.full((4, 4, 64), 2**40)},
            {"index_model.exponentials": np.zeros(1024, np.int64)},
            {"index_model.second_bias": np.zeros((4, 5), np.int64)},
        ],
    )
    def test_arrays(self, changed, arrays):
        with pytest.raises(CheckpointError, match=r"a\.codec"):
            Codec.load(changed(arrays))

    def test_another_file(self, tmp_path):
        (tmp_path / "a").write_bytes(b"PK\x03\x04" * 100)
        with pytest.raises(CheckpointError, match="it is not one"):
            Codec.load(tmp_path / "a")
